"""One Dagster, database and sandbox for all tests of a worker, as new before each: a start costs 9 s of CPU."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from crm_pipeline.database.embedded import EmbeddedPostgres
from crm_pipeline.database.engine import Database
from crm_pipeline.sandbox.account import Account
from crm_pipeline.sandbox.registry import SANDBOXES
from crm_pipeline.sandbox.server import SandboxServer
from crm_pipeline_tests.orchestration.conftest import settings_for
from crm_pipeline_tests.orchestration.days import DAY
from crm_pipeline_tests.orchestration.live.stack import Dagster, running_dagster
from crm_pipeline_tests.support.contacts import insert, sql
from crm_pipeline_tests.support.postgres import cloned
from crm_pipeline_tests.support.sandbox import KEY
from crm_pipeline_tests.support.waiting import wait_for


@pytest.fixture(scope="package")
def shared_database(postgres: EmbeddedPostgres) -> Iterator[Database]:
    with cloned(postgres) as url:
        database = Database(url)
        # When Dagster loads the code, the oldest contact says which day of a backfill is the first.
        insert(database, "oldest@example.com", "New", None, created_at=f"{DAY} 00:00:00+00")
        yield database
        database.dispose()


@pytest.fixture(scope="package")
def shared_account() -> Iterator[Account]:
    with SandboxServer(api_key=KEY) as server:
        yield server.account("brevo")


@pytest.fixture(scope="package")
def shared_dagster_database(postgres: EmbeddedPostgres) -> Iterator[str]:
    with cloned(postgres, template="template0") as url:
        yield url.set(drivername="postgresql").render_as_string(hide_password=False)


@pytest.fixture(scope="package")
def shared_dagster(
    shared_database: Database,
    shared_account: Account,
    shared_dagster_database: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Dagster]:
    environment = settings_for(shared_database, shared_account)
    environment |= {"DAGSTER_DATABASE_URL": shared_dagster_database}
    with running_dagster(tmp_path_factory.mktemp("live") / "home", environment) as dagster:
        yield dagster


@pytest.fixture
def dagster(shared_dagster: Dagster, shared_database: Database, shared_account: Account) -> Dagster:
    """Without runs, its schedule and its sensor on; the database without contacts and the account without faults."""
    shared_account.faults.clear()
    sql(shared_database, "DELETE FROM contacts")  # what would start another run
    wait_for(lambda: all(run["endTime"] for run in shared_dagster.runs()))
    for run in shared_dagster.runs():
        shared_dagster.delete(run["runId"])
    for table in ("crm_attempts", "crm_gate"):
        sql(shared_database, f"DELETE FROM {table}")
    shared_account.empty(SANDBOXES["brevo"].seed)
    shared_dagster.start_sensor("brevo_retry_sensor")
    shared_dagster.start_schedule("brevo_sync_schedule")
    return shared_dagster


@pytest.fixture
def database(dagster: Dagster, shared_database: Database) -> Database:
    return shared_database


@pytest.fixture
def account(dagster: Dagster, shared_account: Account) -> Account:
    return shared_account


@pytest.fixture
def dagster_database(dagster: Dagster, shared_dagster_database: str) -> str:
    return shared_dagster_database
