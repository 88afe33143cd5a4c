"""Alembic's migrations; their version table is crm_pipeline_version."""
