"""Databases, roles and tables that are set up otherwise: refused in words, or worked with as they are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from crm_pipeline.contacts.queue import Queue
from crm_pipeline.database.catalog import check_schema
from crm_pipeline.database.check import check
from crm_pipeline.database.embedded import EmbeddedPostgres
from crm_pipeline.database.engine import Database
from crm_pipeline.database.upgrade import upgrade
from crm_pipeline.errors import SchemaError
from crm_pipeline_tests.contacts.steps import claim
from crm_pipeline_tests.support.contacts import insert, sql
from crm_pipeline_tests.support.postgres import cloned


@contextmanager
def made(postgres: EmbeddedPostgres, options: str) -> Iterator[Database]:
    """A database with these options of CREATE DATABASE."""
    with cloned(postgres, template="template0", options=options) as url:
        database = Database(url)
        yield database
        database.dispose()


@pytest.fixture
def as_its_role_has_it(database: Database) -> Iterator[Database]:
    """The same database through connections that begin with defaults of its own."""
    other = Database(database.url)
    yield other
    other.dispose()


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII", "WIN1251", "KOI8R"])
def test_a_database_that_is_not_in_utf_8_is_refused_before_anything_is_made(
    postgres: EmbeddedPostgres, encoding: str
) -> None:
    with made(postgres, f"ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C'") as database:
        with pytest.raises(SchemaError, match=f"encoding is {encoding}, wanted: UTF8"):
            upgrade(database)
        assert sql(database, "SELECT to_regclass('contacts')") == [(None,)]
        assert any(encoding in problem for problem in check(database).problems)


def test_a_locale_that_knows_no_letter_but_a_to_z_is_a_warning(postgres: EmbeddedPostgres) -> None:
    with made(postgres, "ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C'") as database:
        upgrade(database)
        found = check(database)
        assert found.problems == ()
        assert any("the case of no letter but A to Z" in warning for warning in found.warnings)


def test_a_table_that_inherits_from_contacts_stops_a_run_with_a_sentence(database: Database) -> None:
    sql(database, "CREATE TABLE leads () INHERITS (contacts)")
    with pytest.raises(SchemaError, match="leads inherit from contacts"):
        check_schema(database, "brevo", "brevo_contact_id")


def test_a_table_put_in_the_place_of_contacts_is_named_with_statements_that_mend_it(
    database: Database, queue: Queue
) -> None:
    kept, gone = insert(database, "kept@example.com"), insert(database, "gone@example.com")
    claim(queue, kept, gone)
    sql(database, "CREATE TABLE fresh (LIKE contacts INCLUDING ALL)")
    sql(database, "INSERT INTO fresh SELECT * FROM contacts WHERE id = :kept", kept=kept)
    sql(database, "ALTER TABLE contacts RENAME TO contacts_old")
    sql(database, "ALTER TABLE fresh RENAME TO contacts")
    astray = [problem for problem in check(database).problems if "points at contacts_old" in problem]
    assert {problem.partition(".")[0] for problem in astray} == {"crm_sync", "crm_attempts", "crm_ledger"}
    with pytest.raises(SchemaError, match="crm_sync"):
        check_schema(database, "brevo", "brevo_contact_id")
    for problem in astray:
        for statement in problem.splitlines()[1:]:
            sql(database, statement)
    assert not any("points at" in problem for problem in check(database).problems)
    assert sql(database, "SELECT contact_id FROM crm_sync") == [(kept,)]


def test_a_unique_index_on_what_the_pipeline_writes_is_a_warning(database: Database) -> None:
    sql(database, "ALTER TABLE contacts ADD CONSTRAINT one_each UNIQUE (brevo_contact_id)")
    sql(database, "CREATE UNIQUE INDEX one_address ON contacts (lower(email)) INCLUDE (brevo_contact_id)")
    sql(database, "CREATE UNIQUE INDEX with_id ON contacts (id, brevo_contact_id)")
    (warning,) = check(database).warnings
    assert warning.startswith("The unique index one_each holds brevo_contact_id")


@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
def test_a_roles_own_isolation_level_does_not_hide_what_was_committed_while_a_lock_was_waited_for(
    as_its_role_has_it: Database, database: Database, level: str
) -> None:
    name = database.url.database
    sql(database, f"ALTER DATABASE \"{name}\" SET default_transaction_isolation = '{level}'")
    assert sql(as_its_role_has_it, "SHOW transaction_isolation") == [("read committed",)]


@pytest.mark.parametrize("blank", ["\u3000", "\u2009", "\u202f", "\x85", "\x1f"])
def test_two_contacts_whose_addresses_differ_by_any_blank_alone_are_not_in_flight_together(
    database: Database, queue: Queue, blank: str
) -> None:
    twins = insert(database, "twin@example.com"), insert(database, f"{blank}Twin@example.com{blank}")
    assert len(claim(queue, *twins).contacts) == 1
