"""Brings a database to this version's schema."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text

from crm_pipeline.database.engine import Database

VERSION_TABLE = "crm_pipeline_version"
_LOCK = "SELECT pg_advisory_lock(hashtextextended('crm_pipeline upgrade', 0))"


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config


def newest_version() -> str:
    """The version that this code needs."""
    head = ScriptDirectory.from_config(_config()).get_current_head()
    assert head is not None
    return head


def current_version(database: Database) -> str | None:
    """The database's version, or None when it was never upgraded."""

    return database.run(
        lambda connection: MigrationContext.configure(
            connection, opts={"version_table": VERSION_TABLE}
        ).get_current_revision()
    )


def upgrade(database: Database) -> tuple[str | None, str]:
    """Run what is missing, one upgrade at a time; returns the version before and after. Twice changes nothing.

    Raises DatabaseUnreachable.
    """
    database.ping()
    before = current_version(database)
    with database.engine.connect() as connection:
        if database.schema is not None:
            connection.execute(text("SET search_path = " + database.quoted_schema))
        connection.execute(text(_LOCK))
        connection.commit()
        try:
            config = _config()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            connection.commit()
        finally:
            connection.invalidate()  # ends the session, and with it the lock and the search path
    return before, newest_version()
