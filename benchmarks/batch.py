"""One batch of 100 through the queue, each of its statements timed."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import event

from crm_pipeline.contacts.queue import Queue
from crm_pipeline.database.engine import Database
from crm_pipeline.model import JournalEntry, Outcome, OutcomeKind

BATCH = 100
STATEMENTS = ("list", "claim", "journal", "write back")


class StatementClock:
    """Adds up what an event's statements take, as the client sees it: without BEGIN, COMMIT and the pool's ping."""

    def __init__(self, database: Database) -> None:
        self._ms = 0.0
        event.listen(database.engine, "before_cursor_execute", self._before)
        event.listen(database.engine, "after_cursor_execute", self._after)

    def taken_ms(self) -> float:
        """Milliseconds since it was last asked."""
        taken, self._ms = self._ms, 0.0
        return taken

    def _before(self, *_: Any) -> None:
        self._started = time.perf_counter()

    def _after(self, *_: Any) -> None:
        self._ms += (time.perf_counter() - self._started) * 1000


class TimedQueue:
    """A queue whose events are timed: `times` holds the ms of each, by the names in STATEMENTS."""

    def __init__(self, queue: Queue) -> None:
        self.queue = queue
        self.times: dict[str, list[float]] = {name: [] for name in STATEMENTS}
        self._clock = StatementClock(queue.database)

    def list_due(self, limit: int = BATCH) -> list[UUID]:
        """The ids at the head of what is due."""
        self._clock.taken_ms()
        due = self.queue.list_due(limit)
        self._note("list")
        return [one.id for one in due]

    def sync(self, ids: Sequence[UUID]) -> int:
        """Claim, journal and write back, as if the CRM had taken each at once. Returns how many were claimed."""
        lease = uuid4()
        self._clock.taken_ms()
        batch = self.queue.claim(ids, lease, "benchmark", 120)
        self._note("claim")
        entries = [
            JournalEntry(one.id, Outcome(OutcomeKind.SYNCED, 201, external_id=one.email, duration_ms=80), 0.1)
            for one in batch.contacts
        ]
        self.queue.journal(lease, "benchmark", entries)
        self._note("journal")
        self.queue.write_back(lease)
        self._note("write back")
        return len(batch.contacts)

    def due_now_ms(self) -> float:
        """What the sensor's question takes."""
        self._clock.taken_ms()
        self.queue.due_now()
        return self._clock.taken_ms()

    def _note(self, name: str) -> None:
        self.times[name].append(self._clock.taken_ms())
