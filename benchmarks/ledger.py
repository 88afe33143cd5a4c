"""What the ledger's look over a large table takes, when all is well and when contacts are lost."""

from __future__ import annotations

import statistics
import time

from rich.progress import Progress

from benchmarks.filled import Filled, brevo_queue
from benchmarks.measured import Measured
from benchmarks.server import execute
from crm_pipeline.contacts.ledger import look

ROUNDS = 5
LOST = 1_000
GOAL_SECONDS = 2.0
INTERVAL_MINUTES = 5


def measure(progress: Progress, table: Filled) -> list[Measured]:
    """Medians in s over 5 looks."""
    task = progress.add_task(f"the ledger at {table.contacts:,} contacts", total=2 * ROUNDS)
    found = []
    with table.copy() as database:
        queue = brevo_queue(database)

        def looks(state: str, lost: int) -> None:
            taken = []
            for _ in range(ROUNDS):
                started = time.perf_counter()
                ledger = look(queue, INTERVAL_MINUTES, paused=False)
                taken.append(time.perf_counter() - started)
                assert len(ledger.lost) == lost
                progress.advance(task)
            median = statistics.median(taken)
            what = f"the ledger, {state} of {table.contacts:,}"
            found.append(Measured(what, f"{median:.2f} s", f"{GOAL_SECONDS:g} s", median <= GOAL_SECONDS))

        looks("none lost", 0)
        lost = min(LOST, table.contacts // 100)
        execute(
            database,
            "UPDATE contacts SET brevo_processing_status = 'Error' WHERE id IN "
            f"(SELECT id FROM contacts WHERE brevo_sync_status = 'Complete' LIMIT {lost})",
        )
        looks(f"{lost:,} lost", lost)
    return found
