"""A run that is cancelled or interrupted, its retry policy in place: all is written back or given back."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from typing import Any

import pytest
from dagster import DagsterEventType, DagsterInstance, DagsterRunStatus, Definitions, ExecuteInProcessResult
from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.events import DagsterEvent
from dagster._core.execution.api import execute_run

from crm_pipeline.database.engine import Database
from crm_pipeline.sandbox.account import Account
from crm_pipeline_tests.support.contacts import insert_many, pairs, sql
from crm_pipeline_tests.support.waiting import wait_for

Sync = Callable[..., ExecuteInProcessResult]


def once(condition: Callable[[], Any], act: Callable[[], object]) -> threading.Thread:
    """Do something as soon as a condition holds, while the run has the main thread."""

    def work() -> None:
        wait_for(condition, 10, 0.01)
        act()

    thread = threading.Thread(target=work)
    thread.start()
    return thread


def interrupt() -> None:
    """What a terminal does on Ctrl-C, and Dagster on a termination."""
    os.kill(os.getpid(), signal.SIGINT)


def stopped_cleanly(database: Database, account: Account, contacts: int) -> None:
    """Each contact that the CRM answered for is written back, each other one as it was, and nobody holds a lease."""
    after = pairs(database)
    assert after["Complete/Complete"] == len(account.received)
    assert after["Selected/Queued"] == contacts - len(account.received) > 0
    assert sql(database, "SELECT FROM crm_sync WHERE lease_id IS NOT NULL OR crashes > 0") == []
    assert sql(database, "SELECT FROM crm_attempts WHERE applied <> 'applied'") == []
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith(("push", "stop-"))]


def test_an_interrupt_during_a_push_stops_the_run_although_its_steps_have_a_retry_policy(
    database: Database, account: Account, sync: Sync
) -> None:
    insert_many(database, 40)
    hold = account.faults.hold(lambda _: len(account.received) > 12)

    def interrupt_the_second_batch() -> None:
        hold.wait_for(1)
        interrupt()
        hold.release()

    thread = threading.Thread(target=interrupt_the_second_batch)
    thread.start()
    result = sync()
    thread.join()
    assert not result.success
    assert not any(event.event_type is DagsterEventType.STEP_UP_FOR_RETRY for event in result.all_events)
    assert len(account.received) <= 20
    stopped_cleanly(database, account, 40)


@pytest.mark.parametrize("after", [1, 4, 7, 10])
def test_an_interrupt_at_any_moment_of_a_batch_loses_no_answer(
    database: Database, account: Account, sync: Sync, after: int
) -> None:
    insert_many(database, 20)
    account.faults.latency_seconds = 0.01
    thread = once(lambda: len(account.received) >= after, interrupt)
    sync()
    thread.join()
    stopped_cleanly(database, account, 20)


def test_a_run_marked_as_cancelled_stops_within_two_seconds_even_without_an_interrupt(
    database: Database, instance: DagsterInstance, account: Account, sync: Sync
) -> None:
    insert_many(database, 100)
    account.faults.latency_seconds = 0.1
    cancelled: list[float] = []

    def cancel() -> None:
        (run,) = instance.get_runs()
        instance.report_run_canceling(run)

    thread = once(lambda: len(account.received) >= 5, cancel)
    result = sync()
    thread.join()
    record = instance.get_run_record_by_id(result.run_id)
    assert record is not None
    assert record.dagster_run.status is DagsterRunStatus.CANCELED
    (canceling,) = instance.get_records_for_run(result.run_id, of_type=DagsterEventType.RUN_CANCELING).records
    assert record.end_time is not None
    assert record.end_time - canceling.event_log_entry.timestamp < 2.5
    stopped_cleanly(database, account, 100)
    assert cancelled == []


def test_a_run_that_was_cancelled_while_it_left_the_queue_sends_nothing_and_ends_as_cancelled(
    database: Database, instance: DagsterInstance, account: Account, defs: Definitions
) -> None:
    insert_many(database, 20)
    job = defs.resolve_job_def("brevo_sync")
    run = instance.create_run_for_job(job)
    for kind in (DagsterEventType.RUN_CANCELING, DagsterEventType.RUN_CANCELED):
        instance.report_dagster_event(DagsterEvent(kind.value, "brevo_sync"), run.run_id)
    instance._run_storage.handle_run_event(
        run.run_id, DagsterEvent(DagsterEventType.RUN_STARTING.value, "brevo_sync")
    )  # the late write of the status that overtakes the cancellation
    run = instance.get_run_by_id(run.run_id)
    assert run is not None
    assert run.status is DagsterRunStatus.STARTING
    execute_run(InMemoryJob(job), run, instance)
    after = instance.get_run_by_id(run.run_id)
    assert after is not None
    assert after.status is DagsterRunStatus.CANCELED
    assert account.received == []
    assert pairs(database) == {"Selected/Queued": 20}
