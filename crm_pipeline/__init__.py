"""Keeps a CRM in step with a PostgreSQL table of contacts, on Dagster."""
