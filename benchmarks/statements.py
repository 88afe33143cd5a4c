"""The four statements of a batch of 100 at a million contacts."""

from __future__ import annotations

import statistics
import time
from uuid import uuid4

from rich.progress import Progress
from sqlalchemy import Engine, event

from benchmarks.measured import Measured
from benchmarks.server import bare_database, execute
from crm_pipeline.contacts.columns import CrmColumns
from crm_pipeline.contacts.queue import Queue, RetryPolicy
from crm_pipeline.database.upgrade import upgrade
from crm_pipeline.model import JournalEntry, Outcome, OutcomeKind

BATCH = 100
ROUNDS = 60
TRIAL_MS = {"list": 0.4, "claim": 5.2, "journal": 2.7, "write back": 4.0}


def measure(progress: Progress, contacts: int = 1_000_000) -> list[Measured]:
    """Medians in ms, over 60 batches, a tenth of the contacts queued."""
    task = progress.add_task(f"statements at {contacts:,} contacts", total=ROUNDS + 4)
    with bare_database() as database:
        upgrade(database)
        for part in range(4):
            execute(
                database,
                "INSERT INTO contacts (email, name, phone_number, email_type, source_url, context, "
                "created_at, updated_at, brevo_sync_status, brevo_processing_status) "
                "SELECT 'person-' || i || '@example.com', 'Person Number ' || i, '+336' || (10000000 + i), "
                "'CORPORATE', 'https://example.com/page/' || i, repeat('x', 120), now() - i * interval '1 second', "
                "now() - i * interval '1 second', "
                "CASE WHEN i % 10 = 0 THEN 'Selected' ELSE 'New' END::crm_sync_status, "
                "CASE WHEN i % 10 = 0 THEN 'Queued' END::crm_processing_status "
                f"FROM generate_series({part * contacts // 4 + 1}, {(part + 1) * contacts // 4}) i",
            )
            progress.advance(task)
        execute(database, "VACUUM ANALYZE")
        queue = Queue(database, CrmColumns("brevo", "brevo_contact_id"), RetryPolicy(), "api.example.com")
        times: dict[str, list[float]] = {name: [] for name in TRIAL_MS}
        clock = StatementClock(database.engine)
        for _ in range(ROUNDS):
            lease = uuid4()
            due = queue.list_due(BATCH)
            times["list"].append(clock.taken_ms())
            batch = queue.claim([one.id for one in due], lease, "benchmark", 120)
            times["claim"].append(clock.taken_ms())
            entries = [
                JournalEntry(one.id, Outcome(OutcomeKind.SYNCED, 201, external_id=one.email, duration_ms=80), 0.1)
                for one in batch.contacts
            ]
            queue.journal(lease, "benchmark", entries)
            times["journal"].append(clock.taken_ms())
            queue.write_back(lease)
            times["write back"].append(clock.taken_ms())
            progress.advance(task)
    return [
        Measured(
            f"{name}, {BATCH} of {contacts:,}",
            f"{statistics.median(found):.1f} ms",
            f"{2 * TRIAL_MS[name]:.1f} ms",
            statistics.median(found) <= 2 * TRIAL_MS[name],
        )
        for name, found in times.items()
    ]


class StatementClock:
    """Adds up what an event's statements take, as the client sees it: without BEGIN, COMMIT and the pool's ping."""

    def __init__(self, engine: Engine) -> None:
        self._ms = 0.0
        event.listen(engine, "before_cursor_execute", self._before)
        event.listen(engine, "after_cursor_execute", self._after)

    def taken_ms(self) -> float:
        """Milliseconds since it was last asked."""
        taken, self._ms = self._ms, 0.0
        return taken

    def _before(self, *_: object) -> None:
        self._started = time.perf_counter()

    def _after(self, *_: object) -> None:
        self._ms += (time.perf_counter() - self._started) * 1000
