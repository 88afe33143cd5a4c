"""The fenced examples of the documents: blocks, and the lines of those that are typed into a terminal."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    ROOT / "deploy" / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
TERMINAL = ("console", "sh")
_BLOCK = re.compile(r"^( *)```([^\n`]*)\n(.*?)^\1```$", re.DOTALL | re.MULTILINE)
_EXIT_CODE = re.compile(r"exit code (\d+)")


@dataclass(frozen=True)
class Block:
    """One fenced example."""

    page: str
    """Path below the project."""
    line: int
    """Where its text begins, from 1."""
    language: str
    above: str
    """The paragraph above it, on one line."""
    text: str
    """Without the indentation of the list that it stands in."""

    @property
    def place(self) -> str:
        """For messages: page and line."""
        return f"{self.page}:{self.line}"


@dataclass(frozen=True)
class Line:
    """One command, and what is shown below it."""

    command: str
    """Without the prompt; a line that is continued is one."""
    exit_code: int
    """What its comment says, or the end of the paragraph above, as in `exit code 1:`; else 0."""
    shown: str | None
    """None: the page shows no output."""


def blocks(document: Path) -> Iterator[Block]:
    """All examples of a document, in their order."""
    content = document.read_text(encoding="utf-8")
    for found in _BLOCK.finditer(content):
        before = content[: found.start()].rstrip()
        yield Block(
            str(document.relative_to(ROOT)),
            content[: found.start(3)].count("\n") + 1,
            found[2],
            " ".join(before.rpartition("\n\n")[2].split()),
            textwrap.dedent(found[3]),
        )


def fences(document: Path) -> int:
    """How many lines open or close an example."""
    return len(re.findall(r"^ *```", document.read_text(encoding="utf-8"), re.MULTILINE))


def lines(block: Block) -> Iterator[Line]:
    """The commands of a block: those behind a `$`, with their output; or, where there is none, every line."""
    whole = re.sub(r" *\\\n *", " ", block.text)
    if whole.startswith("$ "):
        for part in re.split(r"^\$ ", whole, flags=re.MULTILINE)[1:]:
            command, _, shown = part.partition("\n")
            yield Line(command, _exit_code(block, command), shown)
    else:
        for command in whole.splitlines():
            if command.strip():
                yield Line(command, _exit_code(block, command), None)


def spans(document: Path) -> list[str]:
    """What stands between single backticks in the text."""
    prose = _BLOCK.sub("", document.read_text(encoding="utf-8"))
    return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose)]


def _exit_code(block: Block, command: str) -> int:
    comment = _EXIT_CODE.search(command.partition(" # ")[2])
    sentence = _EXIT_CODE.search(block.above) if block.above.endswith(":") else None
    found = comment or sentence
    return int(found[1]) if found else 0
