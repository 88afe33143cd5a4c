"""A contact that is refused again and again while others are taken has a trouble of its own: it stops nobody else."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import pytest

from crm_pipeline.database.engine import Database
from crm_pipeline.gate.gate import FAILURES_BEFORE_PAUSE, REFUSALS_BEFORE_CLOSED
from crm_pipeline.model import NewsKind
from crm_pipeline.sandbox.account import Account
from crm_pipeline_tests.push.pushing import Pushing, eventually, waits_are_over, whole_run
from crm_pipeline_tests.support.contacts import insert, insert_many, pairs, sql

GONE = (400, {"code": "invalid_parameter", "message": "Some of the list ids do not exist"})
TAKEN = (400, {"code": "duplicate_parameter", "message": "SMS is already associated with another Contact"})
ERROR = (500, {"code": "internal", "message": "Something went wrong"})
DOWN = (503, {"message": "Down for maintenance"})


def trouble_with(account: Account, answer: Any, every: int = 20) -> None:
    """Every so many-th of the contacts always gets this answer."""
    account.faults.answer = lambda sent: answer if _number(sent) % every == 0 else None


def _number(address: str) -> int:
    name = address.partition("@")[0].partition("-")[2]
    return int(name) if name.isdigit() else 1


def burnt(database: Database) -> int:
    (row,) = sql(database, "SELECT coalesce(sum(retry_count), 0) AS n FROM contacts")
    return int(row.n)


@pytest.mark.parametrize("answer", [TAKEN, ERROR], ids=["refused", "500"])
def test_those_with_a_trouble_of_their_own_are_given_up_in_a_quiet_night_and_stop_nobody(
    database: Database, account: Account, sync: Pushing, answer: Any
) -> None:
    insert_many(database, 500)
    trouble_with(account, answer)
    for _ in range(4):
        whole_run(sync)
        assert not sync.gate.state().paused
        waits_are_over(database)
    assert pairs(database) == {"Complete/Complete": 475, "Error/Error": 25}


def test_a_fault_of_the_account_stops_everything_although_some_were_refused_before_with_other_words(
    database: Database, account: Account, sync: Pushing
) -> None:
    insert_many(database, 500)
    trouble_with(account, TAKEN)
    whole_run(sync)
    waits_are_over(database)
    before = burnt(database)
    account.faults.answer = lambda _: GONE
    for _ in range(3):
        whole_run(sync)
        waits_are_over(database)
    assert sync.gate.state().cause_kind is NewsKind.CLOSED
    assert burnt(database) - before <= REFUSALS_BEFORE_CLOSED - 1


def test_an_outage_stops_everything_although_some_got_a_500_before(
    database: Database, account: Account, sync: Pushing
) -> None:
    insert_many(database, 500)
    trouble_with(account, ERROR)
    whole_run(sync)
    waits_are_over(database)
    before = burnt(database)
    account.faults.answer = lambda _: DOWN
    for _ in range(3):
        whole_run(sync)
        waits_are_over(database)
    assert burnt(database) - before <= FAILURES_BEFORE_PAUSE


def test_those_that_an_outage_has_given_up_open_a_pause_when_they_meet_the_next_one_together(
    database: Database, account: Account, sync: Pushing
) -> None:
    insert_many(database, 500)
    trouble_with(account, DOWN)  # an outage in part
    for _ in range(4):
        whole_run(sync)
        waits_are_over(database)
    given_up = sql(database, "SELECT id FROM contacts WHERE brevo_sync_status = 'Error'")
    before = sync.journal()["failed"]
    sync.queue.select([row.id for row in given_up[:FAILURES_BEFORE_PAUSE]])
    account.faults.answer = lambda _: DOWN
    for _ in range(3):
        whole_run(sync)
        waits_are_over(database)
    assert sync.journal()["failed"] - before <= FAILURES_BEFORE_PAUSE


def test_one_that_was_taken_meanwhile_is_as_all_others_again(
    database: Database, account: Account, sync: Pushing
) -> None:
    insert_many(database, 500)
    trouble_with(account, GONE)
    whole_run(sync)
    refused = [row.id for row in sql(database, "SELECT id FROM contacts WHERE brevo_processing_status = 'Error'")]
    account.faults.answer = None
    waits_are_over(database)
    whole_run(sync)
    sync.queue.select(refused[:10])
    account.faults.answer = lambda _: GONE
    before = sync.journal()["failed"]
    for _ in range(3):
        whole_run(sync)
        waits_are_over(database)
    assert sync.journal()["failed"] - before <= REFUSALS_BEFORE_CLOSED - 1


def test_many_that_are_selected_at_once_are_given_up_once_others_are_taken(
    database: Database, account: Account, sync: Pushing
) -> None:
    for number in range(60):
        insert(database, f"bad{number}@example.com")
    account.faults.answer = lambda sent: TAKEN if sent.startswith("bad") else None
    for day in range(20):
        insert(database, f"fresh{day}@example.com")
        for _ in range(4):
            whole_run(sync)
            waits_are_over(database)
    assert pairs(database) == {"Complete/Complete": 20, "Error/Error": 60}


def test_an_acceptance_that_began_before_a_refusal_does_not_show_that_it_is_the_contacts_own(
    database: Database, account: Account, sync: Pushing
) -> None:
    insert_many(database, 2)
    first, second = sync.due()
    with account.faults.hold(lambda sent: sent == "person-1@example.com") as hold, sync.pushing() as pushed:
        account.faults.answer = lambda sent: GONE if sent == "person-2@example.com" else None
        hold.wait_for(1)
        while not sync.gate.state().refused_in_a_row:
            pass
        hold.release()
    assert dict(pushed.result().outcomes) == {"synced": 1, "failed": 1}
    (error,) = sql(database, "SELECT error FROM crm_attempts WHERE outcome = 'failed'")
    ids = {first: error.error, second: error.error}
    assert sync.gate.known(ids) == set()

    def known_once_another_is_taken() -> set[UUID]:
        """A refusal is dated by its journalling, which may be milliseconds late: then the next acceptance counts."""
        insert(database, f"{uuid4().hex}@example.com")
        assert sync.another().push().outcomes["synced"] == 1
        return sync.gate.known(ids)

    assert len(eventually(known_once_another_is_taken)) == 1
