"""What the sandbox keeps between two starts: one JSON file in a folder of its own."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path
from typing import Any

from crm_pipeline.errors import UsageError

FORMAT = "crm-pipeline sandbox, 1"


class StateFile:
    """`sandbox.json` in a folder, for one server at a time. Raises UsageError when the folder cannot be used."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "sandbox.json"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._folder = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            raise UsageError(f"The sandbox cannot keep its state in {folder}: {error.strerror}.") from None
        try:
            fcntl.flock(self._folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._draft.touch()
        except BlockingIOError:
            os.close(self._folder)
            raise UsageError(
                f"Another sandbox keeps its state in {folder}. Stop it, or give this one another."
            ) from None
        except OSError as error:
            os.close(self._folder)
            raise UsageError(f"The sandbox cannot keep its state in {folder}: {error.strerror}.") from None

    def read(self) -> dict[str, Any]:
        """Accounts' states by name; empty when nothing was kept yet. Raises UsageError for a file that is none."""
        try:
            kept = json.loads(self.path.read_bytes())
            if kept["format"] != FORMAT:
                raise ValueError(kept["format"])
            accounts: dict[str, Any] = kept["accounts"]
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            raise self.unreadable() from None
        return accounts

    def unreadable(self) -> UsageError:
        """To be raised when what was read does not fit."""
        return UsageError(
            f"{self.path} is damaged, or not a sandbox's. It was left as it is: move it away to begin anew."
        )

    def encoded(self, accounts: dict[str, Any]) -> bytes:
        """The file's content."""
        return json.dumps({"format": FORMAT, "accounts": accounts}, separators=(",", ":")).encode()

    def write(self, content: bytes) -> None:
        """Put `content` in the place of what was kept, at once or not at all. Raises OSError."""
        with self._draft.open("wb") as draft:
            draft.write(content)
            draft.flush()
            os.fsync(draft.fileno())
        self._draft.replace(self.path)
        os.fsync(self._folder)

    def close(self) -> None:
        """Leave the folder to another server."""
        self._draft.unlink(missing_ok=True)
        os.close(self._folder)

    @property
    def _draft(self) -> Path:
        return self.path.with_suffix(".draft")
