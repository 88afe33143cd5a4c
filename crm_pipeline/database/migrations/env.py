"""Alembic's entry point: runs migrations on the connection that `upgrade.py` hands over."""

from alembic import context

from crm_pipeline.database.present import VERSION_TABLE

context.configure(
    connection=context.config.attributes["connection"],
    version_table=VERSION_TABLE,
    version_table_schema=context.config.attributes["schema"],
    transaction_per_migration=True,
)
with context.begin_transaction():
    context.run_migrations()
