"""`upgrade_script`: the owner of the tables runs it with psql, and the database is as if upgraded."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import text

from crm_pipeline.contacts.lookup import Contacts
from crm_pipeline.database.catalog import check_schema
from crm_pipeline.database.check import check
from crm_pipeline.database.embedded import EmbeddedPostgres
from crm_pipeline.database.engine import Database
from crm_pipeline.database.upgrade import newest_version, upgrade, upgrade_script
from crm_pipeline.errors import SchemaError
from crm_pipeline.model import Outcome, OutcomeKind
from crm_pipeline_tests.database.application import PLAIN, WITH_CRM, catalogue, run_psql
from crm_pipeline_tests.database.test_adoption import adopted_queue, push
from crm_pipeline_tests.support.contacts import contact, sql
from crm_pipeline_tests.support.postgres import cloned

STRICT = ("-v", "ON_ERROR_STOP=1")
WAITING = (
    "; INSERT INTO contacts (email, hubspot_sync_status, hubspot_processing_status, last_failed_crm, retry_count) "
    "VALUES ('ann@example.com', 'Queued', 'Error', 'hubspot', 2)"
)
APPLICATIONS = {
    "none": "SELECT 1",
    "plain": PLAIN,
    "with a CRM of its own": WITH_CRM.replace("'Selected', ", "") + WAITING,
}


@pytest.mark.parametrize("application", APPLICATIONS.values(), ids=APPLICATIONS)
def test_running_the_script_equals_an_upgrade(
    empty: Database, postgres: EmbeddedPostgres, application: str, tmp_path: Path
) -> None:
    sql(empty, application)
    with cloned(postgres, template="template0") as url:
        other = Database(url)
        sql(other, application)
        upgrade(other)
        script = upgrade_script(empty)
        done = run_psql(empty, script, tmp_path, *STRICT)
        assert (done.returncode, done.stderr) == (0, "")
        assert catalogue(empty) == catalogue(other)
        for rows in ("SELECT crm, retry_count FROM crm_sync", "SELECT crm, rate_per_second FROM crm_gate ORDER BY crm"):
            assert sql(empty, rows) == sql(other, rows)
        other.dispose()
    again = run_psql(empty, script, tmp_path, *STRICT)
    assert (again.returncode, again.stderr) == (0, ""), "it may be run again"
    assert upgrade(empty) == (newest_version(), newest_version())


def test_the_script_is_for_the_schema_of_its_connection(empty: Database, tmp_path: Path) -> None:
    sql(empty, 'CREATE SCHEMA "Sales"')
    sales = Database(empty.url, schema="Sales")
    done = run_psql(empty, upgrade_script(sales), tmp_path, *STRICT)
    assert done.returncode == 0, done.stderr
    check_schema(sales, "brevo", "brevo_contact_id")
    assert sql(empty, "SELECT 1 FROM pg_tables WHERE schemaname = 'public'") == []
    sales.dispose()


def test_a_role_that_does_not_own_the_table_changes_nothing_and_gets_a_script_for_the_owner(
    role: str, empty: Database, tmp_path: Path
) -> None:
    sql(empty, PLAIN)
    (owner,) = sql(empty, "SELECT quote_ident(current_user) AS name")
    app = Database(empty.url.set(username=role))
    with pytest.raises(SchemaError) as caught:
        upgrade(app)
    assert f"The role {role} does not own public.contacts; {owner.name} does." in str(caught.value)
    assert "crm-pipeline db upgrade --sql" in str(caught.value)
    assert sql(empty, "SELECT to_regtype('crm_sync_status') IS NULL") == [(True,)]
    done = run_psql(empty, upgrade_script(app), tmp_path, *STRICT)
    assert done.returncode == 0, done.stderr
    assert check(app).problems == ()
    queue, contact_id = adopted_queue(app), Contacts(app).add("ann@example.com")
    queue.select([contact_id])
    push(queue, contact_id, Outcome(OutcomeKind.SYNCED, 201, external_id="ann@example.com"))
    assert contact(app, contact_id).brevo_sync_status == "Complete"
    queue.claim([contact_id], uuid4(), "run", 120)
    assert upgrade(app) == (newest_version(), newest_version())
    app.dispose()


def test_a_script_that_stopped_at_a_lock_goes_on_when_it_is_run_again(empty: Database, tmp_path: Path) -> None:
    sql(empty, PLAIN)
    script = upgrade_script(empty)
    with empty.engine.connect() as reader:
        reader.execute(text("SELECT * FROM contacts"))
        stopped = run_psql(empty, script, tmp_path, *STRICT)
        reader.rollback()
    assert stopped.returncode == 3
    assert "canceling statement due to lock timeout" in stopped.stderr
    assert run_psql(empty, script, tmp_path, *STRICT).returncode == 0
    assert upgrade(empty) == (newest_version(), newest_version())


def test_a_script_stops_at_its_first_error_without_any_option_too(empty: Database, tmp_path: Path) -> None:
    sql(empty, PLAIN)
    script = upgrade_script(empty)
    sql(empty, "DROP TABLE contacts; CREATE VIEW contacts AS SELECT 1 AS id")
    assert run_psql(empty, script, tmp_path).returncode == 3
    assert sql(empty, "SELECT to_regclass('crm_pipeline_version') IS NULL") == [(True,)]


def test_what_an_upgrade_refuses_the_script_refuses(empty: Database) -> None:
    sql(empty, "CREATE TABLE contacts (id bigint PRIMARY KEY, email text)")
    with pytest.raises(SchemaError, match="wanted: uuid"):
        upgrade_script(empty)


def test_the_script_of_an_upgraded_database_changes_nothing(database: Database, tmp_path: Path) -> None:
    before = catalogue(database)
    script = upgrade_script(database)
    assert not any(word in script for word in ("CREATE", "ALTER", "INSERT", "GRANT"))
    assert run_psql(database, script, tmp_path, *STRICT).returncode == 0
    assert catalogue(database) == before
