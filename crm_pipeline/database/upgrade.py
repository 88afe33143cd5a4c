"""Brings a database to this version's schema, while others read and write it; or prints the script that does."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import Script, ScriptDirectory
from alembic.script.revision import RevisionError
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from crm_pipeline.database.adoption import execute, missing_statements, session_settings
from crm_pipeline.database.catalog import differences
from crm_pipeline.database.engine import Database, first_line, where
from crm_pipeline.database.migrations.crms import CRMS
from crm_pipeline.database.present import VERSION_TABLE, Present, read_present
from crm_pipeline.database.rights import grants, not_owned
from crm_pipeline.errors import DatabaseFailure, SchemaError

PATIENCE_SECONDS = 300.0
_TRY_LOCK = text("SELECT pg_try_advisory_lock(hashtextextended('crm_pipeline upgrade', 0))")
_LOCK_POLL_SECONDS = 0.2


def newest_version() -> str:
    """The version that this code needs."""
    head = ScriptDirectory.from_config(_config()).get_current_head()
    assert head is not None
    return head


def is_known(version: str) -> bool:
    """Has this code an upgrade to this version? Else it is a newer code's."""
    return version in {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}


def current_version(database: Database) -> str | None:
    """The database's version, or None when it was never upgraded."""
    return database.run(_current)


def upgrade(database: Database, patience_seconds: float = PATIENCE_SECONDS) -> tuple[str | None, str]:
    """Run what is missing, one upgrade at a time; returns the version before and after. Twice changes nothing.

    Raises DatabaseUnreachable; SchemaError, before anything is changed, when a person must change something first;
    DatabaseFailure when a lock was not free for `patience_seconds`: what was done stays, and the next upgrade goes on.
    """
    database.ping()
    with _alone(database, patience_seconds) as connection:
        before = _current(connection)
        pending = _pending(before)
        present = _adoptable(connection, database)
        if pending or missing_statements(present, CRMS):
            if strangers := not_owned(present, CRMS):
                raise SchemaError(strangers, "`crm-pipeline db upgrade --sql` prints the script for the owner to run.")
            for setting in session_settings(present):
                connection.exec_driver_sql(setting)
            config = _config()
            config.attributes |= {
                "connection": connection,
                "schema": present.schema,
                "patience_seconds": patience_seconds,
            }
            command.upgrade(config, "head")
            execute(connection, missing_statements(read_present(connection, CRMS), CRMS), patience_seconds)
    return before, newest_version()


def upgrade_script(database: Database) -> str:
    """The SQL script that upgrades this database, for psql and the owner of the tables; running it equals `upgrade`.

    It may be run again, and gives this connection's role what it needs. Raises SchemaError as `upgrade` does.
    """
    database.ping()
    before = current_version(database)
    pending = _pending(before)
    present = database.run(lambda connection: _adoptable(connection, database))
    statements = [statement for revision in pending for statement in revision.module.statements(present)]
    statements += [statement for statement in missing_statements(present, CRMS) if statement not in statements]
    owner = present.contacts.owner if present.contacts is not None else "a role that may create tables"
    lines = [
        f"-- crm_pipeline: from version {before or 'none'} to {newest_version()}, for {where(database.url)}.",
        f"-- Run it as {owner}, or as a superuser: psql -v ON_ERROR_STOP=1 -f FILE",
        '-- Every statement commits by itself, so not with --single-transaction. If it stops at a lock ("canceling',
        '-- statement due to lock timeout"), run it again: it goes on where it stopped.',
        "\\set ON_ERROR_STOP on",
        *(f"{setting};" for setting in session_settings(present)),
    ]
    for statement in statements:
        lines += ["", f"-- {statement.says}", f"SET lock_timeout = {statement.lock_ms};"]
        lines += [f"{part};" for part in statement.sql]
    if pending:
        lines += [
            "",
            "-- the version",
            f"CREATE TABLE IF NOT EXISTS {VERSION_TABLE} (version_num varchar(32) NOT NULL,",
            f"    CONSTRAINT {VERSION_TABLE}_pkc PRIMARY KEY (version_num));",
            "BEGIN;",
            f"TRUNCATE {VERSION_TABLE};",
            f"INSERT INTO {VERSION_TABLE} VALUES ('{newest_version()}');",  # noqa: S608 (own name)
            "COMMIT;",
        ]
    if not_owned(present, CRMS):
        lines += ["", "-- what the pipeline's role needs", *grants(present)]
    return "\n".join([*lines, ""])


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config


def _current(connection: Connection) -> str | None:
    opts = {"version_table": VERSION_TABLE, "version_table_schema": read_present(connection, CRMS).schema}
    return MigrationContext.configure(connection, opts=opts).get_current_revision()


def _pending(before: str | None) -> list[Script]:
    """The revisions that this database has not seen, oldest first."""
    directory = ScriptDirectory.from_config(_config())
    try:
        return list(directory.iterate_revisions("head", before or "base"))[::-1]
    except RevisionError:
        raise SchemaError(
            [f"The database is at version {before}, which this program does not know: it is of a newer one."],
            "Install the version of crm_pipeline that upgraded it, or a newer one.",
        ) from None


def _adoptable(connection: Connection, database: Database) -> Present:
    """What there is; raises SchemaError when an upgrade would not be enough."""
    present = read_present(connection, CRMS)
    if blocking := differences(present, CRMS, database.schema).blocking:
        raise SchemaError(
            [str(difference) for difference in blocking],
            "Nothing was changed. Once this is mended, run `crm-pipeline db upgrade` again.",
        )
    return present


@contextmanager
def _alone(database: Database, patience_seconds: float) -> Iterator[Connection]:
    """A connection on which every statement commits by itself, while no other upgrade runs in this database."""
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        try:
            if database.schema is not None:
                connection.exec_driver_sql("SET search_path = " + database.quoted_schema)
            # Waiting inside the statement would hold a snapshot, for which the other's CREATE INDEX CONCURRENTLY waits.
            until = time.monotonic() + patience_seconds
            while not connection.execute(_TRY_LOCK).scalar_one():
                if time.monotonic() > until:
                    raise DatabaseFailure(f"another upgrade has been running for {patience_seconds:.0f} s")
                time.sleep(_LOCK_POLL_SECONDS)
            yield connection
        except DBAPIError as error:
            raise DatabaseFailure(first_line(error), getattr(error.orig, "pgcode", None)) from None
        finally:
            connection.invalidate()  # ends the session, and with it the lock and its settings
