"""Connections: which URLs are taken, what is repeated, what an error may say."""

from __future__ import annotations

import logging
import socket
import time

import pytest
from sqlalchemy import Connection, text

from crm_pipeline.database import engine
from crm_pipeline.database.engine import Database, psycopg2_url
from crm_pipeline.errors import DatabaseFailure, DatabaseUnreachable
from crm_pipeline_tests.support.contacts import insert, sql


@pytest.mark.parametrize(
    ("given", "host", "query"),
    [
        ("postgres://u:p@db/app", "db", {}),
        ("postgresql://u:p@db:6432/app", "db", {}),
        ("postgresql+asyncpg://u:p@db/app?ssl=require", "db", {"sslmode": "require"}),
        ("postgresql+asyncpg://u:p@db/app?ssl=true", "db", {"sslmode": "require"}),
        ("postgresql+psycopg://u:p@db/app?sslmode=verify-full", "db", {"sslmode": "verify-full"}),
        ("postgresql+psycopg2://u@/app?host=/var/run/postgresql", None, {"host": "/var/run/postgresql"}),
    ],
)
def test_every_usual_form_of_a_database_url_is_taken(given: str, host: str | None, query: dict[str, str]) -> None:
    url = psycopg2_url(given)
    assert (url.drivername, url.host, url.database, dict(url.query)) == ("postgresql+psycopg2", host, "app", query)


@pytest.mark.parametrize("given", ["mysql://u:secret@db/app", "nonsense", "postgresql://u:secret@db"])
def test_what_is_no_postgresql_url_is_refused_without_showing_the_password(given: str) -> None:
    with pytest.raises(ValueError, match=r"postgresql://|PostgreSQL") as caught:
        psycopg2_url(given)
    assert "secret" not in str(caught.value)


def test_an_unreachable_database_is_named_with_its_host_and_port_and_no_password() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        started = time.monotonic()
        with pytest.raises(DatabaseUnreachable) as caught:
            Database(f"postgresql://u:secret@127.0.0.1:{port}/app").ping()
    assert time.monotonic() - started < 10
    message = str(caught.value)
    assert "DATABASE_URL" in message
    assert "127.0.0.1" in message
    assert str(port) in message
    assert "secret" not in message


def test_a_transaction_that_lost_its_connection_is_repeated(database: Database) -> None:
    tries = []

    def work(connection: object) -> int:
        tries.append(1)
        if len(tries) == 1:
            sql(
                database,
                "SELECT pg_terminate_backend(:pid)",
                pid=connection.execute(text("SELECT pg_backend_pid()")).scalar(),
            )  # type: ignore[attr-defined]
        return connection.execute(text("SELECT 42")).scalar()  # type: ignore[attr-defined, no-any-return]

    assert database.run(work) == 42
    assert len(tries) == 2


def test_a_log_that_cannot_be_written_does_not_end_what_it_tells_of(database: Database) -> None:
    """Dagster writes log lines to its own database, which stands on the same server as a rule."""

    class Broken(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise ConnectionError("the log's database is away")

    broken = Broken()
    engine.logger.addHandler(broken)
    calls: list[int] = []

    def work(connection: Connection) -> int:
        calls.append(1)
        if len(calls) == 1:
            connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
        return int(connection.execute(text("SELECT 1")).scalar_one())

    try:
        assert database.run(work) == 1
    finally:
        engine.logger.removeHandler(broken)
    assert len(calls) == 2


def test_an_error_of_the_database_never_quotes_a_row(database: Database) -> None:
    insert(database, "ann@example.com")
    with pytest.raises(DatabaseFailure) as caught:
        sql(database, "INSERT INTO contacts (id, email) SELECT id, 'ann@example.com' FROM contacts")
    assert "ann@example.com" not in str(caught.value)
    assert "duplicate key" in str(caught.value)
    assert caught.value.sqlstate == "23505"
    assert caught.value.__cause__ is None


def test_what_a_trigger_of_the_application_says_names_nobody(database: Database) -> None:
    sql(
        database,
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'not %, phone +33 6 12 34 56 78', new.email; END $$;"
        "CREATE TRIGGER refuse BEFORE INSERT ON contacts FOR EACH ROW EXECUTE FUNCTION refuse()",
    )
    with pytest.raises(DatabaseFailure) as caught:
        insert(database, "ann@example.com")
    assert "ann@example.com" not in str(caught.value)
    assert "6 12 34" not in str(caught.value)


def test_a_bug_in_a_statement_is_not_repeated(database: Database) -> None:
    tries = []

    def work(connection: object) -> None:
        tries.append(1)
        connection.execute(text("SELECT no_such_column FROM contacts"))  # type: ignore[attr-defined]

    with pytest.raises(DatabaseFailure):
        database.run(work)
    assert len(tries) == 1


def test_no_transaction_waits_for_a_lock_longer_than_its_limit(database: Database) -> None:
    contact = insert(database, "ann@example.com")
    with database.engine.begin() as blocker:
        blocker.execute(text("SELECT 1 FROM contacts WHERE id = :id FOR UPDATE"), {"id": contact})
        with pytest.raises(DatabaseFailure) as caught:
            database.run(
                lambda connection: connection.execute(
                    text("SET LOCAL lock_timeout = 100; UPDATE contacts SET name = 'x'")
                ),
                patience_seconds=0.2,
            )
    assert caught.value.sqlstate == "55P03"


def test_another_schema_is_found_by_its_setting(database: Database) -> None:
    sql(database, "CREATE SCHEMA crm")
    other = Database(database.url, schema="crm")
    assert other.run(lambda connection: connection.execute(text("SELECT current_schema()")).scalar()) == "crm"
    other.dispose()


@pytest.mark.parametrize("password", ["hunter@22", "hunter@x/22"])
def test_a_password_that_would_become_part_of_the_address_is_refused_and_not_shown(password: str) -> None:
    with pytest.raises(ValueError, match="write @ as %40") as raised:
        psycopg2_url(f"postgresql://ann:{password}@db.example/crm")
    assert "hunter" not in str(raised.value)
