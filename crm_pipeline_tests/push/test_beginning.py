"""When a run's first contacts are all refused alike it is hardly their fault: the run stops before more are harmed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from crm_pipeline.database.engine import Database
from crm_pipeline.model import NewsKind, Outcome, OutcomeKind
from crm_pipeline.push.beginning import FIRST_CONTACTS, Beginning
from crm_pipeline.sandbox.account import Account
from crm_pipeline_tests.crms.brevo_account import connected
from crm_pipeline_tests.push.pushing import Pushing
from crm_pipeline_tests.support.contacts import insert_many, pairs, sql
from crm_pipeline_tests.support.sandbox import KEY

GONE = (400, {"code": "invalid_parameter", "message": "Some of the list ids do not exist"})
OTHER = (400, {"code": "out_of_range", "message": "something else"})


def answer(account: Account, chosen: Callable[[int], tuple[int, Any] | None]) -> None:
    """Answers by the number of the push, from 1 on."""
    account.faults.answer = lambda _: chosen(account.received_count)


def burnt(database: Database) -> int:
    (row,) = sql(database, "SELECT count(*) AS n FROM contacts WHERE retry_count > 0")
    return int(row.n)


def open_gate(database: Database) -> None:
    """The pause is over, and a check has passed."""
    sql(database, "UPDATE crm_gate SET paused_until = NULL, cause = NULL, cause_kind = NULL, checked_at = now()")


def test_twenty_attempts_are_the_most_that_a_fault_of_the_account_costs(
    database: Database, account: Account, sync: Pushing
) -> None:
    insert_many(database, 100)
    answer(account, lambda _: GONE)
    result = sync.push_and_write_back()
    assert dict(result.outcomes) == {"failed": FIRST_CONTACTS, "released": 80}
    assert pairs(database) == {"Queued/Error": FIRST_CONTACTS, "Selected/Queued": 80}
    assert account.received_count == FIRST_CONTACTS
    state = sync.gate.state()
    assert (state.cause_kind, state.paused) == (NewsKind.CLOSED, True)
    assert "The first 20 contacts of this run were refused alike: Some of the list ids do not exist" in str(state.cause)
    assert str(result.stopped_because) == state.cause


def test_they_are_counted_over_all_batches_of_a_run(database: Database, account: Account, sync: Pushing) -> None:
    insert_many(database, 60)
    answer(account, lambda _: GONE)
    due = sync.due()
    for start in range(0, 60, 12):
        batch = sync.another()
        batch.__dict__["parts"] = sync.parts
        batch.push(due[start : start + 12])
        batch.queue.write_back(batch.lease)
    assert account.received_count == FIRST_CONTACTS
    assert burnt(database) == FIRST_CONTACTS


def test_retries_that_are_refused_again_together_stop_nobody(
    database: Database, account: Account, sync: Pushing
) -> None:
    insert_many(database, 60)
    sql(database, "UPDATE contacts SET brevo_sync_status = 'Queued', last_failed_crm = 'brevo', retry_count = 1")
    answer(account, lambda _: GONE)
    result = sync.push_and_write_back()
    assert dict(result.outcomes) == {"failed": 60}
    assert sync.gate.state().cause_kind is None


def test_an_exception_in_a_thread_leaves_room_for_the_next_contact() -> None:
    beginning, halt = Beginning(), threading.Event()
    for _ in range(FIRST_CONTACTS):
        assert beginning.may_send(1, halt)
    halt.set()
    assert not beginning.may_send(1, halt)
    beginning.not_sent()
    halt.clear()
    assert beginning.may_send(1, halt)


def test_an_opt_out_does_not_show_that_the_account_is_well() -> None:
    beginning = Beginning()
    refused = Outcome(OutcomeKind.FAILED, http_status=400, code="x", error="no")
    beginning.told(Outcome(OutcomeKind.SKIPPED, http_status=200))
    assert [beginning.told(refused) is None for _ in range(FIRST_CONTACTS)] == [True] * (FIRST_CONTACTS - 1) + [False]


@pytest.mark.parametrize("other", [None, OTHER, (422, GONE[1])], ids=["synced", "another code", "another status"])
def test_one_that_is_answered_otherwise_shows_that_it_is_the_contacts(
    database: Database, account: Account, sync: Pushing, other: Any
) -> None:
    insert_many(database, 60)
    answer(account, lambda number: other if number == 15 else GONE)
    result = sync.push_and_write_back()
    assert sum(result.outcomes.values()) == 60
    assert "released" not in result.outcomes
    assert sync.gate.state().cause_kind is None


def test_an_outage_in_between_says_nothing_about_the_account(
    database: Database, account: Account, sync: Pushing
) -> None:
    insert_many(database, 60)
    answer(account, lambda number: (503, None) if number % 7 == 0 else GONE)
    result = sync.another(threads=1).push()
    assert account.received_count == FIRST_CONTACTS + FIRST_CONTACTS // 6 - (FIRST_CONTACTS % 6 == 0)
    assert result.outcomes["released"] == 60 - account.received_count


def test_fewer_contacts_than_that_are_believed(database: Database, account: Account, sync: Pushing) -> None:
    insert_many(database, FIRST_CONTACTS - 1)
    answer(account, lambda _: GONE)
    result = sync.push()
    assert dict(result.outcomes) == {"failed": FIRST_CONTACTS - 1}
    assert sync.gate.state().cause_kind is None


def test_the_next_run_risks_one_contact_and_stops_when_it_is_refused_for_the_same(
    database: Database, account: Account, sync: Pushing
) -> None:
    insert_many(database, 60)
    answer(account, lambda _: GONE)
    sync.push_and_write_back()
    for more in (1, 2):
        open_gate(database)
        sync.another().push_and_write_back()
        assert burnt(database) == FIRST_CONTACTS + more
        assert sync.gate.state().paused_seconds > 20 * 2**more, "each pause is twice as long as the one before"
        assert "Another contact was refused alike" in str(sync.gate.state().cause)


def test_the_next_run_goes_on_as_usual_once_a_contact_comes_through(
    database: Database, account: Account, sync: Pushing
) -> None:
    insert_many(database, 60)
    answer(account, lambda _: GONE)
    sync.push_and_write_back()
    open_gate(database)
    account.faults.answer = None
    result = sync.another().push()
    assert dict(result.outcomes) == {"synced": 40}
    assert sync.gate.state().suspicion is None


def test_a_check_by_hand_ends_the_suspicion(database: Database, account: Account, sync: Pushing) -> None:
    insert_many(database, 100)
    answer(account, lambda _: GONE)
    sync.push_and_write_back()
    sync.parts.check(sync.stop)
    assert sync.gate.state().suspicion is not None, "the run's own check is not enough"
    sync.parts.check(sync.stop, by_hand=True)
    assert sync.gate.state().suspicion is None
    sync.another().push_and_write_back()
    assert burnt(database) == 2 * FIRST_CONTACTS


def test_no_more_are_sent_than_may_be_lost_until_one_is_answered(
    database: Database, account: Account, sync: Pushing
) -> None:
    insert_many(database, 60)
    with (
        connected(account.url, 40, api_key=KEY) as brevo,
        account.faults.hold() as hold,
        sync.another(threads=40, crm=brevo).pushing() as done,
    ):
        hold.wait_for(FIRST_CONTACTS)
        assert len(hold.held) == FIRST_CONTACTS
        hold.release()
        assert dict(done.result().outcomes) == {"synced": 60}


def test_a_refusal_that_goes_straight_to_error_counts_too(database: Database, account: Account, sync: Pushing) -> None:
    insert_many(database, 60)
    answer(account, lambda _: GONE)
    sync.another(retry_rejected=False).push_and_write_back()
    assert account.received_count == FIRST_CONTACTS


def test_the_sentence_is_short_and_says_what_to_do() -> None:
    beginning = Beginning("HTTP 400")
    news = beginning.told(Outcome(OutcomeKind.FAILED, http_status=400, error="x" * 500))
    assert news is not None
    assert len(str(news.sentence)) <= 500
    assert "check" in str(news.sentence)
