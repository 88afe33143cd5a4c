"""How many requests an account answers: in any second, and in any hour. May be changed at any time, from any thread.

quota.per_second = 10                the 11th request within one second is refused
quota.use_by_others(7)               another tool takes 7 a second of them
quota.refused                        how many requests were refused
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

SECOND, HOUR = 1.0, 3600.0
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Limits:
    """What a CRM documents. None: no limit."""

    per_second: int | None = None
    per_hour: int | None = None
    elsewhere_per_hour: int | None = None
    """For requests outside the part of the API that contacts are pushed to."""


@dataclass(frozen=True, slots=True)
class Standing:
    """One limit, and how the account stands with it after a request."""

    limit: int
    remaining: int
    """Requests that would be answered now."""
    reset_seconds: float
    """Until the next one would be answered; as things stand when some remain, until all of the limit is free."""
    refused: bool


class Quota:
    """What one account allows: nothing is limited until something is set. A refused request uses nothing up."""

    def __init__(self, documented: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self.documented = documented
        self.per_second: int | None = None
        """Requests in any one second; None: no limit."""
        self.per_hour: int | None = None
        self.elsewhere_per_hour: int | None = None
        """Requests outside the part of the API that contacts are pushed to; they have this limit alone."""
        self.refused = 0
        """How many requests were refused since the start."""
        self._clock = clock
        self._lock = threading.Lock()
        self._others = _Others()
        self._second, self._hour, self._elsewhere = (_Window(seconds) for seconds in (SECOND, HOUR, HOUR))

    def enforce(self, limits: Limits | None = None) -> None:
        """Limit requests from now on; without `limits` as the CRM documents."""
        limits = limits or self.documented
        self.per_second, self.per_hour = limits.per_second, limits.per_hour
        self.elsewhere_per_hour = limits.elsewhere_per_hour

    @property
    def limits(self) -> Limits:
        """What is limited now."""
        return Limits(self.per_second, self.per_hour, self.elsewhere_per_hour)

    def use_by_others(self, per_second: float) -> None:
        """From now on another tool makes so many requests a second, spread evenly; they are always answered."""
        with self._lock:
            self._others.change(self._clock(), per_second)

    @property
    def used_by_others(self) -> float:
        """Requests a second."""
        return self._others.per_second

    def take(self, *, elsewhere: bool) -> Standing | None:
        """A request has arrived: may it be answered? None when nothing is limited."""
        with self._lock:
            now = self._clock()
            windows = [(self._elsewhere, self.elsewhere_per_hour, False)]
            if not elsewhere:
                windows = [(self._second, self.per_second, True), (self._hour, self.per_hour, True)]
            limited = [(window, limit, shared) for window, limit, shared in windows if limit is not None]
            standings = [
                window.standing(now, limit, self._others.count(now - window.seconds, now) if shared else 0)
                for window, limit, shared in limited
            ]
            refusals = [standing for standing in standings if standing.refused]
            if refusals:
                self.refused += 1
                return max(refusals, key=lambda standing: standing.reset_seconds)
            for window, _, _ in windows:
                window.add(now)
            return standings[0] if standings else None

    def as_if_refused(self, standing: Standing | None) -> Standing | None:
        """How the account would stand if the request just taken had been one too many."""
        limit = standing.limit if standing else self.documented.per_second
        return None if limit is None else Standing(limit, 0, SECOND, True)

    def forget(self) -> None:
        """As if nobody had asked for anything yet; limits stay as they are."""
        with self._lock:
            self.refused = 0
            self._others = _Others()
            for window in (self._second, self._hour, self._elsewhere):
                window.clear()


class _Window:
    """The answered requests of the last so many seconds."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._times: deque[float] = deque()

    def standing(self, now: float, limit: int, others: int) -> Standing:
        """As it is with one more request of ours, if that is answered; `others`: requests that are not ours."""
        while self._times and self._times[0] <= now - self.seconds:
            self._times.popleft()
        left = limit - others - len(self._times)
        if left > 0:
            return Standing(limit, left - 1, self.seconds, False)
        leaving = -left  # the request after whose end there is room
        reset = self._times[leaving] + self.seconds - now if leaving < len(self._times) else self.seconds
        return Standing(limit, 0, reset, True)

    def add(self, now: float) -> None:
        self._times.append(now)
        while self._times[0] <= now - self.seconds:
            self._times.popleft()

    def clear(self) -> None:
        self._times.clear()


class _Others:
    """Another tool's requests, by arithmetic: at a rate r since t, the n-th is made at t + n / r."""

    def __init__(self) -> None:
        self._rates: list[tuple[float, float]] = []  # (since, per second), oldest first

    @property
    def per_second(self) -> float:
        return self._rates[-1][1] if self._rates else 0.0

    def change(self, now: float, per_second: float) -> None:
        self._rates = [
            rate for rate, (until, _) in zip(self._rates, self._rates[1:], strict=False) if until > now - HOUR
        ] + self._rates[-1:]
        self._rates.append((now, per_second))

    def count(self, after: float, until: float) -> int:
        """Requests later than `after`, up to `until`."""
        ends = [since for since, _ in self._rates[1:]] + [until]
        count = 0
        for (since, rate), end in zip(self._rates, ends, strict=False):
            if end > after:
                made = math.floor((end - since) * rate + _ROUNDING)
                count += made - math.floor(max(after - since, 0.0) * rate + _ROUNDING)
        return count
