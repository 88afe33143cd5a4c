"""Runs of `brevo_backfill` among others: cancelled, ended badly, beside the sync; and which days can be chosen."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
import yaml
from dagster import (
    DagsterInstance,
    DagsterRunStatus,
    Definitions,
    RunRequest,
    SensorDefinition,
    SkipReason,
    build_sensor_context,
)
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill

from crm_pipeline.contacts.which import Which
from crm_pipeline.database.engine import Database
from crm_pipeline.definitions import load
from crm_pipeline.sandbox.account import Account
from crm_pipeline.settings import Settings
from crm_pipeline.wiring import Pipeline
from crm_pipeline_tests.orchestration.days import NOON, TODAY, Backfill, backfill_of
from crm_pipeline_tests.orchestration.live.stack import ROOT
from crm_pipeline_tests.support.contacts import insert, mechanics, pair, pairs, sql
from crm_pipeline_tests.support.waiting import wait_for


@pytest.fixture
def backfill(defs: Definitions, instance: DagsterInstance) -> Backfill:
    return backfill_of(defs, instance)


def started_backfill(instance: DagsterInstance) -> str:
    instance.add_backfill(PartitionBackfill("days", BulkActionStatus.REQUESTED, False, {}, time.time()))
    return "days"


def test_a_run_stops_as_soon_as_its_backfill_is_cancelled_and_leaves_each_contact_as_it_was(
    database: Database, instance: DagsterInstance, account: Account, backfill: Backfill
) -> None:
    for n in range(60):
        insert(database, f"{n}@example.com", "Complete", "Complete", created_at=NOON)
    backfill_id = started_backfill(instance)
    account.faults.latency_seconds = 0.2
    cancelled: list[float] = []

    def cancel() -> None:
        wait_for(lambda: len(account.received) >= 5, 20, 0.01)
        days = instance.get_backfill(backfill_id)
        assert days is not None
        instance.update_backfill(days.with_status(BulkActionStatus.CANCELING))
        cancelled.append(time.monotonic())

    thread = threading.Thread(target=cancel)
    thread.start()
    result = backfill(which="complete", tags={"dagster/backfill": backfill_id})
    seconds = time.monotonic() - cancelled[0]
    thread.join()
    run = instance.get_run_by_id(result.run_id)
    assert run is not None
    assert run.status is DagsterRunStatus.CANCELED
    assert seconds < 5
    assert len(account.received) < 60
    assert pairs(database) == {"Complete/Complete": 60}
    assert sql(database, "SELECT FROM crm_sync WHERE lease_id IS NOT NULL OR crashes > 0") == []


def test_a_run_that_starts_after_its_backfill_was_cancelled_sends_nothing(
    database: Database, instance: DagsterInstance, account: Account, backfill: Backfill
) -> None:
    insert(database, "ann@example.com", created_at=NOON)
    backfill_id = started_backfill(instance)
    days = instance.get_backfill(backfill_id)
    assert days is not None
    instance.update_backfill(days.with_status(BulkActionStatus.CANCELED))
    result = backfill(tags={"dagster/backfill": backfill_id})
    run = instance.get_run_by_id(result.run_id)
    assert run is not None
    assert run.status is DagsterRunStatus.CANCELED
    assert account.received == []


def test_a_backfill_that_goes_on_keeps_no_sync_from_starting(
    database: Database, instance: DagsterInstance, defs: Definitions, sensor: Callable[[str], SensorDefinition]
) -> None:
    job = defs.resolve_job_def("brevo_backfill")
    instance.create_run_for_job(job, status=DagsterRunStatus.STARTING, tags=dict(job.tags))
    insert(database, "ann@example.com")
    ticked = sensor("brevo_retry_sensor")(build_sensor_context(instance=instance))
    assert isinstance(ticked, RunRequest), ticked.skip_message if isinstance(ticked, SkipReason) else ticked


@pytest.mark.parametrize("end", ["failed", "cancelled"])
def test_the_contacts_of_a_day_whose_run_ended_badly_are_given_back(
    database: Database,
    instance: DagsterInstance,
    defs: Definitions,
    pipeline: Pipeline,
    sensor: Callable[[str], SensorDefinition],
    end: str,
) -> None:
    ann = insert(database, "ann@example.com", "Complete", "Complete", created_at=NOON)
    give_back = sensor(f"brevo_{end}_run_sensor")

    def tick(cursor: str | None) -> str | None:
        context = build_sensor_context(instance=instance, cursor=cursor, definitions=defs)
        return give_back.evaluate_tick(context).cursor

    cursor = tick(None)  # from here on it looks
    run = instance.create_run_for_job(defs.resolve_job_def("brevo_backfill"), status=DagsterRunStatus.STARTED)
    assert pipeline.queue.claim([ann], UUID(int=7), run.run_id, 600, Which.COMPLETE).contacts
    (instance.report_run_failed if end == "failed" else instance.report_run_canceled)(run)
    tick(cursor)
    assert pair(database, ann) == ("Complete", "Complete")
    assert mechanics(database, ann).lease_id is None


def test_dagster_runs_two_days_of_a_crm_at_once_and_limits_no_other_run(defs: Definitions) -> None:
    (limit,) = yaml.safe_load((ROOT / "dagster.yaml").read_text())["concurrency"]["runs"]["tag_concurrency_limits"]
    assert limit == {"key": "crm_backfill", "value": {"applyLimitPerUniqueValue": True}, "limit": 2}
    assert defs.resolve_job_def("brevo_backfill").tags["crm_backfill"] == "brevo"
    assert "crm_backfill" not in defs.resolve_job_def("brevo_sync").tags


@pytest.mark.parametrize(
    ("set_to", "oldest", "first"),
    [
        ("2026-01-31", None, "2026-01-31"),
        (None, timedelta(days=200), str(TODAY - timedelta(days=200))),
        (None, timedelta(days=5000), str(TODAY - timedelta(days=3 * 365))),
        (None, None, str(TODAY - timedelta(days=90))),
    ],
)
def test_the_first_day_is_the_one_set_else_the_oldest_contacts_at_most_three_years_back(
    database: Database,
    environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    set_to: str | None,
    oldest: timedelta | None,
    first: str,
) -> None:
    if set_to:
        monkeypatch.setenv("BREVO_BACKFILL_START_DATE", set_to)
    if oldest is not None:
        insert(database, "ann@example.com", created_at=datetime.now(UTC) - oldest)
    partitions = load(Settings.load()).resolve_job_def("brevo_backfill").partitions_def
    assert partitions is not None
    assert partitions.get_first_partition_key() == first
    assert partitions.get_last_partition_key() == str(datetime.now(UTC).date())


def test_without_a_database_the_location_loads_with_90_days(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    partitions = load(Settings.load()).resolve_job_def("brevo_backfill").partitions_def
    assert partitions is not None
    assert partitions.get_first_partition_key() == str(TODAY - timedelta(days=90))
