"""A sandbox, settings that point to it, and a Dagster instance with a folder of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from dagster import DagsterInstance, Definitions, ExecuteInProcessResult, SensorDefinition

from crm_pipeline import definitions
from crm_pipeline.database.embedded import EmbeddedPostgres
from crm_pipeline.database.engine import Database
from crm_pipeline.sandbox.account import Account
from crm_pipeline.settings import Settings
from crm_pipeline.wiring import Pipeline, connect
from crm_pipeline_tests.orchestration.live.stack import Dagster, running_dagster
from crm_pipeline_tests.support.postgres import cloned
from crm_pipeline_tests.support.sandbox import KEY


def settings_for(database: Database, account: Account) -> dict[str, str]:
    """What a person would have in `.env`."""
    return {
        "DATABASE_URL": database.url.render_as_string(hide_password=False),
        "CRM_PIPELINE_ALLOW_SANDBOX": "true",
        "BREVO_API_KEY": KEY,
        "BREVO_API_BASE_URL": account.url,
        "BREVO_SYNC_RATE_PER_SECOND": "500",
    }


@pytest.fixture
def environment(database: Database, account: Account, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The same in this process."""
    values = settings_for(database, account)
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    return values


@pytest.fixture
def defs(environment: dict[str, str]) -> Definitions:
    return definitions.load(Settings.load())


@pytest.fixture
def pipeline(environment: dict[str, str]) -> Iterator[Pipeline]:
    """The same queue and gate, from outside."""
    pipeline = connect(Settings.load(), "brevo")
    yield pipeline
    pipeline.close()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The folder of the Dagster instance: event log, op outputs, captured logs."""
    folder = tmp_path / "dagster"
    folder.mkdir()
    return folder


@pytest.fixture
def instance(home: Path) -> Iterator[DagsterInstance]:
    with DagsterInstance.local_temp(str(home), overrides={"telemetry": {"enabled": False}}) as instance:
        yield instance


@pytest.fixture
def sync(defs: Definitions, instance: DagsterInstance) -> Callable[..., ExecuteInProcessResult]:
    """Run the job in this process."""

    def run(**options: Any) -> ExecuteInProcessResult:
        job = defs.resolve_job_def("brevo_sync")
        return job.execute_in_process(instance=instance, raise_on_error=False, **options)

    return run


@pytest.fixture
def sensor(defs: Definitions) -> Callable[[str], SensorDefinition]:
    return lambda name: defs.get_repository_def().get_sensor_def(name)


@pytest.fixture
def dagster_database(postgres: EmbeddedPostgres) -> Iterator[str]:
    with cloned(postgres, template="template0") as url:
        yield url.set(drivername="postgresql").render_as_string(hide_password=False)


@pytest.fixture
def dagster(dagster_database: str, environment: dict[str, str], tmp_path: Path) -> Iterator[Dagster]:
    with running_dagster(tmp_path / "home", {**environment, "DAGSTER_DATABASE_URL": dagster_database}) as dagster:
        yield dagster
