"""One CRM's gate: asked before and told after each request. Its state is one row, so all processes share it."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache
from importlib import resources
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, TextClause, text

from crm_pipeline.database.engine import Database
from crm_pipeline.model import CheckResult, News, NewsKind

FAILURES_BEFORE_PAUSE = 10
REFUSALS_BEFORE_CLOSED = 20
FIRST_PAUSE_SECONDS = 30.0
LONGEST_PAUSE_SECONDS = 900.0
UNNAMED_THROTTLE_SECONDS = 5.0
CHECK_EVERY_SECONDS = 3600.0
_GROWING_SECONDS = "least(:first_seconds * power(2, least(pauses_in_a_row, 10)) * :jitter, :longest_seconds)"
"""{growing_seconds} in the SQL files: of a pause for cause, each twice as long as the one before."""
DEFAULT_SENTENCES = {
    NewsKind.UNAVAILABLE: "the CRM does not answer",
    NewsKind.CLOSED: "the CRM refuses this account",
    NewsKind.REFUSED: "the CRM refuses one contact after the other",
    NewsKind.THROTTLED: "the CRM asked for a pause",
}


@cache
def _statement(name: str) -> TextClause:
    file = resources.files(__package__).joinpath(f"{name}.sql")
    return text(file.read_text(encoding="utf-8").replace("{growing_seconds}", _GROWING_SECONDS))


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
    """As it is now, after 429s and below the CRM's own limit."""
    checked_seconds_ago: float | None
    """Since `check()` last passed with this key and URL; None: never."""
    refused_in_a_row: int = 0
    """Contacts that were refused, by all runs, since one was taken."""
    paused_until: datetime | None = None
    """By the database's clock."""
    throttled_at: datetime | None = None
    """When the last pause that the CRM asked for began: slots reserved before are void."""

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
        """The CRM was down, or refused all contacts, and none has come through since: the next goes alone."""
        return self.failures_in_a_row >= FAILURES_BEFORE_PAUSE or self.refused_in_a_row >= REFUSALS_BEFORE_CLOSED

    def sentence(self) -> str:
        """For skipped ticks and runs by hand."""
        return f"paused for {self.paused_seconds:.0f} s more: {self.cause or 'the CRM asked for it'}"


@dataclass(frozen=True, slots=True)
class Reservation:
    """Slots for requests, as seconds from `made_at`; none while paused, or while others have reserved the next 30 s."""

    made_at: float
    """Monotonic time at which the database made it."""
    delays: tuple[float, ...]
    next_seconds: float
    """How far away the next free slot is; negative: one that is late may be caught up with."""
    paused_seconds: float
    cause: str | None
    cause_kind: NewsKind | None
    trouble: bool
    """Failures, refusals or pauses that the next good answer ends."""
    rate_per_second: float
    """As it is now, after 429s and below the CRM's own limit."""
    throttled_at: datetime | None


