"""Old runs of Dagster's go with their files; what is unfinished, or the newest point of a plot, stays."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import datetime, timedelta, tzinfo
from pathlib import Path

import pytest
from dagster import DagsterInstance, DagsterRunStatus, DefaultScheduleStatus, Definitions, ExecuteInProcessResult
from dagster._core.remote_origin import (
    ManagedGrpcPythonEnvCodeLocationOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin

from crm_pipeline.database.engine import Database
from crm_pipeline.orchestration import housekeeping
from crm_pipeline.settings import Settings
from crm_pipeline_tests.support.contacts import insert_many, sql

Sync = Callable[..., ExecuteInProcessResult]
Job = Callable[[], ExecuteInProcessResult]


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """So many days later, by the clock that housekeeping looks at."""

    def days(count: float) -> None:
        class Clock(datetime):
            @classmethod
            def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
                return datetime.now(tz) + timedelta(days=count)

        monkeypatch.setattr(housekeeping, "datetime", Clock)

    return days


@pytest.fixture
def keep_house(defs: Definitions, instance: DagsterInstance) -> Job:
    return lambda: defs.resolve_job_def("housekeeping").execute_in_process(instance=instance, raise_on_error=False)


def runs(instance: DagsterInstance) -> set[str]:
    return {run.run_id for run in instance.get_runs() if run.job_name == "brevo_sync"}


def test_runs_of_30_days_go_with_their_files_and_younger_ones_stay(
    database: Database, instance: DagsterInstance, home: Path, sync: Sync, keep_house: Job, later: Callable[..., None]
) -> None:
    insert_many(database, 3)
    first, last = sync().run_id, sync().run_id
    files = home / "storage" / first
    assert files.exists()
    later(29.9)
    assert keep_house().success
    assert runs(instance) == {first, last}
    later(30.1)
    assert keep_house().success
    assert runs(instance) == {last}, "the newest point of the plots stays"
    assert not files.exists()
    assert (home / "storage" / last).exists()
    assert instance.get_records_for_run(first).records == []


@pytest.mark.parametrize("status", housekeeping.UNFINISHED)
def test_an_unfinished_run_stays_however_old(
    instance: DagsterInstance,
    defs: Definitions,
    home: Path,
    keep_house: Job,
    later: Callable[..., None],
    status: DagsterRunStatus,
) -> None:
    target = LoadableTargetOrigin(module_name="crm_pipeline.definitions")
    place = RemoteRepositoryOrigin(ManagedGrpcPythonEnvCodeLocationOrigin(target), "__repository__")
    job = defs.resolve_job_def("brevo_sync")
    run = instance.create_run_for_job(job, remote_job_origin=RemoteJobOrigin(place, job.name))  # QUEUED asks for one
    with closing(sqlite3.connect(home / "history" / "runs.db")) as connection, connection:
        connection.execute("UPDATE runs SET status = ?", (status.value,))
    later(1000)
    assert keep_house().success
    assert runs(instance) == {run.run_id}


def finished(instance: DagsterInstance, defs: Definitions, count: int) -> list[str]:
    """So many finished runs of the sync, oldest first."""
    job = defs.resolve_job_def("brevo_sync")
    return [instance.create_run_for_job(job, status=DagsterRunStatus.SUCCESS).run_id for _ in range(count)]


def log(result: ExecuteInProcessResult, instance: DagsterInstance) -> str:
    return "\n".join(entry.user_message for entry in instance.all_logs(result.run_id))


def test_what_an_unfinished_run_was_re_executed_from_stays_since_its_files_are_read(
    instance: DagsterInstance, defs: Definitions, keep_house: Job, later: Callable[..., None]
) -> None:
    parent, _ = finished(instance, defs, 2)
    job = defs.resolve_job_def("brevo_sync")
    tags = {"dagster/parent_run_id": parent}
    child = instance.create_run_for_job(job, status=DagsterRunStatus.STARTED, tags=tags).run_id
    later(31)
    assert keep_house().success
    assert runs(instance) == {parent, child}


def test_a_backlog_goes_oldest_first_and_what_time_does_not_allow_is_left_to_the_next_day(
    instance: DagsterInstance,
    defs: Definitions,
    keep_house: Job,
    later: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(housekeeping, "AT_ONCE", 2)
    old = finished(instance, defs, 6)
    later(31)
    monkeypatch.setattr(housekeeping, "LONGEST_SECONDS", 0)
    cut_short = keep_house()
    assert cut_short.success
    assert runs(instance) == set(old[1:])
    assert "1 runs deleted in 0 s; the next housekeeping goes on" in log(cut_short, instance)
    monkeypatch.setattr(housekeeping, "LONGEST_SECONDS", 600)
    whole = keep_house()
    assert runs(instance) == set()
    assert "2 runs deleted so far" in log(whole, instance)
    assert "6 runs deleted that had finished" in log(whole, instance), "these, and the housekeeping that was cut short"


def test_a_run_whose_files_cannot_be_deleted_is_kept_and_named_and_the_others_go(
    instance: DagsterInstance,
    defs: Definitions,
    home: Path,
    keep_house: Job,
    later: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stuck, *_ = finished(instance, defs, 3)
    (home / "storage").mkdir(exist_ok=True)
    (home / "storage" / stuck).write_text("no folder")
    later(31)
    result = keep_house()
    assert result.success
    assert runs(instance) == {stuck}
    assert f"Run {stuck[:8]} is kept: its files cannot be deleted" in log(result, instance)
    monkeypatch.setattr(housekeeping, "MOST_KEPT", 1)
    assert not keep_house().success


def test_a_second_housekeeping_in_the_midst_of_the_first_does_no_harm(
    instance: DagsterInstance,
    defs: Definitions,
    keep_house: Job,
    later: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    finished(instance, defs, 4)
    later(31)
    delete = housekeeping._delete

    def after_the_other(instance: DagsterInstance, run_id: str) -> None:
        monkeypatch.setattr(housekeeping, "_delete", delete)
        assert keep_house().success
        assert runs(instance) == set(), "the other was faster"
        delete(instance, run_id)

    monkeypatch.setattr(housekeeping, "_delete", after_the_other)
    assert keep_house().success


def test_it_runs_daily_by_default_for_the_days_of_the_settings(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRM_PIPELINE_KEEP_RUNS_DAYS", "7")
    monkeypatch.setenv("CRM_PIPELINE_KEEP_ATTEMPTS_DAYS", "14")
    job = housekeeping.housekeeping_job(Settings.load().general)
    assert job.resource_defs["retention"].config_schema.default_value == {
        "keep_runs_days": 7,
        "keep_attempts_days": 14,
    }
    schedule = housekeeping.housekeeping_schedule(job)
    assert schedule.default_status is DefaultScheduleStatus.RUNNING
    assert schedule.cron_schedule == "23 3 * * *"


def test_old_attempts_go_too(database: Database, sync: Sync, keep_house: Job) -> None:
    insert_many(database, 3)
    sync()
    sql(database, "UPDATE crm_attempts SET started_at = now() - interval '181 days'")
    assert keep_house().success
    assert sql(database, "SELECT FROM crm_attempts") == []


def test_a_database_that_is_away_is_said_and_the_runs_go_all_the_same(
    database: Database,
    instance: DagsterInstance,
    sync: Sync,
    keep_house: Job,
    later: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = sync().run_id
    sync()
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    later(31)
    assert not keep_house().success
    assert first not in runs(instance)
