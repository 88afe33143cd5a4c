"""Schedule, sensor and people start runs of one CRM at the same moment: they share the contacts, in nobody's way.

Whichever run begins first finds that the next slots of the account are taken: there it waits, with the contacts that it
has claimed, until all the others have claimed theirs.
"""

from __future__ import annotations

import threading
from collections import Counter
from typing import Any

import pytest

from crm_pipeline.database.engine import Database
from crm_pipeline.sandbox.account import Account
from crm_pipeline.wiring import Pipeline
from crm_pipeline_tests.orchestration.live.stack import Dagster
from crm_pipeline_tests.support.contacts import insert_many, pairs, sql
from crm_pipeline_tests.support.waiting import wait_for

pytestmark = [pytest.mark.timeout(300), pytest.mark.xdist_group("at once")]
CONTACTS = 80
BY_HAND = 2
WHO = {"brevo_sync_schedule", "brevo_retry_sensor", ""}
TAKE_THE_NEXT_SLOTS = "UPDATE crm_gate SET next_slot_at = clock_timestamp() + interval '50 seconds' WHERE crm = 'brevo'"
"""None is free within the 30 s for which a sender waits in line: it asks again."""


@pytest.fixture
def environment(environment: dict[str, str]) -> dict[str, str]:
    """A schedule that ticks each minute, more runs allowed than are to start."""
    return environment | {
        "BREVO_SYNC_SCHEDULER_INTERVAL_MINUTES": "1",
        "BREVO_SYNC_SCHEDULER_MAX_INSTANCES": "6",
        "BREVO_SYNC_RATE_PER_SECOND": "50",
    }


def started_by(run: Any) -> str:
    """The name of its schedule or sensor; "" for a run launched by hand."""
    tags = {tag["key"]: tag["value"] for tag in run["tags"]}
    return str(tags.get("dagster/schedule_name", tags.get("dagster/sensor_name", "")))


def test_runs_that_schedule_sensor_and_people_start_at_one_moment_push_each_contact_once_and_none_is_red(
    database: Database, account: Account, pipeline: Pipeline, dagster: Dagster
) -> None:
    pipeline.begin(threading.Event())  # the account has been asked: a run claims before it needs a slot
    dagster.stop_sensor("brevo_retry_sensor")
    insert_many(database, CONTACTS)
    wait_for(lambda: sql(database, TAKE_THE_NEXT_SLOTS) or dagster.runs("brevo_sync"))  # the schedule's next minute
    by_hand = {dagster.launch("brevo_sync") for _ in range(BY_HAND)}
    dagster.start_sensor("brevo_retry_sensor")

    def all_at_work() -> bool:
        sql(database, TAKE_THE_NEXT_SLOTS)
        claims = sql(database, "SELECT DISTINCT run_id FROM crm_sync WHERE lease_id IS NOT NULL")
        at_work = [run for run in dagster.runs("brevo_sync") if (run["runId"],) in claims]
        return by_hand <= {run["runId"] for run in at_work} and {started_by(run) for run in at_work} == WHO

    wait_for(all_at_work)
    assert account.received == []
    sql(database, "UPDATE crm_gate SET next_slot_at = clock_timestamp()")
    wait_for(lambda: pairs(database) == {"Complete/Complete": CONTACTS})

    def all_over() -> list[Any]:
        runs = dagster.runs("brevo_sync")
        return runs if all(run["endTime"] for run in runs) else []

    assert {run["status"] for run in wait_for(all_over)} == {"SUCCESS"}
    assert Counter(address for _, address in account.received) == {
        f"person-{number}@example.com": 1 for number in range(1, CONTACTS + 1)
    }
    pushing = {row.run_id for row in sql(database, "SELECT run_id FROM crm_attempts WHERE outcome = 'synced'")}
    assert by_hand < pushing, "they shared the contacts"
    assert sql(database, "SELECT FROM crm_sync WHERE lease_id IS NOT NULL OR crashes > 0 OR retry_count > 0") == []
