"""The queue while another session keeps one old snapshot: dead rows and index entries of all that passes stay."""

from __future__ import annotations

import statistics

from rich.progress import Progress
from sqlalchemy import text

from benchmarks.batch import BATCH, STATEMENTS, TimedQueue
from benchmarks.filled import Filled, brevo_queue
from benchmarks.measured import Measured
from benchmarks.server import execute

PASSING = 40_000
EVERY = 10_000
SAMPLE = 20
"""Batches whose median is taken, at each point."""
DUE = "is anything due?"


def measure(progress: Progress, table: Filled) -> list[Measured]:
    """Medians in ms: before, after each 10,000 contacts, and after the snapshot's end and a vacuum."""
    task = progress.add_task(f"{PASSING:,} contacts under a held snapshot", total=PASSING // BATCH + 2 * SAMPLE)
    medians: dict[str, list[float]] = {name: [] for name in (DUE, *STATEMENTS)}
    with table.copy() as database:
        queue = TimedQueue(brevo_queue(database))

        def sync(batches: int) -> None:
            for _ in range(batches):
                queue.sync(queue.list_due())
                progress.advance(task)
            for name in STATEMENTS:
                medians[name].append(statistics.median(queue.times[name][-SAMPLE:]))
            medians[DUE].append(statistics.median(queue.due_now_ms() for _ in range(SAMPLE)))

        sync(SAMPLE)
        with database.engine.connect().execution_options(isolation_level="REPEATABLE READ") as reader:
            reader.execute(text("SELECT count(*) FROM crm_gate"))
            for _ in range(0, PASSING, EVERY):
                sync(EVERY // BATCH)
        execute(database, "VACUUM")
        sync(SAMPLE)
    points = " / ".join(["before", *(f"{passed:,}" for passed in range(EVERY, PASSING + 1, EVERY)), "after"])
    return [
        Measured(f"{name}, one snapshot held: {points}", " / ".join(f"{one:.1f}" for one in found) + " ms")
        for name, found in medians.items()
    ]
