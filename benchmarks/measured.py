"""One line of the table."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Measured:
    """What was measured, the value, the goal, and whether it was met (None: no goal)."""

    what: str
    value: str
    goal: str = ""
    met: bool | None = None
