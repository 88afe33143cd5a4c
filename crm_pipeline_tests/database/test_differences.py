"""What an upgrade cannot take over is an error before anything is changed, with the statement that ends it."""

from __future__ import annotations

import re
from uuid import uuid4

import pytest

from crm_pipeline.database.catalog import check_schema
from crm_pipeline.database.engine import Database
from crm_pipeline.database.migrations.crms import CRMS
from crm_pipeline.database.upgrade import newest_version, upgrade
from crm_pipeline.errors import SchemaError
from crm_pipeline_tests.database.application import PLAIN, snapshot
from crm_pipeline_tests.support.contacts import insert, sql

MENDED_BY_THE_STATEMENT = {
    "CREATE TABLE contacts (id uuid, email text)": "contacts.id is not unique",
    "CREATE TABLE contacts (id uuid, org int DEFAULT 1, email text, PRIMARY KEY (id, org))": (
        "contacts.id is not unique (wanted: a primary key, or a plain unique index on it alone)."
    ),
    "CREATE TABLE contacts (id uuid UNIQUE DEFERRABLE, email text)": "contacts.id is not unique",
    "CREATE TABLE contacts (id uuid UNIQUE, email text)": "contacts.id may be NULL, wanted: NOT NULL.",
    "CREATE TABLE contacts (id text PRIMARY KEY, email text)": "contacts.id is text, wanted: uuid.",
    "CREATE TABLE contacts (id uuid PRIMARY KEY, mail text)": "contacts.email is missing (wanted: text).",
    "CREATE TABLE contacts (mail text PRIMARY KEY DEFAULT '', email text)": "contacts.id is missing (wanted: uuid).",
    f"{PLAIN}; ALTER TABLE contacts ADD COLUMN phone_number bigint": "contacts.phone_number is bigint, wanted: text.",
    f"{PLAIN}; ALTER TABLE contacts ADD COLUMN phone_number char(20)": (
        "contacts.phone_number is character(20), wanted: text."
    ),
    f"{PLAIN}; ALTER TABLE contacts ADD COLUMN has_gmail smallint DEFAULT 0": (
        "contacts.has_gmail is smallint, wanted: boolean."
    ),
    f"{PLAIN}; ALTER TABLE contacts ADD COLUMN page_id text": "contacts.page_id is text, wanted: uuid.",
    f"{PLAIN}; ALTER TABLE contacts ADD COLUMN retry_count text NOT NULL DEFAULT '0'": (
        "contacts.retry_count is text, wanted: integer."
    ),
    f"{PLAIN}; ALTER TABLE contacts ALTER COLUMN created_at TYPE timestamp": (
        "contacts.created_at is timestamp without time zone, wanted: timestamp with time zone. If its times are UTC:"
    ),
    f"{PLAIN}; ALTER TABLE contacts ADD COLUMN next_retry_at date": (
        "contacts.next_retry_at is date, wanted: timestamp with time zone."
    ),
    f"{PLAIN}; ALTER TABLE contacts ADD COLUMN brevo_sync_status text NOT NULL DEFAULT 'New'": (
        "contacts.brevo_sync_status is text, wanted: an enum of New, Selected, Queued, "
        "Processing, Complete, Error, Skipped."
    ),
    f"{PLAIN}; ALTER TABLE contacts ADD COLUMN brevo_processing_status varchar(20)": (
        "contacts.brevo_processing_status is character varying(20), wanted: an enum of "
        "Queued, Processing, Complete, Error."
    ),
    f"{PLAIN}; ALTER TABLE contacts ADD COLUMN brevo_processing_error text NOT NULL DEFAULT ''": (
        "contacts.brevo_processing_error is NOT NULL, and the pipeline must be able to empty it."
    ),
    f"{PLAIN}; ALTER TABLE contacts ADD COLUMN brevo_contact_id varchar(64)": (
        "contacts.brevo_contact_id is character varying(64), too short: 254 characters are needed."
    ),
    f"{PLAIN}; ALTER TABLE contacts ADD COLUMN last_failed_crm varchar(5)": (
        "contacts.last_failed_crm is character varying(5), too short: 7 characters are needed."
    ),
}
LEFT_TO_A_PERSON = {
    "CREATE TABLE contacts (id bigint PRIMARY KEY, email text)": (
        "contacts.id is bigint, wanted: uuid. The pipeline knows a contact by this column, and no bigint is a uuid"
    ),
    f"{PLAIN}; ALTER TABLE contacts ADD COLUMN domain_id int": "contacts.domain_id is integer, wanted: uuid.",
    f"{PLAIN}; ALTER TABLE contacts RENAME TO x; CREATE VIEW contacts AS TABLE x": "contacts is a view",
    "CREATE TABLE contacts (id uuid PRIMARY KEY, email text) PARTITION BY HASH (id)": "contacts is a partitioned table",
    f"{PLAIN}; CREATE TABLE people (name text); CREATE INDEX contacts_brevo_due ON people (name)": (
        "contacts_brevo_due is the name of something else, wanted: an index of contacts."
    ),
    f"{PLAIN}; CREATE TABLE crm_sync (crm text, last_run date)": "crm_sync.contact_id is missing (wanted: uuid).",
    f"{PLAIN}; CREATE DOMAIN crm_sync_status AS text": "The type crm_sync_status is no enum",
}


