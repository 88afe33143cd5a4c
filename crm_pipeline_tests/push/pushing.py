"""One CRM's queue, gate and account put together, with a real database and a real server, for one batch at a time."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeVar
from uuid import UUID, uuid4

from crm_pipeline.contacts.queue import Queue
from crm_pipeline.crms.protocol import Crm
from crm_pipeline.database.engine import Database
from crm_pipeline.errors import ActionNeeded
from crm_pipeline.gate.gate import Gate
from crm_pipeline.model import PushResult
from crm_pipeline.push.due import find_due
from crm_pipeline.push.push import Push
from crm_pipeline.push.sandbox import Sandbox
from crm_pipeline_tests.support.contacts import sql

RUN = "run-1"
TRIAL = Sandbox(embedded_database=False, allowed=True)
T = TypeVar("T")


@dataclass
class Pushing:
    """Pushes what is due, as one step of a run does; `lease` is the batch's."""

    queue: Queue
    gate: Gate
    crm: Crm
    threads: int
    retry_rejected: bool = True
    sandbox: Sandbox = TRIAL

    def __post_init__(self) -> None:
        self.stop = threading.Event()
        self.lease = uuid4()

    @cached_property
    def parts(self) -> Push:
        """In a run that has begun."""
        parts = Push(self.queue, self.gate, self.crm, self.threads, self.retry_rejected, self.sandbox)
        parts.prepared.set()
        return parts

    def due(self) -> list[UUID]:
        return [contact.id for contact in self.queue.list_due(1000)]

    def push(self, ids: Sequence[UUID] | None = None) -> PushResult:
        """Everything that is due, in one batch under `lease`; not written back."""
        return self.parts.push(self.due() if ids is None else ids, self.lease, RUN, self.stop)

    def push_and_write_back(self) -> PushResult:
        result = self.push()
        self.queue.write_back(self.lease)
        return result

    @contextmanager
    def pushing(self) -> Iterator[Future[PushResult]]:
        """Push in a thread while the block runs; waits for its end."""
        with ThreadPoolExecutor(1) as thread:
            yield thread.submit(self.push)

    def another(self, **changes: Any) -> Pushing:
        """The same CRM's next batch, under a lease of its own."""
        lease = changes.pop("lease", None)
        other = replace(self, **changes)
        other.lease = lease or other.lease
        return other

    def leases(self) -> int:
        """Contacts that are under a lease."""
        return len(sql(self.queue.database, "SELECT FROM crm_sync WHERE lease_id IS NOT NULL"))

    def journal(self) -> dict[str, int]:
        """Rows of `crm_attempts` by outcome."""
        rows = sql(self.queue.database, "SELECT outcome, count(*) AS n FROM crm_attempts GROUP BY 1")
        return {row.outcome: row.n for row in rows}


def waits_are_over(database: Database) -> None:
    """Of the gate and of all contacts."""
    sql(database, "UPDATE crm_gate SET paused_until = now() WHERE paused_until IS NOT NULL")
    for table in ("crm_sync", "contacts"):
        sql(database, f"UPDATE {table} SET next_retry_at = now() WHERE next_retry_at IS NOT NULL")


def whole_run(sync: Pushing, limit: int = 1920) -> Counter[str]:
    """A run as Dagster makes it: begin, list up to `limit`, push all batches, write each back.

    Its outcomes; `red` when it stops.
    """
    run = sync.another()
    outcomes: Counter[str] = Counter()
    try:
        run.parts.begin(run.stop)
    except ActionNeeded:
        outcomes["red"] += 1
        return outcomes
    for batch in find_due(run.queue, limit, lambda _: 10, probing=run.gate.state().half_open).batches:
        lease = uuid4()
        outcomes.update(run.parts.push(batch, lease, RUN, run.stop).outcomes)
        run.queue.write_back(lease)
    return outcomes


def eventually(condition: Callable[[], T], seconds: float = 5.0) -> T:
    """The first true value of `condition()`; fails after `seconds`."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, f"waited {seconds} s in vain; the last value was {value!r}"
        time.sleep(0.02)


def push_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("push")]
