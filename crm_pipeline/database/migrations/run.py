"""How a migration runs: each statement commits by itself, and gives way to whoever writes meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from alembic.runtime.migration import MigrationContext

from crm_pipeline.database.adoption import Statement, execute
from crm_pipeline.database.migrations.crms import CRMS
from crm_pipeline.database.present import Present, read_present


def run(context: MigrationContext, statements: Callable[[Present], Sequence[Statement]]) -> None:
    """Run a revision's statements, for the database as it is now. Raises DatabaseFailure."""
    connection, config = context.connection, context.config
    assert connection is not None
    assert config is not None
    execute(connection, statements(read_present(connection, CRMS)), config.attributes["patience_seconds"])