def refusal(database: Database) -> str:
    """What an upgrade says; nothing may have changed."""
    before = snapshot(database)
    with pytest.raises(SchemaError) as caught:
        upgrade(database)
    assert snapshot(database) == before
    assert "Nothing was changed." in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(("application", "sentence"), MENDED_BY_THE_STATEMENT.items())
def test_a_difference_is_named_with_a_statement_that_ends_it(empty: Database, application: str, sentence: str) -> None:
    sql(empty, application)
    message = refusal(empty)
    assert sentence in message
    for statement in re.findall(r"^    (.*);$", message, re.MULTILINE):
        with empty.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql(statement)
    assert upgrade(empty) == (None, newest_version())
    for crm, external_id in CRMS.items():
        check_schema(empty, crm, external_id)
    insert(empty, "ann@example.com", **({} if "DEFAULT gen_random" in application else {"id": uuid4()}))


@pytest.mark.parametrize(("application", "sentence"), LEFT_TO_A_PERSON.items())
def test_what_no_statement_can_end_is_said_in_words(empty: Database, application: str, sentence: str) -> None:
    sql(empty, application)
    assert sentence in refusal(empty)


def test_all_differences_are_named_at_once(empty: Database) -> None:
    sql(empty, "CREATE TABLE contacts (id text, email int, has_gmail text)")
    message = refusal(empty)
    assert [line.split()[0] for line in message.splitlines() if line.startswith("contacts.")] == [
        *("contacts.id", "contacts.email", "contacts.has_gmail")
    ]


def test_columns_that_are_never_read_may_have_any_type(empty: Database) -> None:
    sql(empty, f"{PLAIN}; ALTER TABLE contacts ADD COLUMN context jsonb, ADD COLUMN source_job_id bigint")
    upgrade(empty)


def test_a_missing_and_a_retyped_column_are_named_with_found_and_wanted_type(database: Database) -> None:
    sql(database, "DROP INDEX contacts_brevo_due, contacts_brevo_waiting")
    sql(database, "ALTER TABLE contacts DROP COLUMN name")
    sql(database, "ALTER TABLE contacts ALTER COLUMN next_retry_at TYPE text")
    sql(database, "ALTER TABLE contacts ALTER COLUMN brevo_processing_status TYPE text")
    sql(
        database, "ALTER TABLE crm_sync DROP COLUMN run_id, ALTER COLUMN crashes TYPE bigint, ADD COLUMN x int NOT NULL"
    )
    sql(database, "DROP TABLE crm_gate")
    with pytest.raises(SchemaError) as caught:
        check_schema(database, "brevo", "brevo_contact_id")
    message = str(caught.value)
    assert "contacts.name is missing (wanted: text)." in message
    assert "contacts.next_retry_at is text, wanted: timestamp with time zone." in message
    assert "contacts.brevo_processing_status is text, wanted: an enum of Queued, Processing" in message
    assert "crm_sync.run_id is missing (wanted: text)." in message
    assert "crm_sync.crashes is bigint, wanted: integer." in message
    assert "crm_sync.x is NOT NULL, has no default, and is unknown to the pipeline." in message
    assert "There is no table crm_gate." in message


def test_a_label_that_is_gone_is_named(database: Database) -> None:
    sql(database, "ALTER TYPE crm_sync_status RENAME VALUE 'Skipped' TO 'Ignored'")
    with pytest.raises(SchemaError, match="is crm_sync_status, which has no label Skipped"):
        check_schema(database, "brevo", "brevo_contact_id")


def test_another_crms_columns_do_not_stop_a_run(database: Database) -> None:
    sql(database, "ALTER TABLE contacts DROP COLUMN hubspot_processing_error")
    check_schema(database, "brevo", "brevo_contact_id")


def test_a_database_without_contacts_says_so(empty: Database) -> None:
    with pytest.raises(SchemaError, match="no table contacts"):
        check_schema(empty, "brevo", "brevo_contact_id")
