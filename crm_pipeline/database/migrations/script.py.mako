"""${message}"""

from alembic import op

from crm_pipeline.database.adoption import Statement
from crm_pipeline.database.migrations.run import run
from crm_pipeline.database.present import Present

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}


def statements(present: Present) -> list[Statement]:
    """${message}. A new CRM: its line in `crms.py`, and here missing_statements and first_statements for it alone."""
    return []


def upgrade() -> None:
    """Run them."""
    run(op.get_context(), statements)
