"""Tables `contacts` as applications make them, what they look like in the catalogue, and psql."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from sqlalchemy.exc import IntegrityError

from crm_pipeline.database.embedded import EmbeddedPostgres
from crm_pipeline.database.engine import Database
from crm_pipeline_tests.support.contacts import sql

SYNC_LABELS = "'New', 'Selected', 'Queued', 'Processing', 'Complete', 'Error', 'Skipped'"
PROCESSING_LABELS = "'Queued', 'Processing', 'Complete', 'Error'"
PLAIN = (
    "CREATE TABLE contacts (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), email text NOT NULL, name text, "
    "favourite_colour text, created_at timestamptz DEFAULT now(), updated_at timestamptz DEFAULT now())"
)
"""Knows no CRM."""
WITH_CRM = (
    f"CREATE TYPE hubspot_sync_status AS ENUM ({SYNC_LABELS});"
    f"CREATE TYPE hubspot_sync_processing_status AS ENUM ({PROCESSING_LABELS});"
    "CREATE TABLE contacts (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), email varchar(255) NOT NULL, "
    "name varchar(200), favourite_colour text, "
    "created_at timestamptz DEFAULT now(), updated_at timestamptz DEFAULT now(), "
    "hubspot_sync_status hubspot_sync_status NOT NULL DEFAULT 'New', "
    "hubspot_processing_status hubspot_sync_processing_status, hubspot_processing_error text, "
    "hubspot_contact_id varchar(255), retry_count integer NOT NULL DEFAULT 0, last_retry_at timestamptz, "
    "next_retry_at timestamptz, last_failed_crm varchar(20))"
)
"""Has synced to a CRM by itself, with enums of its own."""

_CATALOGUE = """
    SELECT format('%s.%s %s %s %s %s', c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
        pg_get_expr(d.adbin, d.adrelid), a.attidentity) AS line
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = current_schema()
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
    WHERE c.relkind = 'r'
    UNION ALL SELECT pg_get_indexdef(i.indexrelid) || ' valid ' || i.indisvalid
    FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
    JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = current_schema()
    UNION ALL SELECT format('%s %s %s', conrelid::regclass, conname, pg_get_constraintdef(o.oid))
    FROM pg_constraint o JOIN pg_namespace n ON n.oid = o.connamespace AND n.nspname = current_schema()
    UNION ALL SELECT format('%s has the label %s', e.enumtypid::regtype, e.enumlabel) FROM pg_enum e
    UNION ALL SELECT format('%s is stored %s', c.relname, c.reloptions) FROM pg_class c
    JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = current_schema()
    WHERE c.relkind = 'r' AND c.relname <> 'contacts'
    UNION ALL SELECT format('at version %s', version_num) FROM crm_pipeline_version
"""


def catalogue(database: Database) -> set[str]:
    """Columns, indexes, constraints, labels, storage and version of an upgraded database's schema, as lines."""
    return {row.line for row in sql(database, _CATALOGUE)}


def snapshot(database: Database) -> set[str]:
    """Names of all relations and types, their columns, and each contact's values."""
    lines = sql(
        database,
        "SELECT format('%s.%s', c.relname, a.attname) AS line FROM pg_class c "
        "JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname NOT IN ('pg_catalog', 'information_schema') "
        "AND n.nspname NOT LIKE 'pg_toast%' LEFT JOIN pg_attribute a ON a.attrelid = c.oid "
        "UNION ALL SELECT typname::text || enumlabel FROM pg_type LEFT JOIN pg_enum ON enumtypid = pg_type.oid",
    )
    return {row.line for row in lines} | {str(row) for row in sql(database, "SELECT * FROM contacts")}


def leave_invalid(database: Database, index: str) -> None:
    """What an interrupted CREATE INDEX CONCURRENTLY leaves behind: an invalid index of this name on `contacts`."""
    sql(database, "INSERT INTO contacts (email) VALUES ('twice'), ('twice')")
    with (
        database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection,
        pytest.raises(IntegrityError, match="could not create unique index"),
    ):
        connection.exec_driver_sql(f"CREATE UNIQUE INDEX CONCURRENTLY {index} ON contacts (email)")


def run_psql(database: Database, script: str, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run a script with psql; the caller looks at `returncode` and `stderr`."""
    path = folder / "script.sql"
    path.write_text(script)
    address = database.url.set(drivername="postgresql").render_as_string(hide_password=False)
    command = [str(EmbeddedPostgres.psql()), "-X", *options, "-f", str(path), address]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
