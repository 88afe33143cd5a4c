"""Until when a contact whose claim the application's table refused is left alone, in crm_sync."""

from alembic import op

from crm_pipeline.database.adoption import Statement, missing_statements
from crm_pipeline.database.migrations.crms import CRMS
from crm_pipeline.database.migrations.run import run
from crm_pipeline.database.present import Present

revision = "0003"
down_revision = "0002"


def statements(present: Present) -> list[Statement]:
    """Add what is missing; change no value."""
    return missing_statements(present, CRMS)


def upgrade() -> None:
    """Run them."""
    run(op.get_context(), statements)
