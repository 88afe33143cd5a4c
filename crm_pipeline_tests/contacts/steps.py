"""What a run's process does, one step at a time; and what time does to leases and backoffs."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

from crm_pipeline.contacts.queue import Queue
from crm_pipeline.database.engine import Database
from crm_pipeline.model import Batch, JournalEntry, Outcome, OutcomeKind, WriteBackCounts
from crm_pipeline_tests.support.contacts import sql


def claim(queue: Queue, *ids: UUID, lease_id: UUID | None = None, run_id: str = "a run") -> Batch:
    """Take the contacts under a lease of ten minutes."""
    return queue.claim(ids, lease_id or uuid4(), run_id, 600)


def answer(
    queue: Queue, batch: Batch, kind: OutcomeKind = OutcomeKind.SYNCED, run_id: str = "a run", **outcome: Any
) -> int:
    """Journal one and the same outcome for all contacts of the batch; returns how many rows were new."""
    entries = [JournalEntry(contact.id, Outcome(kind, **outcome), 0.1) for contact in batch.contacts]
    return queue.journal(batch.lease_id, run_id, entries)


def push(queue: Queue, *ids: UUID, kind: OutcomeKind = OutcomeKind.SYNCED, **outcome: Any) -> WriteBackCounts:
    """Claim, get this outcome for all, journal it, write it back."""
    batch = claim(queue, *ids)
    assert len(batch.contacts) == len(ids), "not all could be claimed"
    answer(queue, batch, kind, **outcome)
    return queue.write_back(batch.lease_id)


def next_run(queue: Queue, limit: int = 100) -> list[UUID]:
    """What the start of a run does: repair, then list."""
    queue.reap()
    queue.take_back(always=True)
    queue.promote()
    return [queued.id for queued in queue.list_due(limit)]


def leases_end(database: Database) -> None:
    """Every lease is over."""
    sql(database, "UPDATE crm_sync SET leased_until = now() - interval '1 second' WHERE lease_id IS NOT NULL")


def backoffs_end(database: Database) -> None:
    """Every retry's time is past, in both tables."""
    sql(database, "UPDATE crm_sync SET next_retry_at = now() - interval '1 second' WHERE next_retry_at IS NOT NULL")
    sql(database, "UPDATE contacts SET next_retry_at = now() - interval '1 second' WHERE next_retry_at IS NOT NULL")
