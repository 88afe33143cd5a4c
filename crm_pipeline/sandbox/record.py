"""What an account was asked and what it answered, as the page shows it: the last requests, and counts by the second."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

REQUESTS_KEPT = 20_000
SECONDS_KEPT = 300


@dataclass(frozen=True, slots=True)
class Exchanged:
    """One request and its answer."""

    at: datetime
    """When it arrived, UTC."""
    method: str
    path: str
    """With its query, as people read it: not percent-encoded."""
    addresses: Sequence[str]
    """Whom it pushed, as sent."""
    status: int
    """0: there was no answer."""
    note: str
    """What went wrong on purpose; empty as a rule."""
    milliseconds: float
    answer: str
    """The beginning of its body."""


class Record:
    """Of one account. Any thread may read."""

    def __init__(self) -> None:
        self._last: deque[Exchanged] = deque(maxlen=REQUESTS_KEPT)
        self._seconds: deque[list[int]] = deque(maxlen=SECONDS_KEPT)  # [second, all, 429, other refusals]
        self._lock = threading.Lock()

    def note(self, exchanged: Exchanged) -> None:
        """A request was answered."""
        second = int(time.time())
        with self._lock:
            self._last.append(exchanged)
            if not self._seconds or self._seconds[-1][0] < second:
                self._seconds.append([second, 0, 0, 0])
            counts = self._seconds[-1]
            counts[1] += 1
            if exchanged.status == 429:
                counts[2] += 1
            elif not 200 <= exchanged.status < 400:
                counts[3] += 1

    def last(self, count: int) -> list[Exchanged]:
        """The last requests, newest first."""
        with self._lock:
            return [self._last[-n] for n in range(1, min(count, len(self._last)) + 1)]

    def of(self, address: str) -> list[Exchanged]:
        """What pushed this contact, newest first, among the last 20,000 requests."""
        wanted = address.lower()
        with self._lock:
            last = list(self._last)
        return [one for one in reversed(last) if any(sent.lower() == wanted for sent in one.addresses)]

    def by_second(self) -> list[tuple[int, int, int, int]]:
        """(Unix time, answers, 429 among them, other refusals) of the seconds that had any, in the last 5 minutes."""
        since = time.time() - SECONDS_KEPT
        with self._lock:
            return [(at, every, limited, refused) for at, every, limited, refused in self._seconds if at >= since]

    def clear(self) -> None:
        """Forget all of it."""
        with self._lock:
            self._last.clear()
            self._seconds.clear()
