"""What goes wrong with a share of the requests, in an order that is always the same."""

from __future__ import annotations

import threading
from dataclasses import dataclass, fields
from fractions import Fraction

PRECISION = 1_000_000


@dataclass(frozen=True, slots=True)
class Shares:
    """How large a part of the requests each mishap meets, 0 to 1. Raises ValueError for what cannot be."""

    throttled: float = 0.0
    """429, whatever the quota; nothing is stored."""
    failed: float = 0.0
    """500, 502, 503 and 504 in turn; nothing is stored."""
    unanswered: float = 0.0
    """Stored, but no answer comes: the client runs into its time-out."""
    reset: float = 0.0
    """The connection is reset; nothing is stored."""
    truncated: float = 0.0
    """Stored, but the connection ends in the middle of the answer."""
    invalid: float = 0.0
    """Stored, but the answer's body is a web page."""

    def __post_init__(self) -> None:
        shares = [getattr(self, field.name) for field in fields(self)]
        if not all(0 <= share <= 1 for share in shares):
            raise ValueError("a share is a number from 0 to 1")
        if sum(map(_exactly, shares)) > 1:
            raise ValueError("all shares together are more than 1")


class Mishaps:
    """Hands out mishaps so that, of any number of requests, each meets its share of them, evenly spread."""

    def __init__(self, shares: Shares) -> None:
        self.shares = shares
        self._parts = {field.name: _exactly(getattr(shares, field.name)) for field in fields(shares)}
        self._due = dict.fromkeys(self._parts, Fraction(0))
        self._lock = threading.Lock()

    def next(self) -> str | None:
        """What happens to the next request, by its name in `Shares`; None: nothing."""
        with self._lock:
            for name, part in self._parts.items():
                self._due[name] += part
            name = max(self._due, key=lambda name: self._due[name])
            if self._due[name] < 1:
                return None
            self._due[name] -= 1
            return name


def _exactly(share: float) -> Fraction:
    return Fraction(share).limit_denominator(PRECISION)
