"""When the retry sensor starts a run by itself: at once for what is due, later and later after runs in vain."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID, uuid4

import pytest
from dagster import (
    DagsterInstance,
    DagsterRun,
    DagsterRunStatus,
    Definitions,
    RunRequest,
    SensorDefinition,
    SkipReason,
    build_sensor_context,
)

from crm_pipeline.database.engine import Database
from crm_pipeline.wiring import Pipeline
from crm_pipeline_tests.orchestration.days import TODAY
from crm_pipeline_tests.support.contacts import insert, insert_many

RETRY_SENSOR = "brevo_retry_sensor"


class Ticks:
    """The retry sensor's ticks, one after the other: each finds the cursor of the one before."""

    def __init__(self, sensor: SensorDefinition, instance: DagsterInstance, defs: Definitions) -> None:
        self._sensor, self._instance, self._job = sensor, instance, defs.resolve_job_def("brevo_sync")
        self._cursor: str | None = None

    def next(self) -> str | None:
        """Why it starts no run now; None when it starts one."""
        context = build_sensor_context(instance=self._instance, cursor=self._cursor)
        answer = self._sensor(context)
        self._cursor = context.cursor
        assert isinstance(answer, RunRequest | SkipReason)
        return answer.skip_message if isinstance(answer, SkipReason) else None

    def run(self) -> DagsterRun:
        """A run that it started, at work."""
        tags = {"dagster/sensor_name": RETRY_SENSOR}
        return self._instance.create_run_for_job(self._job, status=DagsterRunStatus.STARTED, tags=tags)

    def failed_run(self) -> None:
        """One that ended before it claimed anything."""
        self._instance.report_run_failed(self.run())


@pytest.fixture
def ticks(sensor: Callable[[str], SensorDefinition], instance: DagsterInstance, defs: Definitions) -> Ticks:
    return Ticks(sensor(RETRY_SENSOR), instance, defs)


def test_it_starts_a_run_when_something_is_due_and_none_else(database: Database, ticks: Ticks) -> None:
    assert ticks.next() == "Nothing is due"
    insert(database, "ann@example.com")
    assert ticks.next() is None


@pytest.mark.parametrize("given_back", [False, True], ids=["still held", "given back"])
def test_a_run_that_was_killed_after_its_claim_is_followed_by_the_next_at_once(
    database: Database, instance: DagsterInstance, pipeline: Pipeline, ticks: Ticks, given_back: bool
) -> None:
    insert_many(database, 2)
    killed = ticks.run()
    first = pipeline.queue.list_due(1)[0].id
    assert pipeline.queue.claim([first], UUID(int=7), killed.run_id, 600).contacts
    instance.report_run_failed(killed)
    if given_back:
        assert pipeline.queue.give_back(killed.run_id, "the run failed", crashed=True).crashed == 1
    assert ticks.next() is None


def test_it_waits_twice_as_long_after_each_run_that_claimed_nothing_and_at_most_four_minutes(
    database: Database, ticks: Ticks
) -> None:
    insert(database, "ann@example.com")
    for number, seconds in enumerate((30, 60, 120, 240, 240), start=1):
        ticks.failed_run()
        says = ticks.next() or ""
        assert says.endswith(f"the last {number} runs claimed nothing, although something is due")
        assert seconds - 5 < int(says.split()[1]) <= seconds


def test_a_run_that_claimed_something_or_a_tick_that_found_nothing_due_ends_that_wait(
    database: Database, instance: DagsterInstance, pipeline: Pipeline, ticks: Ticks
) -> None:
    ann = insert(database, "ann@example.com")
    ticks.failed_run()
    assert "Waiting" in (ticks.next() or "")
    successful = ticks.run()
    lease = uuid4()
    assert pipeline.queue.claim([ann], lease, successful.run_id, 600).contacts
    pipeline.queue.release(lease, "the account is paused")
    instance.report_run_failed(successful)
    assert ticks.next() is None
    ticks.failed_run()
    assert "the last 1 runs" in (ticks.next() or "")
    pipeline.queue.unselect([ann])
    assert ticks.next() == "Nothing is due"
    pipeline.queue.select([ann])
    assert ticks.next() is None


@pytest.mark.parametrize("job", ["brevo_sync", "brevo_backfill"])
def test_a_started_run_without_a_sign_of_life_at_two_ticks_is_ended_and_one_with_a_lease_is_not(
    database: Database, pipeline: Pipeline, instance: DagsterInstance, defs: Definitions, ticks: Ticks, job: str
) -> None:
    tags = {"dagster/partition": str(TODAY)} if job == "brevo_backfill" else {}
    dead, leased = (
        instance.create_run_for_job(defs.resolve_job_def(job), status=DagsterRunStatus.STARTED, tags=tags).run_id
        for _ in range(2)
    )
    contact_id = insert(database, "ann@example.com")
    pipeline.queue.claim([contact_id], uuid4(), leased, 120)

    def statuses() -> list[DagsterRunStatus]:
        return [run.status for run in (instance.get_run_by_id(dead), instance.get_run_by_id(leased)) if run is not None]

    ticks.next()
    assert statuses() == [DagsterRunStatus.STARTED, DagsterRunStatus.STARTED]
    ticks.next()
    assert statuses() == [DagsterRunStatus.FAILURE, DagsterRunStatus.STARTED]
