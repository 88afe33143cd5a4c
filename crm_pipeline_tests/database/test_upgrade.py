"""An empty database is made, an application's is adopted; twice changes nothing; the result is one and the same."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from crm_pipeline.database.catalog import check_schema
from crm_pipeline.database.engine import Database
from crm_pipeline.database.migrations.crms import CRMS
from crm_pipeline.database.present import VERSION_TABLE
from crm_pipeline.database.tables import OWN_TABLES
from crm_pipeline.database.upgrade import current_version, newest_version, upgrade
from crm_pipeline.errors import SchemaError
from crm_pipeline_tests.database.application import PLAIN, WITH_CRM, catalogue
from crm_pipeline_tests.support.contacts import sql


def test_an_empty_database_gets_everything(empty: Database) -> None:
    assert current_version(empty) is None
    assert upgrade(empty) == (None, newest_version())
    for crm, external_id in CRMS.items():
        check_schema(empty, crm, external_id)
    assert {row.crm for row in sql(empty, "SELECT crm FROM crm_gate")} == set(CRMS)


@pytest.mark.parametrize("application", [None, PLAIN, WITH_CRM])
def test_an_upgrade_twice_changes_nothing(empty: Database, application: str | None) -> None:
    if application:
        sql(empty, application)
    upgrade(empty)
    sql(
        empty,
        "INSERT INTO contacts (email, brevo_sync_status, brevo_processing_status) VALUES ('a', 'Queued', 'Error')",
    )
    before, rows = catalogue(empty), sql(empty, "SELECT xmin, contacts.* FROM contacts")
    assert upgrade(empty) == (newest_version(), newest_version())
    assert catalogue(empty) == before
    assert sql(empty, "SELECT xmin, contacts.* FROM contacts") == rows
    assert sql(empty, "SELECT 1 FROM crm_sync") == []


def test_an_adopted_database_is_a_fresh_one_and_what_is_the_applications(empty: Database, database: Database) -> None:
    sql(empty, PLAIN)
    upgrade(empty)
    fresh, adopted = catalogue(database), catalogue(empty)
    assert fresh - adopted == set()
    assert {line.split()[0] for line in adopted - fresh} == {"contacts.favourite_colour"}


def test_what_was_dropped_comes_back_with_the_next_upgrade(database: Database) -> None:
    before = catalogue(database)
    sql(database, "ALTER TABLE contacts DROP COLUMN brevo_processing_error; DROP INDEX crm_attempts_run")
    upgrade(database)
    assert catalogue(database) == before


def test_a_database_of_the_first_version_becomes_a_fresh_one_and_keeps_its_rows(database: Database) -> None:
    fresh = catalogue(database)
    sql(database, "INSERT INTO contacts (email) VALUES ('ann@example.com')")
    sql(database, "INSERT INTO crm_sync (contact_id, crm, retry_count) SELECT id, 'brevo', 2 FROM contacts")
    sql(database, "DROP INDEX crm_sync_address; ALTER TABLE crm_attempts DROP COLUMN left_behind")
    gone = (
        "pace throttled_at throttles raised_at limit_per_second requests_per_hour hour_ends_at hour_used "
        "refused_in_a_row refused_at accepted_at"
    )
    sql(database, "ALTER TABLE crm_gate " + ", ".join(f"DROP COLUMN {column}" for column in gone.split()))
    sql(database, f"UPDATE {VERSION_TABLE} SET version_num = '0001'")
    assert upgrade(database) == ("0001", newest_version())
    assert catalogue(database) == fresh
    assert sql(database, "SELECT retry_count FROM crm_sync") == [(2,)]
    assert sql(database, "SELECT DISTINCT pace, hour_used FROM crm_gate") == [(1, 0)]


def test_version_tables_of_others_are_left_alone(empty: Database) -> None:
    sql(empty, PLAIN)
    sql(empty, "CREATE TABLE alembic_version (version_num varchar(32)); INSERT INTO alembic_version VALUES ('theirs')")
    upgrade(empty)
    assert [row.version_num for row in sql(empty, "SELECT version_num FROM alembic_version")] == ["theirs"]
    assert current_version(empty) == newest_version()


def test_another_schema_is_upgraded_alone(empty: Database, database: Database) -> None:
    sql(empty, 'CREATE SCHEMA "Sales"')
    sales = Database(empty.url, schema="Sales")
    upgrade(sales)
    check_schema(sales, "brevo", "brevo_contact_id")
    ours = {line for line in catalogue(database) if " INDEX " not in line}
    assert {line.replace('"Sales".', "") for line in catalogue(sales) if " INDEX " not in line} == ours
    assert sql(empty, "SELECT 1 FROM pg_tables WHERE schemaname = 'public'") == []
    sales.dispose()


def test_a_schema_that_is_not_there_is_named_with_the_statement_that_makes_it(empty: Database) -> None:
    database = Database(empty.url, schema="sales")
    with pytest.raises(SchemaError, match='CREATE SCHEMA IF NOT EXISTS "sales"'):
        upgrade(database)
    database.dispose()


def test_our_tables_stand_beside_contacts_wherever_the_search_path_finds_it(empty: Database) -> None:
    sql(empty, PLAIN)
    sql(empty, f"CREATE SCHEMA first; ALTER DATABASE {empty.url.database} SET search_path = first, public")
    database = Database(empty.url)
    upgrade(database)
    check_schema(database, "brevo", "brevo_contact_id")
    assert sql(empty, "SELECT 1 FROM pg_tables WHERE schemaname = 'first'") == []
    assert upgrade(database) == (newest_version(), newest_version())
    database.dispose()


def test_a_pipeline_in_another_schema_of_the_search_path_is_left_alone(empty: Database) -> None:
    upgrade(empty)
    before = catalogue(empty)
    sql(empty, f"CREATE SCHEMA first; SET LOCAL search_path = first; {PLAIN}")
    sql(empty, f"ALTER DATABASE {empty.url.database} SET search_path = first, public")
    database = Database(empty.url)
    assert upgrade(database) == (None, newest_version())
    check_schema(database, "brevo", "brevo_contact_id")
    tables = sql(empty, "SELECT tablename FROM pg_tables WHERE schemaname = 'first'")
    assert {row.tablename for row in tables} == {"contacts", *OWN_TABLES, VERSION_TABLE}
    public = Database(empty.url, schema="public")
    assert catalogue(public) == before
    public.dispose()
    database.dispose()


def test_two_upgrades_at_once_both_succeed(empty: Database, database: Database) -> None:
    sql(empty, PLAIN)
    other = Database(empty.url)
    with ThreadPoolExecutor() as pool:
        results = [future.result() for future in [pool.submit(upgrade, empty), pool.submit(upgrade, other)]]
    assert {after for _, after in results} == {newest_version()}
    assert catalogue(database) <= catalogue(empty)
    other.dispose()


def test_a_database_of_a_newer_version_is_left_alone(database: Database) -> None:
    sql(database, "UPDATE crm_pipeline_version SET version_num = '9999'")
    with pytest.raises(SchemaError, match="at version 9999, which this program does not know"):
        upgrade(database)