class Gate:
    """Pace and pause of one CRM. `identity` is a hash of key and URL: when it changes, a closed gate opens.

    `requests_per_hour`: a second window beside the rate; None: there is none.
    """

    def __init__(
        self,
        database: Database,
        crm: str,
        identity: str,
        rate_per_second: float,
        requests_per_hour: int | None = None,
    ) -> None:
        self.database = database
        self.crm = crm
        self.identity = identity
        self.rate_per_second = rate_per_second
        self.requests_per_hour = requests_per_hour
        self._limit_per_second: float | None = None  # as the row had it when it was last seen
        self._known_behind: float | None = None

    def begin(self) -> GateState:
        """At the start of a run: write the configured rate and quota, open the gate if key or URL have changed."""
        self._run("begin", rate=self.rate_per_second, requests_per_hour=self.requests_per_hour, identity=self.identity)
        return self.state()

    def state(self) -> GateState:
        """The gate now, for this key and URL. A closed gate of another key counts as open: `begin` will open it."""
        rows = self._rows("state")
        if not rows:
            return GateState(0, None, None, 0, self.rate_per_second, None)
        row = rows[0]
        if row.identity != self.identity:
            return GateState(0, None, None, 0, row.rate_per_second, None, throttled_at=row.throttled_at)
        kind = NewsKind(row.cause_kind) if row.cause_kind else None
        return GateState(
            row.paused_seconds or 0.0,
            row.cause,
            kind,
            row.failures_in_a_row,
            row.rate_per_second,
            row.checked_seconds_ago,
            row.refused_in_a_row,
            row.paused_until,
            row.throttled_at,
        )

    def reserve(self, n: int, monotonic: Callable[[], float] = time.monotonic) -> Reservation:
        """Reserve `n` spaced slots, fewer when the hour's quota ends before; or learn of the pause."""
        parameters = {"crm": self.crm, "n": n}

        def work(connection: Connection) -> tuple[Any, float, float]:
            asked_at = monotonic()
            return connection.execute(_statement("reserve"), parameters).first(), asked_at, monotonic()

        row, asked_at, read_at = self.database.run(work)
        if row is None:
            self.begin()
            row, asked_at, read_at = self.database.run(work)
        kind = NewsKind(row.cause_kind) if row.cause_kind else None
        self._limit_per_second = row.limit_per_second
        return Reservation(
            row.now + self._behind(asked_at - row.now, read_at - row.now),
            tuple(row.next_seconds + i / row.rate_per_second for i in range(row.granted)),
            row.next_seconds,
            row.paused_seconds,
            row.cause,
            kind,
            row.trouble,
            row.rate_per_second,
            row.throttled_at,
        )

    def _behind(self, least: float, most: float) -> float:
        """How far the monotonic clock is behind the database's: within this statement's bounds, else as known before.

        A wait for the row's lock or for a busy process would else move the slots: close to the CRM's limit 50 ms are
        enough for a 429.
        """
        known = most if self._known_behind is None else self._known_behind
        self._known_behind = min(max(known, least), most)
        return self._known_behind

    def tell(self, news: News, age_seconds: float = 0.0) -> int:
        """What a push taught that began so long ago.

        Returns how many requests failed in a row; of a refusal, contacts refused in a row; of a good answer 1 while
        there is trouble that the next may end, else 0. Raises ValueError for a doubt: a check must have settled it.
        """
        if news.kind is NewsKind.DOUBTFUL:
            raise ValueError("a doubtful answer is no news of the account until a check has settled it")
        self.tell_limit(news.limit_per_second)
        if news.kind in (NewsKind.WELL, NewsKind.REFUSED):
            return self._tell_answered(news, age_seconds)
        values: dict[str, Any] = {"sentence": news.sentence or DEFAULT_SENTENCES[news.kind]}
        if news.kind is NewsKind.THROTTLED:
            seconds = news.pause_seconds
            values |= {"seconds": UNNAMED_THROTTLE_SECONDS * _jitter() if seconds is None else seconds}
        else:
            values |= _growing_pause()
        if news.kind is NewsKind.UNAVAILABLE:
            values |= {"seconds": news.pause_seconds, "threshold": FAILURES_BEFORE_PAUSE}
        return int(self._told(news.kind.value, **values).failures_in_a_row)

    def _tell_answered(self, news: News, age_seconds: float) -> int:
        refused = news.contacts if news.kind is NewsKind.REFUSED else 0
        values = {"accepted": news.accepted, "refused": refused, "threshold": REFUSALS_BEFORE_CLOSED}
        row = self._told("answered", age_seconds=age_seconds, **values)
        if not refused:
            return int(row.trouble)
        if row.refused_in_a_row >= REFUSALS_BEFORE_CLOSED:
            sentence = news.sentence or DEFAULT_SENTENCES[news.kind]
            self.tell(replace(news, kind=NewsKind.CLOSED, sentence=sentence))
        return int(row.refused_in_a_row)

    def known(self, errors: Mapping[UUID, str]) -> set[UUID]:
        """Which contacts have a trouble of their own, by the words in which each was refused just now.

        Those to whom the same has happened since somebody asked for them, though others have been taken since.
        """
        rows = self._rows("known", ids=[str(contact_id) for contact_id in errors], errors=list(errors.values()))
        return {row.contact_id for row in rows}

    def tell_check(self, result: CheckResult, before: GateState, by_hand: bool = False) -> None:
        """What `check()` found: a pass opens the gate, anything else is told as the news it is.

        `before`: the gate as it was when the CRM was asked; what closed it since stays.
        `by_hand`: a person asked, and has looked into what contacts were refused for: a pass ends the row of refusals.
        """
        if result.news.kind is NewsKind.WELL:
            self.tell_limit(result.news.limit_per_second)
            sentence = DEFAULT_SENTENCES[NewsKind.THROTTLED]
            self._run("checked", by_hand=by_hand, seen=before.paused_until, sentence=sentence)
        else:
            self.tell(result.news)

    def tell_limit(self, per_second: float | None) -> None:
        """What the CRM's headers say a second allows, if they do. Written only when the row is not known to have it."""
        if per_second is not None and per_second > 0 and per_second != self._limit_per_second:
            self._run("limit", limit_per_second=per_second)
            self._limit_per_second = per_second

    def _told(self, name: str, **values: Any) -> Any:
        """What the row says then. A lost one is made anew, for the news must not be lost with it."""
        rows = self._rows(name, **values)
        if not rows:
            self.begin()
            rows = self._rows(name, **values)
        return rows[0]

    def _rows(self, name: str, **values: Any) -> Any:
        parameters = {"crm": self.crm} | values
        return self.database.run(lambda connection: connection.execute(_statement(name), parameters).all())

    def _run(self, name: str, **values: Any) -> None:
        parameters = {"crm": self.crm} | values
        self.database.run(lambda connection: connection.execute(_statement(name), parameters) and None)


def _jitter() -> float:
    """From three quarters to five: a pause cannot collapse to nothing."""
    return random.uniform(0.75, 1.25)  # noqa: S311 (no secret)


def _growing_pause() -> dict[str, float]:
    return {
        "first_seconds": FIRST_PAUSE_SECONDS,
        "longest_seconds": LONGEST_PAUSE_SECONDS,
        "jitter": _jitter(),
    }
