"""Pace, hourly quota and refusals in a row in crm_gate; addresses left behind in crm_attempts."""

from alembic import op

from crm_pipeline.database.adoption import Statement, missing_statements
from crm_pipeline.database.migrations.crms import CRMS
from crm_pipeline.database.migrations.run import run
from crm_pipeline.database.present import Present

revision = "0002"
down_revision = "0001"


def statements(present: Present) -> list[Statement]:
    """Add what is missing; change no value."""
    return missing_statements(present, CRMS)


def upgrade() -> None:
    """Run them."""
    run(op.get_context(), statements)
