"""The real webserver and daemon, over a real database and a sandbox, asked as the UI asks them."""

from __future__ import annotations

import signal
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from crm_pipeline.database.engine import Database
from crm_pipeline.sandbox.account import Account
from crm_pipeline_tests.orchestration.live.stack import Dagster
from crm_pipeline_tests.support.contacts import attempts, contact, insert, insert_many, mechanics, pair, pairs, sql
from crm_pipeline_tests.support.waiting import wait_for

pytestmark = [pytest.mark.timeout(300), pytest.mark.xdist_group("live")]


def finished(dagster: Dagster, run_id: str) -> str:
    """The run's status, once it has ended."""
    ended = ("SUCCESS", "FAILURE", "CANCELED")
    return str(wait_for(lambda: (status := dagster.run(run_id)["status"]) in ended and status))


def run_by_itself(dagster: Dagster) -> str:
    """The id of the first run, which nobody launched by hand."""
    return str(wait_for(lambda: (runs := dagster.runs("brevo_sync")) and runs[-1]["runId"]))


def test_the_sensor_starts_a_run_for_what_is_due_and_gives_back_what_a_killed_run_held(
    database: Database, account: Account, dagster: Dagster
) -> None:
    hold = account.faults.hold(before_storing=True)
    insert_many(database, 30)
    run_id = run_by_itself(dagster)
    hold.wait_for(10, 120)
    dagster.run_process(run_id).send_signal(signal.SIGKILL)
    assert finished(dagster, run_id) == "FAILURE"
    hold.release()
    wait_for(lambda: pairs(database) == {"Complete/Complete": 30})
    held = sql(database, "SELECT outcome, note FROM crm_attempts WHERE run_id = :run_id", run_id=run_id)
    assert held == [("released", "the run failed")] * 10, "given back by the sensor, long before the leases were over"
    assert len(account.received) == 40, "ten were in flight when their run was killed, and were sent once more"


def test_a_refused_contact_is_tried_four_times_and_then_given_up_and_disturbs_no_other(
    database: Database, account: Account, dagster: Dagster
) -> None:
    insert_many(database, 4)
    refused = insert(database, "invalid-email")
    assert finished(dagster, run_by_itself(dagster)) == "SUCCESS"
    others = others_of(database, refused)
    for tries, minutes in ((1, 5), (2, 10), (3, 20)):
        row = contact(database, refused)
        assert pair(database, refused) == ("Queued", "Error")
        assert row.retry_count == mechanics(database, refused).retry_count == tries
        assert row.next_retry_at - row.last_retry_at == timedelta(minutes=minutes)
        assert row.brevo_processing_error == "Invalid email address (invalid_parameter, HTTP 400)"
        sql(database, "UPDATE contacts SET next_retry_at = now() - interval '1 second' WHERE id = :id", id=refused)
        assert finished(dagster, dagster.launch("brevo_sync")) == "SUCCESS"
    row = contact(database, refused)
    assert pair(database, refused) == ("Error", "Error")
    assert row.brevo_processing_error == (
        "Max retries exceeded (3). Last error: Invalid email address (invalid_parameter, HTTP 400)"
    )
    assert (row.retry_count, row.next_retry_at) == (3, None)
    assert [attempt.attempt for attempt in attempts(database, refused)] == [1, 2, 3, 4]
    assert [address for _, address in account.received].count("invalid-email") == 4
    assert others_of(database, refused) == others
    assert pairs(database) == {"Complete/Complete": 4, "Error/Error": 1}


def others_of(database: Database, contact_id: UUID) -> list[Any]:
    return sql(database, "SELECT c.*, xmin::text FROM contacts c WHERE id <> :id ORDER BY id", id=contact_id)
