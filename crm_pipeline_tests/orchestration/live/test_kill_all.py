"""A machine that loses power: run, code server and daemon die at one blow, and Dagster shows the run STARTED for ever.

The three minutes of the promise are mostly the lease's. They are not waited for: once the daemon is up again, the times
of the lease and of the run's events are set back in the database, by as much as is left of the lease.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator

import pytest

from crm_pipeline.database.engine import Database, psycopg2_url
from crm_pipeline.sandbox.account import Account
from crm_pipeline_tests.orchestration.live.stack import Dagster
from crm_pipeline_tests.support.contacts import insert_many, pairs, sql
from crm_pipeline_tests.support.waiting import wait_for

pytestmark = [pytest.mark.timeout(300), pytest.mark.xdist_group("killed")]
CONTACTS = 30
BATCH = 10
PROMISED_SECONDS = 180


@pytest.fixture
def dagsters_own(dagster_database: str) -> Iterator[Database]:
    """The database with Dagster's runs and events."""
    database = Database(psycopg2_url(dagster_database))
    yield database
    database.dispose()


def let_the_lease_pass(database: Database, dagsters_own: Database) -> float:
    """Set back what the lease and the silence of its run are measured by; by how many seconds."""
    (left,) = sql(database, "SELECT extract(epoch FROM max(leased_until) - clock_timestamp())::float8 FROM crm_sync")[0]
    sql(database, "UPDATE crm_sync SET leased_until = leased_until - make_interval(secs => :left)", left=left)
    event = "jsonb_set(event::jsonb, '{timestamp}', to_jsonb((event::jsonb ->> 'timestamp')::float8 - :left))::text"
    changed = f"UPDATE event_logs SET event = {event}, timestamp = timestamp - make_interval(secs => :left)"
    sql(dagsters_own, changed, left=left)
    return float(left)


def test_after_a_kill_of_run_code_server_and_daemon_together_all_is_complete_within_three_minutes_and_the_run_is_red(
    database: Database, account: Account, dagster: Dagster, dagsters_own: Database
) -> None:
    dagster.stop_schedule("brevo_sync_schedule")  # the sensor alone must find out
    with account.faults.hold(before_storing=True) as hold:
        insert_many(database, CONTACTS)
        hold.wait_for(BATCH, 120)
        (run,) = dagster.runs("brevo_sync")
        process = dagster.run_process(run["runId"])
        assert {process.pid, process.ppid()} < set(dagster.kill_daemon())
    in_flight = set(hold.held)
    assert len(in_flight) == BATCH
    dagster.start_daemon()
    restarted, clock = time.monotonic(), time.time()

    def waits_for_the_lease() -> bool:
        newest = dagster.sensor_ticks("brevo_retry_sensor")[0]
        return newest["timestamp"] > clock and f"{run['runId'][:8]} (started)" in (newest["skipReason"] or "")

    wait_for(waits_for_the_lease)
    passed = let_the_lease_pass(database, dagsters_own)
    left = restarted + PROMISED_SECONDS - passed - time.monotonic()
    wait_for(lambda: pairs(database) == {"Complete/Complete": CONTACTS}, left)
    left = restarted + PROMISED_SECONDS - passed - time.monotonic()
    wait_for(lambda: dagster.run(run["runId"])["status"] == "FAILURE", left)
    assert any("gone without a trace" in event["message"] for event in dagster.events(run["runId"]))
    wait_for(lambda: {one["status"] for one in dagster.runs("brevo_sync")} == {"SUCCESS", "FAILURE"})
    pushes = Counter(address for _, address in account.received)
    assert len(pushes) == CONTACTS
    assert {address for address, count in pushes.items() if count > 1} <= in_flight
    assert max(pushes.values()) <= 2
    assert sql(database, "SELECT FROM crm_sync WHERE lease_id IS NOT NULL OR crashes > 0") == []
    assert sql(database, "SELECT FROM contacts WHERE retry_count > 0") == []
