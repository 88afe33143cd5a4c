"""1, 4 and 8 workers at once, each a process with a connection of its own, through the same queue.

Each lists what is due, as a run does, and then claims, journals and writes back the next batch that was dealt to it:
batches of 100 that do not overlap, so that each claim finds all of its contacts.
"""

from __future__ import annotations

import multiprocessing
import statistics
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from uuid import UUID

from rich.progress import Progress, TaskID

from benchmarks.batch import BATCH, STATEMENTS, TimedQueue
from benchmarks.filled import Filled, brevo_queue
from benchmarks.measured import Measured
from crm_pipeline.database.engine import Database, address

WORKERS = (1, 4, 8)
BATCHES = 160
"""Of all workers together, for each number of workers."""


def measure(progress: Progress, table: Filled) -> list[Measured]:
    """Contacts per second of all workers together, and the median and 95th percentile of each statement."""
    task = progress.add_task(f"workers at {table.contacts:,} contacts", total=None)
    found = []
    with table.copy() as database:
        due = [one.id for one in brevo_queue(database).list_due(len(WORKERS) * BATCHES * BATCH)]
        share = len(due) // len(WORKERS)
        progress.update(task, total=len(due) / BATCH)
        for number, workers in enumerate(WORKERS):
            ids = due[number * share : (number + 1) * share]
            found += _at_once(progress, task, database, ids, workers)
    return found


def _at_once(progress: Progress, task: TaskID, database: Database, ids: Sequence[UUID], workers: int) -> list[Measured]:
    context = multiprocessing.get_context("spawn")
    batches = [ids[start : start + BATCH] for start in range(0, len(ids), BATCH)]
    pipes: list[Connection] = []
    processes = []
    for number in range(workers):
        ours, theirs = context.Pipe()
        arguments = (theirs, address(database.url), batches[number::workers])
        processes.append(context.Process(target=_work, args=arguments, daemon=True))
        processes[-1].start()
        theirs.close()  # so that its end is seen here
        pipes.append(ours)
    for pipe in pipes:
        pipe.recv()  # connected
    started = time.perf_counter()
    for pipe in pipes:
        pipe.send(None)
    found: dict[str, list[float]] = {name: [] for name in STATEMENTS}
    claimed = 0
    for pipe in pipes:
        times, contacts = pipe.recv()
        claimed += contacts
        for name in STATEMENTS:
            found[name] += times[name]
        progress.advance(task, len(times["claim"]))
    seconds = time.perf_counter() - started
    for process in processes:
        process.join()
    assert claimed == len(ids), f"{claimed} of {len(ids)} contacts were claimed"
    who = f"{workers} worker{'s' if workers > 1 else ''}"
    return [
        Measured(f"{who}: contacts through the queue", f"{claimed / seconds:,.0f} per second"),
        *(Measured(f"{who}: {name} {BATCH}", _p50_p95(times)) for name, times in found.items()),
    ]


def _work(pipe: Connection, url: str, batches: Sequence[Sequence[UUID]]) -> None:
    """What one process does: connect, wait for the start, push its batches through, report."""
    database = Database(url, pool_size=1)
    queue = TimedQueue(brevo_queue(database))
    database.ping()
    pipe.send(None)
    pipe.recv()
    claimed = 0
    for ids in batches:
        queue.list_due()
        claimed += queue.sync(ids)
    pipe.send((queue.times, claimed))
    database.dispose()


def _p50_p95(times: Sequence[float]) -> str:
    return f"{statistics.median(times):.1f} ms, p95 {statistics.quantiles(times, n=20)[-1]:.1f}"
