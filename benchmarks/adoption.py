"""How long a writer waits while a million contacts are taken over, and how long that takes."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from uuid import UUID

from rich.progress import Progress
from sqlalchemy import Connection, Engine, create_engine, text

from benchmarks.measured import Measured
from benchmarks.server import bare_database, execute
from crm_pipeline.database.engine import Database
from crm_pipeline.database.upgrade import upgrade

GOAL_MS = 100.0
PARTS = 4
WARM_UP_SECONDS = 5.0
REPORT_SECONDS = 3.0
WAITING_SHARE = 20
"""One contact in so many waits for a retry."""
_APPLICATION = (
    "CREATE TYPE hubspot_sync_status AS ENUM ('New', 'Queued', 'Processing', 'Complete', 'Error')",
    "CREATE TYPE hubspot_sync_processing_status AS ENUM ('Queued', 'Processing', 'Complete', 'Error')",
    "CREATE TABLE contacts (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), email varchar(255) NOT NULL, "
    "name varchar(200), created_at timestamptz DEFAULT now(), updated_at timestamptz DEFAULT now(), "
    "hubspot_sync_status hubspot_sync_status NOT NULL DEFAULT 'New', "
    "hubspot_processing_status hubspot_sync_processing_status, hubspot_processing_error text, "
    "hubspot_contact_id varchar(255), retry_count integer NOT NULL DEFAULT 0, last_retry_at timestamptz, "
    "next_retry_at timestamptz, last_failed_crm varchar(20))",
)


def measure(progress: Progress, contacts: int = 1_000_000) -> list[Measured]:
    """A writer's longest statement before and during the upgrade, while a report reads the table for 3 s."""
    task = progress.add_task(f"adoption of {contacts:,} contacts", total=PARTS + 2)
    with bare_database() as database:
        for statement in _APPLICATION:
            execute(database, statement)
        for part in range(PARTS):
            execute(
                database,
                "INSERT INTO contacts (email, name, hubspot_sync_status, hubspot_processing_status, retry_count, "
                "next_retry_at, last_failed_crm) SELECT 'person-' || i || '@example.com', 'Person Number ' || i, "
                "(CASE WHEN waits THEN 'Queued' ELSE 'Complete' END)::hubspot_sync_status, "
                "(CASE WHEN waits THEN 'Error' ELSE 'Complete' END)::hubspot_sync_processing_status, waits::int, "
                "CASE WHEN waits THEN now() END, CASE WHEN waits THEN 'hubspot' END "
                f"FROM (SELECT i, i % {WAITING_SHARE} = 0 AS waits "
                f"FROM generate_series({part * contacts // PARTS + 1}, {(part + 1) * contacts // PARTS}) i) numbers",
            )
            progress.advance(task)
        execute(database, "VACUUM ANALYZE")
        with Writer(database) as writer:
            time.sleep(WARM_UP_SECONDS)
            before = writer.longest_ms()
            progress.advance(task)
            with _report(database):
                started = time.perf_counter()
                upgrade(database)
                taken = time.perf_counter() - started
            statements, during = writer.statements, writer.longest_ms()
        progress.advance(task)
    return [
        Measured("a writer's longest wait, nothing else running", f"{before:.0f} ms"),
        Measured(
            f"a writer's longest wait while {contacts:,} contacts are adopted ({statements:,} statements)",
            f"{during:.0f} ms",
            f"{GOAL_MS:.0f} ms",
            during <= GOAL_MS,
        ),
        Measured(f"adoption of {contacts:,} contacts, {contacts // WAITING_SHARE:,} of them waiting", f"{taken:.1f} s"),
    ]


class Writer:
    """A thread that updates, inserts and deletes single contacts, one after the other, as an application does.

    Its commits do not wait for the disk: what is measured is the wait for others.
    """

    def __init__(self, database: Database) -> None:
        self._engine: Engine = create_engine(database.url, isolation_level="AUTOCOMMIT")
        self._stop = threading.Event()
        self._pool = ThreadPoolExecutor(1)
        self._longest = 0.0
        self.statements = 0
        """Since `longest_ms` was last asked."""

    def __enter__(self) -> Writer:
        self._writing = self._pool.submit(self._write)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._pool.shutdown()
        self._engine.dispose()
        self._writing.result()

    def longest_ms(self) -> float:
        """The longest statement in ms since it was last asked."""
        longest, self._longest, self.statements = self._longest * 1000, 0.0, 0
        return longest

    def _write(self) -> None:
        with self._engine.connect() as connection:
            connection.execute(text("SET synchronous_commit = off"))
            some = "SELECT id FROM contacts TABLESAMPLE SYSTEM (20) WHERE hubspot_processing_status = "
            at_rest = connection.execute(text(some + "'Complete'")).scalars().all()
            waiting = connection.execute(text(some + "'Error'")).scalars().all()
            for number in itertools.count():
                if self._stop.is_set():
                    return
                self._write_one(connection, at_rest[number % len(at_rest)])
                if number % 10 == 0:  # one that is perhaps being taken over
                    self._timed(
                        connection, "DELETE FROM contacts WHERE id = :id", id=waiting[number // 10 % len(waiting)]
                    )

    def _write_one(self, connection: Connection, contact_id: UUID) -> None:
        self._timed(connection, "UPDATE contacts SET name = name || '.' WHERE id = :id", id=contact_id)
        added = self._timed(connection, "INSERT INTO contacts (email) VALUES ('new@example.com') RETURNING id")
        self._timed(connection, "DELETE FROM contacts WHERE id = :id", id=added)

    def _timed(self, connection: Connection, statement: str, **values: UUID | None) -> UUID | None:
        started = time.perf_counter()
        result = connection.execute(text(statement), values)
        self._longest = max(self._longest, time.perf_counter() - started)
        self.statements += 1
        return result.scalar_one() if result.returns_rows else None


@contextmanager
def _report(database: Database) -> Iterator[None]:
    """A transaction that has read `contacts` and stays open for some seconds: no column can be added meanwhile."""
    reader = database.engine.connect()
    reader.execute(text("SELECT count(*) FROM contacts"))
    end = threading.Timer(REPORT_SECONDS, reader.close)
    end.start()
    try:
        yield
    finally:
        end.join()
