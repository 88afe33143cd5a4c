"""The four statements of a batch of 100, one worker alone."""

from __future__ import annotations

import statistics

from rich.progress import Progress

from benchmarks.batch import BATCH, TimedQueue
from benchmarks.filled import Filled, brevo_queue
from benchmarks.measured import Measured

ROUNDS = 60
TRIAL_MS = {"list": 0.4, "claim": 5.2, "journal": 2.7, "write back": 4.0}


def measure(progress: Progress, table: Filled) -> list[Measured]:
    """Medians in ms, over 60 batches."""
    task = progress.add_task(f"statements at {table.contacts:,} contacts", total=ROUNDS)
    with table.copy() as database:
        queue = TimedQueue(brevo_queue(database))
        for _ in range(ROUNDS):
            queue.sync(queue.list_due())
            progress.advance(task)
    return [
        Measured(
            f"{name}, {BATCH} of {table.contacts:,}",
            f"{statistics.median(found):.1f} ms",
            f"{2 * TRIAL_MS[name]:.1f} ms",
            statistics.median(found) <= 2 * TRIAL_MS[name],
        )
        for name, found in queue.times.items()
    ]
