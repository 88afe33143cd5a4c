"""An empty database is made, an application's is adopted; twice changes nothing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from crm_pipeline.database.catalog import check_schema
from crm_pipeline.database.embedded import EmbeddedPostgres
from crm_pipeline.database.engine import Database
from crm_pipeline.database.upgrade import current_version, newest_version, upgrade
from crm_pipeline.errors import SchemaError
from crm_pipeline_tests.support.contacts import sql
from crm_pipeline_tests.support.postgres import cloned

CATALOGUE = """
    SELECT c.relname || '.' || a.attname || ' ' || format_type(a.atttypid, a.atttypmod) || ' ' || a.attnotnull
        || ' ' || coalesce(pg_get_expr(d.adbin, d.adrelid), '') AS line
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = current_schema()
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
    WHERE c.relkind = 'r'
    UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = current_schema()
    ORDER BY 1
"""


@pytest.fixture
def empty(postgres: EmbeddedPostgres) -> Iterator[Database]:
    with cloned(postgres, template="template0") as url:
        database = Database(url)
        yield database
        database.dispose()


def catalogue(database: Database) -> list[str]:
    return [row.line for row in sql(database, CATALOGUE)]


def test_an_empty_database_gets_everything(empty: Database) -> None:
    assert current_version(empty) is None
    assert upgrade(empty) == (None, newest_version())
    for crm, external_id in (("brevo", "brevo_contact_id"), ("n8n", "n8n_workflow_id")):
        check_schema(empty, crm, external_id)
    assert {row.crm for row in sql(empty, "SELECT crm FROM crm_gate")} == {"brevo", "hubspot", "mautic", "n8n"}


def test_an_upgrade_twice_changes_nothing(empty: Database) -> None:
    upgrade(empty)
    before = catalogue(empty)
    assert upgrade(empty) == (newest_version(), newest_version())
    assert catalogue(empty) == before


def test_an_applications_table_is_adopted_without_a_changed_value(empty: Database) -> None:
    sql(
        empty,
        "CREATE TYPE hubspot_sync_status AS ENUM "
        "('New', 'Selected', 'Queued', 'Processing', 'Complete', 'Error', 'Skipped')",
    )
    sql(empty, "CREATE TYPE hubspot_sync_processing_status AS ENUM ('Queued','Processing','Complete','Error')")
    sql(
        empty,
        "CREATE TABLE contacts (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), email varchar(255) NOT NULL, "
        "name varchar(200), favourite_colour text, created_at timestamptz DEFAULT now(), updated_at timestamptz DEFAULT now(), "
        "hubspot_sync_status hubspot_sync_status NOT NULL DEFAULT 'New', "
        "hubspot_processing_status hubspot_sync_processing_status)",
    )
    sql(empty, "CREATE TABLE alembic_version (version_num varchar(32))")
    sql(empty, "INSERT INTO alembic_version VALUES ('theirs')")
    sql(
        empty,
        "INSERT INTO contacts (email, favourite_colour, hubspot_sync_status) "
        "VALUES ('ann@example.com', 'red', 'Complete')",
    )
    (before,) = sql(empty, "SELECT *, xmin::text AS version FROM contacts")
    upgrade(empty)
    (after,) = sql(empty, "SELECT *, xmin::text AS version FROM contacts")
    assert {name: getattr(after, name) for name in before._fields} == before._asdict(), "not even rewritten"
    assert after.brevo_sync_status == "New"
    assert sql(empty, "SELECT version_num FROM alembic_version")[0].version_num == "theirs"
    types = check_schema(empty, "hubspot", "hubspot_contact_id")
    assert (types.sync, types.processing) == ("hubspot_sync_status", "hubspot_sync_processing_status")


def test_another_schema_is_upgraded_alone(empty: Database) -> None:
    sql(empty, "CREATE SCHEMA crm")
    database = Database(empty.url, schema="crm")
    upgrade(database)
    check_schema(database, "brevo", "brevo_contact_id")
    assert sql(empty, "SELECT 1 FROM pg_tables WHERE schemaname = 'public'") == []
    database.dispose()


def test_a_missing_and_a_retyped_column_are_named_with_found_and_wanted_type(database: Database) -> None:
    sql(database, "DROP INDEX contacts_brevo_due, contacts_brevo_waiting")
    sql(database, "ALTER TABLE contacts DROP COLUMN name")
    sql(database, "ALTER TABLE contacts ALTER COLUMN next_retry_at TYPE text")
    sql(database, "ALTER TABLE contacts ALTER COLUMN brevo_processing_status TYPE text")
    with pytest.raises(SchemaError) as caught:
        check_schema(database, "brevo", "brevo_contact_id")
    message = str(caught.value)
    assert "contacts.name is missing (wanted: text)." in message
    assert "contacts.next_retry_at is text, wanted: timestamp with time zone." in message
    assert "contacts.brevo_processing_status is text, which has no label" in message


def test_a_database_without_contacts_says_so(empty: Database) -> None:
    with pytest.raises(SchemaError, match="no table contacts"):
        check_schema(empty, "brevo", "brevo_contact_id")


def test_text_varchar_and_char_are_the_same(database: Database) -> None:
    sql(database, "ALTER TABLE contacts ALTER COLUMN name TYPE varchar(80), ALTER COLUMN email TYPE varchar(255)")
    check_schema(database, "brevo", "brevo_contact_id")
