"""How many in each state, and what a run did: counted from the database, never from what a process remembers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from crm_pipeline.contacts.queue import Queue
from crm_pipeline.model import Failure, RunSummary
from crm_pipeline.redaction import mask_email

FAILURES_SHOWN = 100


def counted(contacts: int) -> str:
    """`1 contact`, `1,200 contacts`."""
    return "1 contact" if contacts == 1 else f"{contacts:,} contacts"


@dataclass(frozen=True, slots=True)
class Depth:
    """The queue's depth: due now, waiting for a backoff, and the age of the oldest due contact in seconds."""

    queued: int
    waiting: int
    oldest_seconds: float


def depth(queue: Queue) -> Depth:
    """Counts from partial indexes: as large as the backlog, not as the table."""
    row = queue.database.run(lambda connection: connection.execute(queue.statements("depth", "queries")).one())
    return Depth(row.queued, row.waiting, max(row.oldest_seconds or 0.0, 0.0))


def pairs(queue: Queue) -> list[tuple[str, str | None, int]]:
    """(sync status, processing status, contacts) of each pair that occurs. Scans the table."""

    def scan(connection: Connection) -> list[tuple[str, str | None, int]]:
        connection.execute(queue.statements("allow_scan", "queries"))
        return [tuple(row) for row in connection.execute(queue.statements("pairs", "queries")).all()]

    return queue.database.run(scan)


@dataclass(frozen=True, slots=True)
class Refusals:
    """Pushes of the last 24 hours that were the contacts' own: how many, and how many failed or were rejected."""

    attempts: int
    refused: int


def refusals(queue: Queue) -> Refusals:
    """Counted from `crm_attempts`; an index by time serves it."""
    row = queue.database.run(
        lambda connection: connection.execute(queue.statements("refusals", "queries"), {"crm": queue.crm}).one()
    )
    return Refusals(row.attempts, row.refused)


@dataclass(frozen=True, slots=True)
class Recent:
    """Pushes that began within the last minutes."""

    pushes: Mapping[str, int]
    """By outcome."""
    answer_seconds: Mapping[float, float]
    """How long an answer took, by share of answers (0.5: half of them took no longer); empty: none came."""


def recent(queue: Queue, minutes: int, shares: Sequence[float]) -> Recent:
    """Counted from `crm_attempts`; an index by time serves it, so the table of contacts is not read."""
    key = {"crm": queue.crm, "minutes": minutes}

    def count(connection: Connection) -> Recent:
        outcomes = connection.execute(queue.statements("recent_outcomes", "queries"), key).all()
        statement = queue.statements("recent_times", "queries")
        times_ms = connection.execute(statement, key | {"shares": list(shares)}).scalar_one() or []
        return Recent(
            {row.outcome: row.pushes for row in outcomes},
            {share: time_ms / 1000 for share, time_ms in zip(shares, times_ms, strict=False)},
        )

    return queue.database.run(count)


def run_summary(queue: Queue, run_id: str) -> RunSummary:
    """What the run did, from its journal; the same when asked again."""
    key = {"crm": queue.crm, "run_id": run_id}

    def rows(name: str, **values: int) -> list[Any]:
        return list(
            queue.database.run(
                lambda connection: connection.execute(queue.statements(name, "queries"), key | values).all()
            )
        )

    outcomes = rows("run_outcomes")
    (times,) = rows("run_times")
    failures = rows("run_failures", limit=FAILURES_SHOWN)
    now = depth(queue)
    seconds = times.seconds_of_starts or 0.0
    return RunSummary(
        run_id=run_id,
        attempts={row.outcome: row.contacts for row in outcomes},
        given_up=failures[0].total_given_up if failures else 0,
        requeued=sum(row.not_applied for row in outcomes),
        throughput_per_second=round((times.requests - 1) / seconds, 2) if seconds else 0.0,
        p50_ms=times.p50_ms,
        p95_ms=times.p95_ms,
        failures=[
            Failure(
                mask_email(row.email),
                row.contact_id,
                row.outcome,
                row.error,
                row.retry_count,
                row.next_retry_at,
            )
            for row in failures
        ],
        queued=now.queued,
        waiting=now.waiting,
    )
