"""One CRM's gate: asked before and told after each request. Its state is one row, so all processes share it."""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from sqlalchemy import TextClause, text

from crm_pipeline.database.engine import Database
from crm_pipeline.model import CheckResult, News, NewsKind

FAILURES_BEFORE_PAUSE = 10
FIRST_PAUSE_SECONDS = 30.0
LONGEST_PAUSE_SECONDS = 900.0
UNNAMED_THROTTLE_SECONDS = 5.0
CHECK_EVERY_SECONDS = 3600.0
DEFAULT_SENTENCES = {
    NewsKind.UNAVAILABLE: "the CRM does not answer",
    NewsKind.CLOSED: "the CRM refuses this account",
    NewsKind.THROTTLED: "the CRM asked for a pause",
}


@cache
def _statement(name: str) -> TextClause:
    return text(resources.files(__package__).joinpath(f"{name}.sql").read_text(encoding="utf-8"))


@dataclass(frozen=True, slots=True)
class GateState:
    """The gate as it stands now."""

    paused_seconds: float
    """How much longer nothing may be sent; 0 when the gate is open."""
    cause: str | None
    """Why it is, or was, paused."""
    cause_kind: NewsKind | None
    failures_in_a_row: int
    rate_per_second: float
    checked_seconds_ago: float | None
    """Since `check()` last passed with this key and URL; None: never."""

    @property
    def paused(self) -> bool:
        """Nothing may be sent."""
        return self.paused_seconds > 0

    @property
    def needs_check(self) -> bool:
        """Ask `check()` before claiming: none has passed for an hour, or the gate was closed, or the CRM down."""
        return (
            self.cause_kind in (NewsKind.CLOSED, NewsKind.UNAVAILABLE)
            or self.checked_seconds_ago is None
            or self.checked_seconds_ago > CHECK_EVERY_SECONDS
        )

    @property
    def half_open(self) -> bool:
        """The CRM was down and nothing has been pushed since: the next contact goes alone."""
        return self.failures_in_a_row >= FAILURES_BEFORE_PAUSE

    def sentence(self) -> str:
        """For skipped ticks and runs by hand."""
        return f"paused for {self.paused_seconds:.0f} s more: {self.cause or 'the CRM asked for it'}"


@dataclass(frozen=True, slots=True)
class Reservation:
    """Slots for requests, as seconds from now; none while paused."""

    delays: tuple[float, ...]
    paused_seconds: float
    cause: str | None
    cause_kind: NewsKind | None
    failures_in_a_row: int
    pauses_in_a_row: int


class Gate:
    """Pace and pause of one CRM. `identity` is a hash of key and URL: when it changes, a closed gate opens."""

    def __init__(self, database: Database, crm: str, identity: str, rate_per_second: float) -> None:
        self.database = database
        self.crm = crm
        self.identity = identity
        self.rate_per_second = rate_per_second

    def begin(self) -> GateState:
        """At the start of a run: write the configured rate, open the gate if key or URL have changed."""
        self._run("begin", rate=self.rate_per_second, identity=self.identity)
        return self.state()

    def state(self) -> GateState:
        """The gate now, for this key and URL. A closed gate of another key counts as open: `begin` will open it."""
        rows = self._rows("state")
        if not rows:
            return GateState(0, None, None, 0, self.rate_per_second, None)
        row = rows[0]
        if row.identity != self.identity:
            return GateState(0, None, None, 0, row.rate_per_second, None)
        kind = NewsKind(row.cause_kind) if row.cause_kind else None
        return GateState(
            row.paused_seconds or 0.0,
            row.cause,
            kind,
            row.failures_in_a_row,
            row.rate_per_second,
            row.checked_seconds_ago,
        )

    def reserve(self, n: int) -> Reservation:
        """Reserve `n` spaced slots, or learn of the pause."""
        rows = self._rows("reserve", n=n)
        if not rows:
            self.begin()
            rows = self._rows("reserve", n=n)
        row = rows[0]
        kind = NewsKind(row.cause_kind) if row.cause_kind else None
        if row.paused_seconds:
            n = 0
        delays = tuple(row.first_delay_seconds + i / row.rate_per_second for i in range(n))
        return Reservation(delays, row.paused_seconds, row.cause, kind, row.failures_in_a_row, row.pauses_in_a_row)

    def tell(self, news: News) -> int:
        """What a request taught. Returns the length of the row of failures as it stands now."""
        values: dict[str, Any] = {}
        if news.kind is NewsKind.UNAVAILABLE:
            values = {"seconds": news.pause_seconds, "threshold": FAILURES_BEFORE_PAUSE, **_growing_pause()}
        elif news.kind is NewsKind.CLOSED:
            values = _growing_pause()
        elif news.kind is NewsKind.THROTTLED:
            seconds = news.pause_seconds
            values = {"seconds": UNNAMED_THROTTLE_SECONDS * _jitter() if seconds is None else seconds}
        if news.kind is not NewsKind.WELL:
            values["sentence"] = news.sentence or DEFAULT_SENTENCES[news.kind]
        rows = self._rows(news.kind.value, **values)
        if not rows:  # lost: made anew, for the news must not be lost with it
            self.begin()
            rows = self._rows(news.kind.value, **values)
        return int(rows[0].failures_in_a_row)

    def tell_check(self, result: CheckResult) -> None:
        """What `check()` found: a pass opens the gate, anything else is told as the news it is."""
        if result.news.kind is NewsKind.WELL:
            self._run("checked")
        else:
            self.tell(result.news)

    def _rows(self, name: str, **values: Any) -> Any:
        parameters = {"crm": self.crm} | values
        return self.database.run(lambda connection: connection.execute(_statement(name), parameters).all())

    def _run(self, name: str, **values: Any) -> None:
        parameters = {"crm": self.crm} | values
        self.database.run(lambda connection: connection.execute(_statement(name), parameters) and None)


def _jitter() -> float:
    """Equal jitter: never less than half, so that a pause cannot collapse to nothing."""
    return random.uniform(0.75, 1.25)  # noqa: S311 (no secret)


def _growing_pause() -> dict[str, float]:
    return {
        "first_seconds": FIRST_PAUSE_SECONDS,
        "longest_seconds": LONGEST_PAUSE_SECONDS,
        "jitter": _jitter(),
    }
