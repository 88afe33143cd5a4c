"""Creates or adopts `contacts`, and makes crm_sync, crm_attempts and crm_gate."""

from alembic import op

from crm_pipeline.database.adoption import Statement, first_statements, missing_statements
from crm_pipeline.database.migrations.crms import CRMS
from crm_pipeline.database.migrations.run import run
from crm_pipeline.database.present import Present

revision = "0001"
down_revision = None


def statements(present: Present) -> list[Statement]:
    """Add what is missing; change no value."""
    return [*missing_statements(present, CRMS), *first_statements(present, CRMS)]


def upgrade() -> None:
    """Run them."""
    run(op.get_context(), statements)
