"""A CRM that is down costs ten contacts an attempt at most, and is let to come back with one request at a time."""

from __future__ import annotations

import time
from uuid import UUID

from crm_pipeline.database.engine import Database
from crm_pipeline.gate.gate import FAILURES_BEFORE_PAUSE
from crm_pipeline.model import News, NewsKind
from crm_pipeline.sandbox.account import Account
from crm_pipeline_tests.push.pushing import Pushing, waits_are_over, whole_run
from crm_pipeline_tests.support.contacts import insert, insert_many, pairs, sql

DOWN = News(NewsKind.UNAVAILABLE, "Brevo is out of order")


def was_down(sync: Pushing) -> None:
    """Ten failures opened a pause, and it is over."""
    for _ in range(FAILURES_BEFORE_PAUSE):
        sync.gate.tell(DOWN)
    sql(sync.queue.database, "UPDATE crm_gate SET paused_until = now() WHERE crm = 'brevo'")


def test_ten_server_errors_in_a_row_pause_and_only_those_ten_count_an_attempt(
    database: Database, account: Account, sync: Pushing
) -> None:
    insert_many(database, 60)
    account.faults.answer = lambda _: (503, "<html>Bad gateway</html>")
    result = sync.push_and_write_back()
    assert dict(result.outcomes) == {"failed": 10, "released": 50}
    assert pairs(database) == {"Queued/Error": 10, "Selected/Queued": 50}
    assert sql(database, "SELECT DISTINCT retry_count FROM crm_sync ORDER BY 1") == [(0,), (1,)]
    assert len(account.received) < 10 + sync.threads
    state = sync.gate.state()
    assert (state.paused, state.cause_kind, state.half_open) == (True, NewsKind.UNAVAILABLE, True)
    assert "Brevo is out of order" in str(result.stopped_because)


def test_nothing_is_claimed_while_the_crm_is_known_to_be_down(
    database: Database, account: Account, sync: Pushing
) -> None:
    insert_many(database, 5)
    for _ in range(FAILURES_BEFORE_PAUSE):
        sync.gate.tell(DOWN)
    result = sync.push()
    assert (result.claimed, result.stopped_because, account.received) == (0, "Brevo is out of order", [])
    assert sql(database, "SELECT FROM crm_sync UNION ALL SELECT FROM crm_attempts") == []


def test_an_outage_of_writes_costs_ten_attempts_although_reads_are_well(
    database: Database, account: Account, sync: Pushing
) -> None:
    insert_many(database, 60)
    whole_run(sync)
    moved = "UPDATE contacts SET email = 'new-' || email, brevo_sync_status = 'Selected', "
    sql(database, f"{moved} brevo_processing_status = 'Queued'")
    account.faults.answer = lambda _: (503, None)  # to PUT and POST: GET of the former address is well
    for _ in range(5):
        whole_run(sync)
        waits_are_over(database)
    assert sync.journal()["failed"] == FAILURES_BEFORE_PAUSE


def test_a_few_errors_among_good_answers_pause_nothing(database: Database, account: Account, sync: Pushing) -> None:
    insert_many(database, 40)
    account.faults.answer = lambda address: (500, None) if address.startswith("person-1") else None
    result = sync.another(threads=1).push()
    failed = len([n for n in range(1, 41) if str(n).startswith("1")])
    assert dict(result.outcomes) == {"synced": 40 - failed, "failed": failed}
    assert not sync.gate.state().paused


def test_after_an_outage_one_contact_goes_alone_and_the_rest_follows_its_good_answer(
    database: Database, account: Account, sync: Pushing
) -> None:
    insert_many(database, 20)
    was_down(sync)
    with account.faults.hold() as hold, sync.pushing() as pushed:
        hold.wait_for(1)
        time.sleep(0.3)  # others would come at once
        alone = len(account.received)
        hold.release()
    assert alone == 1
    assert dict(pushed.result().outcomes) == {"synced": 20}
    assert not sync.gate.state().half_open


def test_after_an_outage_a_failure_of_the_one_gives_all_others_back(
    database: Database, account: Account, sync: Pushing
) -> None:
    insert_many(database, 20)
    was_down(sync)
    account.faults.answer = lambda _: (500, None)
    result = sync.push_and_write_back()
    assert len(account.received) == 1
    assert dict(result.outcomes) == {"released": 20}, "a probe costs nobody an attempt"
    assert pairs(database) == {"Selected/Queued": 20}
    assert sync.gate.state().paused_seconds > 35, "longer than the first pause"


def test_after_an_outage_a_contact_that_cannot_be_sent_does_not_open_the_way_for_all(
    database: Database, account: Account, sync: Pushing
) -> None:
    insert(database, "", id=UUID(int=1))
    insert(database, " ", id=UUID(int=2))
    insert_many(database, 20)
    was_down(sync)
    with account.faults.hold() as hold, sync.pushing() as pushed:
        hold.wait_for(1)
        time.sleep(0.3)  # others would come at once
        alone = len(account.received)
        hold.release()
    assert alone == 1
    assert dict(pushed.result().outcomes) == {"rejected": 2, "synced": 20}


def test_an_outage_that_ends_before_the_tenth_failure_is_forgotten(
    database: Database, account: Account, sync: Pushing
) -> None:
    insert_many(database, 9)
    account.faults.answer = lambda _: (500, None)
    sync.push()
    account.faults.answer = None
    insert(database, "ann@example.com")
    sync.another().push()
    assert sql(database, "SELECT failures_in_a_row FROM crm_gate WHERE crm = 'brevo'") == [(0,)]
