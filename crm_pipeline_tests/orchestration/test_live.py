"""The real webserver and daemon, over a real database and a sandbox, asked as the UI asks them."""

from __future__ import annotations

import signal
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from crm_pipeline.database.engine import Database
from crm_pipeline.sandbox.account import Account
from crm_pipeline_tests.orchestration.live import Dagster, running_dagster, wait_for
from crm_pipeline_tests.support.contacts import attempts, contact, insert, insert_many, mechanics, pair, pairs, sql

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


def test_without_a_key_the_location_loads_and_nothing_runs(
    database: Database, dagster_database: str, environment: dict[str, str], tmp_path: Path
) -> None:
    insert_many(database, 3)
    without = {name: value for name, value in environment.items() if name != "BREVO_API_KEY"}
    with running_dagster(tmp_path / "home", {**without, "DAGSTER_DATABASE_URL": dagster_database}) as dagster:
        assert {job["name"] for job in dagster.location()["repositories"][0]["jobs"]} >= {"brevo_sync"}
        statuses = {name: state["status"] for name, state in dagster.instigators().items()}
        assert {name: status for name, status in statuses.items() if name.startswith("brevo")} == {
            "brevo_checks_schedule": "STOPPED",
            "brevo_sync_schedule": "STOPPED",
            "brevo_retry_sensor": "STOPPED",
            "brevo_failed_run_sensor": "STOPPED",
            "brevo_cancelled_run_sensor": "STOPPED",
        }
        log = (tmp_path / "home" / "webserver.log").read_text()
        assert log.count("Brevo is disabled: BREVO_API_KEY is not set. Its schedule and sensors are off.") == 1


def test_a_wrong_setting_keeps_the_location_from_loading_and_the_ui_names_the_variable(
    dagster_database: str, environment: dict[str, str], tmp_path: Path
) -> None:
    wrong = {**environment, "BREVO_LIST_ID": "abc", "DAGSTER_DATABASE_URL": dagster_database}
    with running_dagster(tmp_path / "home", wrong) as dagster:
        error = dagster.location()
        assert error["__typename"] == "PythonError"
        assert any("BREVO_LIST_ID is 'abc'" in link["error"]["message"] for link in error["errorChain"])
