"""When the database is away, or busy, or not as it must be: a sentence, in time, and never a hang."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from sqlalchemy import text

from crm_pipeline.api.app import THREADS
from crm_pipeline.database.engine import Database
from crm_pipeline_tests.api.conftest import Client
from crm_pipeline_tests.support.contacts import insert, sql
from crm_pipeline_tests.support.waiting import wait_for

STATS = "/api/v3/contacts/sync-stats?crm=brevo"
SELECT = "/api/v3/contacts/crm/select"


@pytest.fixture
def refusing(api: Client, database: Database) -> Iterator[Client]:
    """An API whose database takes no connection any more."""
    name = database.url.database
    admin = Database(database.url.set(database="postgres"))

    def command(statement: str) -> None:
        with admin.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text(statement))

    command(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
    sql(admin, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name", name=name)
    yield api
    command(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
    admin.dispose()


def test_a_database_that_is_away_is_answered_with_503_within_ten_seconds_and_health_at_once(refusing: Client) -> None:
    paths = [STATS, "/metrics", "/api/v3/contacts/sync-failures?crm=brevo", "/ready"] + [STATS] * (THREADS - 3)
    started = time.monotonic()

    def ask(path: str) -> requests.Response:
        with Client(refusing.url) as client:
            return client.get(path)

    with ThreadPoolExecutor(len(paths)) as threads:
        answers = threads.map(ask, paths)
        while time.monotonic() - started < 1:
            assert ask("/health").status_code == 200
        assert time.monotonic() - started < 2, "while all threads wait"
        said = list(answers)
    assert time.monotonic() - started < 10
    assert [one.status_code for one in said] == [503] * len(paths)
    assert [one.headers["retry-after"] for one in said] == ["5"] * len(paths)
    assert "not currently accepting connections" in said[1].json()["detail"]
    assert said[3].json()["detail"] == "The database cannot be reached. The API's log says why."


def test_a_schema_that_is_not_as_needed_makes_it_not_ready_and_strangers_learn_no_more(
    api: Client, database: Database
) -> None:
    sql(database, "ALTER TABLE contacts DROP COLUMN brevo_processing_error")
    said = requests.get(f"{api.url}/ready", timeout=10)
    assert said.status_code == 503
    assert "`crm-pipeline db check`" in said.json()["detail"]
    assert "brevo_processing_error" not in said.text


def test_more_calls_than_threads_wait_for_each_other_and_none_for_a_connection(api: Client, database: Database) -> None:
    ann = insert(database, "ann@example.com", "New", None)
    body = {"contact_ids": [str(ann)], "crms": ["brevo"], "action": "select"}
    calls = 2 * THREADS + 8
    waiting = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"

    def ask(_: int) -> int:
        with Client(api.url) as client:
            return client.post(SELECT, json=body).status_code

    with ThreadPoolExecutor(calls) as threads:
        with database.engine.begin() as holding:
            holding.execute(text("SELECT FROM contacts FOR UPDATE"))
            answers = threads.map(ask, range(calls))
            wait_for(lambda: len(sql(database, waiting)) == THREADS, 10)
        assert list(answers) == [200] * calls
