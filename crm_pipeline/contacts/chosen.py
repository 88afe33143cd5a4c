"""Contacts that a person chooses at once: listed without a lock; the event that takes them looks again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from crm_pipeline.contacts.queue import AT_ONCE, Queue
from crm_pipeline.contacts.which import Which
from crm_pipeline.database.engine import Database
from crm_pipeline.model import QueuedContact

LISTED_AT_ONCE = 5000


def given_up(queue: Queue, error_contains: str = "") -> list[UUID]:
    """Contacts given up or refused, whose error contains the text (any case). Scans the table."""
    return [row.id for row in _scan(queue, "given_up", Which.GIVEN_UP, contains=error_contains)]


def select_again(queue: Queue, ids: Sequence[UUID], which: Which) -> int:
    """Select those that still are in the choice, some at a time. Returns how many."""
    return sum(queue.select(ids[start : start + AT_ONCE], which) for start in range(0, len(ids), AT_ONCE))


def list_day(queue: Queue, which: Which, day: date) -> Iterator[list[QueuedContact]]:
    """Contacts of the choice that were created on that day (UTC), oldest first, some at a time. Locks nothing."""
    after: Any = None
    while True:
        rows = _scan(
            queue,
            "list_day",
            which,
            **_bounds(day),
            after_time=after and after.created_at,
            after_id=after and str(after.id),
            limit=LISTED_AT_ONCE,
        )
        if rows:
            yield [QueuedContact(row.id, row.email_key, row.crashes, row.has_error, row.former_key) for row in rows]
        if len(rows) < LISTED_AT_ONCE:
            return
        after = rows[-1]


def day_pairs(queue: Queue, which: Which, day: date) -> list[tuple[str, str | None, int]]:
    """(sync status, processing status, contacts) of each pair that the choice has on that day (UTC)."""
    return [tuple(row) for row in _scan(queue, "day_pairs", which, **_bounds(day))]


def oldest_day(database: Database) -> date | None:
    """The day (UTC) on which the oldest contact was created; None: there is none.

    Without an index on `created_at` the table is scanned, for 2 s at most. Raises DatabaseFailure.
    """

    def oldest(connection: Connection) -> date | None:
        connection.execute(text("SET LOCAL enable_seqscan = on; SET LOCAL statement_timeout = '2s'"))
        day: date | None = connection.execute(
            text("SELECT CAST(min(created_at) AT TIME ZONE 'UTC' AS date) FROM contacts WHERE isfinite(created_at)")
        ).scalar_one()
        return day

    return database.run(oldest, patience_seconds=0)


def _bounds(day: date) -> dict[str, datetime]:
    start = datetime.combine(day, time(), UTC)
    return {"start": start, "end": start + timedelta(days=1)}


def _scan(queue: Queue, query: str, which: Which, **values: Any) -> Sequence[Any]:
    def scan(connection: Connection) -> Sequence[Any]:
        connection.execute(queue.statements("allow_scan", "queries"))
        return connection.execute(queue.statements.choosing(which)(query, "queries"), {"crm": queue.crm} | values).all()

    return queue.database.run(scan)
