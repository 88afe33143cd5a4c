"""Schedule, sensor and people start runs of one CRM at the same moment: they share the contacts, in nobody's way.

Whichever run begins first finds that the next slots of the account are taken: there it waits for the others.
"""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

import pytest

from crm_pipeline.database.engine import Database
from crm_pipeline.orchestration.sensors import RETRY_SENSOR_SECONDS
from crm_pipeline.sandbox.account import Account
from crm_pipeline_tests.orchestration.live import Dagster, wait_for
from crm_pipeline_tests.support.contacts import insert_many, pairs, sql

pytestmark = pytest.mark.timeout(300)
CONTACTS = 60
BY_HAND = 2


@pytest.fixture
def environment(environment: dict[str, str]) -> dict[str, str]:
    """A schedule that ticks each minute, four runs allowed, 15 s for 60 contacts."""
    return environment | {
        "BREVO_SYNC_SCHEDULER_INTERVAL_MINUTES": "1",
        "BREVO_SYNC_SCHEDULER_MAX_INSTANCES": "4",
        "BREVO_SYNC_RATE_PER_SECOND": "4",
    }


def started_by(run: Any) -> str:
    """The name of its schedule or sensor; "" for a run launched by hand."""
    tags = {tag["key"]: tag["value"] for tag in run["tags"]}
    return str(tags.get("dagster/schedule_name", tags.get("dagster/sensor_name", "")))


def last_tick(dagster: Dagster) -> float:
    """When the sensor ticked last; 0: never."""
    return max((float(tick["timestamp"]) for tick in dagster.sensor_ticks("brevo_retry_sensor")), default=0.0)


def test_runs_that_schedule_sensor_and_people_start_at_one_moment_push_each_contact_once_and_none_is_red(
    database: Database, account: Account, dagster: Dagster
) -> None:
    dagster.stop_sensor("brevo_retry_sensor")
    wait_for(
        lambda: time.time() > last_tick(dagster) + RETRY_SENSOR_SECONDS
    )  # so that it ticks at once when it is started
    insert_many(database, CONTACTS)
    wait_for(lambda: dagster.runs("brevo_sync"), 90, 0.05)  # the schedule's next minute
    sql(database, "UPDATE crm_gate SET next_slot_at = clock_timestamp() + interval '12 seconds' WHERE crm = 'brevo'")
    dagster.start_sensor("brevo_retry_sensor")
    by_hand = {dagster.launch("brevo_sync") for _ in range(BY_HAND)}
    wait_for(lambda: pairs(database) == {"Complete/Complete": CONTACTS}, 90)

    def all_over() -> list[Any]:
        runs = dagster.runs("brevo_sync")
        return runs if all(run["endTime"] for run in runs) else []

    runs = wait_for(all_over, 30)
    assert {run["status"] for run in runs} == {"SUCCESS"}
    at_once = [run for run in runs if run["startTime"] < min(other["endTime"] for other in runs)]
    assert {started_by(run) for run in at_once} == {"brevo_sync_schedule", "brevo_retry_sensor", ""}
    assert by_hand <= {run["runId"] for run in at_once}
    assert Counter(address for _, address in account.received) == {
        f"person-{number}@example.com": 1 for number in range(1, CONTACTS + 1)
    }
    pushing = sql(database, "SELECT run_id, count(*) FROM crm_attempts WHERE outcome = 'synced' GROUP BY run_id")
    assert len(pushing) > 1, "they shared the contacts"
    assert sql(database, "SELECT FROM crm_sync WHERE lease_id IS NOT NULL OR crashes > 0 OR retry_count > 0") == []
