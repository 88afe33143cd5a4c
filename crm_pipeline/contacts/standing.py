"""Beside the queue's depth: what is being pushed, what was given up lately, what the last run did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from crm_pipeline.contacts.queue import Queue
from crm_pipeline.contacts.which import Which

GIVEN_UP_HOURS = 24
NEWEST_ATTEMPTS = 100_000
"""How far back in the journal a CRM's last run is looked for: another CRM may have pushed much since."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Counts of contacts."""

    being_pushed: int
    lease_over: int
    """Their process died, or stalled: the next run takes them back."""
    retry_over: int
    """Still waiting, although their time is past: the next run promotes them."""
    next_retry_at: datetime | None
    """The first time yet to come at which a contact's wait is over."""
    given_up: int
    """Given up or refused, and pushed within the last 24 hours. All there are: a scan of the table."""


def standing(queue: Queue) -> Standing:
    """Counted by indexes: as large as what is in flight and the last day's failures, not as the table."""
    statement = queue.statements.choosing(Which.GIVEN_UP)("standing", "queries")
    values = {"crm": queue.crm, "hours": GIVEN_UP_HOURS}
    row = queue.database.run(lambda connection: connection.execute(statement, values).one())
    return Standing(row.held, row.over, row.retry_over, row.next_retry_at, row.given_up)


@dataclass(frozen=True, slots=True)
class LastRun:
    """The run that pushed last, in Dagster or by hand."""

    run_id: str
    began_at: datetime
    """Its first push."""
    last_push_at: datetime
    seconds_ago: float
    """Since its last push."""
    pushes: Mapping[str, int]
    """By outcome."""


def last_run(queue: Queue) -> LastRun | None:
    """From `crm_attempts`; None: none has pushed, as far back as the journal is looked at."""
    values = {"crm": queue.crm, "newest": NEWEST_ATTEMPTS}
    rows = queue.database.run(
        lambda connection: connection.execute(queue.statements("last_run", "queries"), values).all()
    )
    if not rows:
        return None
    return LastRun(
        rows[0].run_id,
        min(row.first_at for row in rows),
        max(row.last_at for row in rows),
        max(min(row.seconds_ago for row in rows), 0.0),
        {row.outcome: row.pushes for row in rows},
    )
