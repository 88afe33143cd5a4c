"""Time that passes as fast as it can be reckoned, for the real gate and pacer: minutes of pacing in seconds."""

from __future__ import annotations

import heapq
import itertools
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from sqlalchemy import event, text
from sqlalchemy.engine import URL

from crm_pipeline.database.engine import Database

_FIRST_NOW = 4_000_000_000.0  # later than whatever the database has been told in real time
MOST_THREADS = 100
_CLOCK = (
    "CREATE SCHEMA virtual",
    "CREATE FUNCTION virtual.clock_timestamp() RETURNS timestamptz VOLATILE LANGUAGE sql AS "
    "$$ SELECT to_timestamp(current_setting('virtual.now')::double precision) $$",
)


class VirtualTime(threading.Event):
    """The clock of a database and of the threads that `run`, of which one runs at a time: waiting is what moves it.

    As a pacer's `stop` event it is never set. No sleep is real, so nothing depends on how fast the machine is.
    """

    def __init__(self, database: Database) -> None:
        super().__init__()
        self.now = _FIRST_NOW
        self.database_steps = 0.0
        """By how much the database's clock has been put forward, in seconds."""
        self.database = database
        self._numbers = itertools.count()
        self._sleepers: list[tuple[float, int, threading.Semaphore]] = []
        self._turn = threading.Semaphore(0)
        event.listen(database.engine, "before_cursor_execute", self._tell_time, retval=True)

    def __call__(self) -> float:
        """As `time.monotonic`."""
        return self.now

    def wait(self, timeout: float | None = None) -> bool:
        """Let the others run until so many seconds have passed; outside `run` it just gets later."""
        assert timeout is not None
        if threading.current_thread() is threading.main_thread():
            self.now += max(timeout, 0)
            return False
        mine = threading.Semaphore(0)
        self._sleep(mine, timeout)
        self._turn.release()
        mine.acquire()
        return False

    def run(self, *works: Callable[[], object]) -> None:
        """Run these side by side, each in a thread; raises what one of them raises."""
        with ThreadPoolExecutor(MOST_THREADS) as self._threads:
            futures = [self._start(work) for work in works]
            while self._sleepers:
                self.now, _, sleeper = heapq.heappop(self._sleepers)
                sleeper.release()
                self._turn.acquire()
        for future in futures:
            future.result()

    def alongside(self, *works: Callable[[], object]) -> None:
        """From within `run`: run these too, and wait for them."""
        mine = threading.Semaphore(0)
        left = list(works)

        def one(work: Callable[[], object]) -> None:
            try:
                work()
            finally:
                left.pop()
                if not left:
                    self._sleep(mine, 0)

        futures = [self._start(lambda work=work: one(work)) for work in works]  # type: ignore[misc]
        self._turn.release()
        mine.acquire()
        for future in futures:
            future.result()

    def _start(self, work: Callable[[], object]) -> Future[None]:
        mine = threading.Semaphore(0)
        self._sleep(mine, 0)
        return self._threads.submit(self._started, mine, work)

    def _started(self, mine: threading.Semaphore, work: Callable[[], object]) -> None:
        mine.acquire()
        try:
            work()
        finally:
            self._turn.release()

    def _sleep(self, sleeper: threading.Semaphore, seconds: float) -> None:
        heapq.heappush(self._sleepers, (self.now + max(seconds, 0), next(self._numbers), sleeper))

    def _tell_time(
        self, _connection: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, _many: bool
    ) -> tuple[str, Any]:
        return f"SET virtual.now = {self.now + self.database_steps!r}; {statement}", parameters


@contextmanager
def virtual_time(url: URL) -> Iterator[VirtualTime]:
    """The database at `url` with a clock of its own, which stands still until somebody waits."""
    preparing = Database(url)
    for statement in _CLOCK:
        preparing.run(lambda connection, statement=statement: connection.execute(text(statement)))  # type: ignore[misc]
    preparing.dispose()
    # What stands before pg_catalog in the search path takes the place of PostgreSQL's own function.
    database = Database(url.update_query_dict({"options": "-c search_path=virtual,public,pg_catalog"}))
    try:
        yield VirtualTime(database)
    finally:
        database.dispose()
