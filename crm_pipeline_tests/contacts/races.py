"""Two who want the same rows: one holds them, the other is seen waiting. Nothing is ordered by sleeping."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

from sqlalchemy import Connection, text

from crm_pipeline.database.engine import Database
from crm_pipeline_tests.support.contacts import sql

T = TypeVar("T")
LONGEST_WAIT_SECONDS = 10.0


@contextmanager
def holding(database: Database, statement: str, **values: Any) -> Iterator[Connection]:
    """Somebody's open transaction that has run `statement`; committed at the end, unless the block rolls it back."""
    with database.engine.connect() as connection, connection.begin():
        connection.execute(text(statement), values)
        yield connection


@contextmanager
def meanwhile(work: Callable[[], T]) -> Iterator[Future[T]]:
    """`work` on a thread of its own; joined at the end."""
    with ThreadPoolExecutor(1) as executor:
        yield executor.submit(work)


def until(condition: Callable[[], bool], what: str) -> None:
    """Return when the condition is true; fail with `what` should be true when that takes too long."""
    end = time.monotonic() + LONGEST_WAIT_SECONDS
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.005)


def until_waiting(database: Database, count: int = 1) -> None:
    """Return when so many connections wait for somebody's lock."""
    until(lambda: _waiting(database) >= count, f"{count} connections should wait for a lock")


def _waiting(database: Database) -> int:
    (row,) = sql(
        database,
        "SELECT count(*) AS n FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'",
    )
    return int(row.n)
