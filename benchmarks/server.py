"""A PostgreSQL of its own for the measurements, with default settings, in a folder that is removed."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import text

from crm_pipeline.database.embedded import EmbeddedPostgres
from crm_pipeline.database.engine import Database


@contextmanager
def data_folder() -> Iterator[Path]:
    """A folder with a running server in `postgres/`; both gone at the end."""
    folder = Path(tempfile.mkdtemp(prefix="crm-benchmark-"))
    postgres = EmbeddedPostgres(folder).start()
    try:
        yield folder
    finally:
        postgres.stop()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def bare_database() -> Iterator[Database]:
    """An empty database with the server's default settings."""
    with data_folder() as folder:
        database = Database(EmbeddedPostgres(folder).start().url())
        yield database
        database.dispose()


def execute(database: Database, statement: str) -> None:
    """One statement outside a transaction, without time limit."""
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(statement))
