"""Brevo's error model: https://developers.brevo.com/docs/how-it-works"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from crm_pipeline.sandbox.brevo.switches import Switches
from crm_pipeline.sandbox.calls import Reply


class Refused(Exception):
    """Ends a call with an error of Brevo's."""

    def __init__(self, status: int, code: str, message: str, **metadata: Any) -> None:
        super().__init__(message)
        self.reply = error(status, code, message, **metadata)


def error(status: int, code: str, message: str, **metadata: Any) -> Reply:
    """An answer in Brevo's error model."""
    return Reply(status, {"code": code, "message": message} | ({"metadata": metadata} if metadata else {}))


def duplicate(verb: str, kinds: Sequence[str], switches: Switches) -> Refused:
    """An identifier belongs to another contact: `verb` is create or update."""
    named = ", ".join(kinds)
    return Refused(
        400,
        switches.duplicate_code,
        f"Unable to {verb} contact, {named} is already associated with another Contact",
        **({"duplicate_identifiers": list(kinds)} if switches.duplicate_metadata else {}),
    )


def not_found() -> Refused:
    """No such contact."""
    return Refused(404, "document_not_found", "Contact does not exist")
