"""What one tick of the retry sensor asks: is the gate open, does a silent run hold a lease, is anything due?"""

from __future__ import annotations

import statistics

from rich.progress import Progress

from benchmarks.batch import StatementClock
from benchmarks.filled import DUE_SHARE, Filled, brevo_queue
from benchmarks.measured import Measured
from benchmarks.server import execute
from crm_pipeline.gate.gate import Gate

TICKS = 30
GOAL_MS = 5.0
WAITING = (1_000, 9_000)
"""So many contacts more wait for their retry. At 8 a second at most 9,600 fail within 20 minutes, the longest wait."""


def measure(progress: Progress, table: Filled) -> list[Measured]:
    """Medians in ms over 30 ticks: while much is due, when nothing is, and while contacts wait for their retry."""
    task = progress.add_task(f"a sensor's ticks at {table.contacts:,} contacts", total=(2 + len(WAITING)) * TICKS)
    found = []
    with table.copy() as database:
        queue = brevo_queue(database)
        gate = Gate(database, "brevo", "benchmark", 8)
        gate.begin()
        clock = StatementClock(database)

        def ticks(state: str) -> Measured:
            taken = []
            for _ in range(TICKS):
                clock.taken_ms()
                gate.state()
                queue.holds_lease("a run that was started")
                queue.due_now()
                taken.append(clock.taken_ms())
                progress.advance(task)
            median = statistics.median(taken)
            goal = f"{GOAL_MS:.0f} ms"
            return Measured(f"a sensor's tick, {state}", f"{median:.1f} ms", goal, median <= GOAL_MS)

        found.append(ticks(f"{table.contacts // DUE_SHARE:,} of {table.contacts:,} due"))
        execute(
            database,
            "UPDATE contacts SET brevo_sync_status = 'New', brevo_processing_status = NULL "
            "WHERE brevo_processing_status = 'Queued'",
        )
        execute(database, "VACUUM ANALYZE contacts")
        found.append(ticks("nothing due"))
        waiting = 0
        for more in WAITING:
            execute(database, _wait(more))
            waiting += more
            found.append(ticks(f"{waiting:,} waiting for their retry"))
    return found


def _wait(contacts: int) -> str:
    """So many synced contacts become failed ones, whose retry is an hour away."""
    return f"""
WITH failed AS (
    UPDATE contacts SET brevo_sync_status = 'Queued', brevo_processing_status = 'Error',
        next_retry_at = now() + interval '1 hour', last_failed_crm = 'brevo', retry_count = 1
    WHERE id IN (SELECT id FROM contacts WHERE brevo_sync_status = 'Complete' LIMIT {contacts})
    RETURNING id
)
UPDATE crm_sync SET next_retry_at = now() + interval '1 hour', retry_count = 1
FROM failed WHERE contact_id = failed.id AND crm = 'brevo'"""
