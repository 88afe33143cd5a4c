"""Contacts refused alike, one after another, are hardly to blame: the run stops before more are harmed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest

from crm_pipeline.database.engine import Database
from crm_pipeline.gate.gate import REFUSALS_BEFORE_CLOSED, Gate
from crm_pipeline.model import WELL, News, NewsKind, Outcome, OutcomeKind
from crm_pipeline.push.alike import Alike, taught
from crm_pipeline.sandbox.account import Account
from crm_pipeline_tests.crms.brevo_account import connected
from crm_pipeline_tests.push.pushing import Pushing, waits_are_over, whole_run
from crm_pipeline_tests.support.contacts import insert, insert_many, pair, pairs, sql
from crm_pipeline_tests.support.sandbox import KEY

MOST = REFUSALS_BEFORE_CLOSED - 1
"""Attempts that such a fault can cost: the contact that closes the gate waits uncounted."""
GONE = (400, {"code": "invalid_parameter", "message": "Some of the list ids do not exist"})
OTHER = (400, {"code": "out_of_range", "message": "something else"})
READ_ONLY = (403, {"code": "permission_denied", "message": "This key may not write"})


def answer(account: Account, chosen: Callable[[int], tuple[int, Any] | None]) -> None:
    """Answers by the number of the push, from 1 on."""
    account.faults.answer = lambda _: chosen(account.received_count)


def burnt(database: Database) -> int:
    """Attempts that were counted."""
    (row,) = sql(database, "SELECT coalesce(sum(retry_count), 0) AS n FROM contacts")
    return int(row.n)


def open_gate(database: Database) -> None:
    """The pause is over, and a check has passed."""
    sql(database, "UPDATE crm_gate SET paused_until = NULL, cause = NULL, cause_kind = NULL, checked_at = now()")


def test_nineteen_attempts_are_the_most_that_a_fault_of_the_account_costs(
    database: Database, account: Account, sync: Pushing
) -> None:
    insert_many(database, 100)
    answer(account, lambda _: GONE)
    result = sync.push_and_write_back()
    assert dict(result.outcomes) == {"failed": MOST, "blocked": 1, "released": 80}
    assert pairs(database) == {"Queued/Error": MOST + 1, "Selected/Queued": 80}
    assert (account.received_count, burnt(database)) == (MOST + 1, MOST)
    state = sync.gate.state()
    assert (state.cause_kind, state.paused) == (NewsKind.CLOSED, True)
    assert "20 contacts in a row were refused alike, or more, the last with: Some of the list ids" in str(state.cause)
    assert str(result.stopped_because) == state.cause


def test_they_are_counted_over_all_batches_and_runs(database: Database, account: Account, sync: Pushing) -> None:
    insert_many(database, 15)
    answer(account, lambda _: GONE)
    whole_run(sync)
    assert burnt(database) == 15
    for domain in ("a", "b", "c"):
        insert_many(database, 15, f"{domain}.example.com")
        whole_run(sync)
    assert (account.received_count, burnt(database)) == (MOST + 3, MOST)  # and a probe a run, uncounted


def test_a_fault_that_begins_in_the_midst_of_a_run_costs_no_more(
    database: Database, account: Account, sync: Pushing
) -> None:
    insert_many(database, 300)
    answer(account, lambda number: GONE if number > 30 else None)
    outcomes = whole_run(sync)
    assert (outcomes["synced"], outcomes["failed"], outcomes["blocked"]) == (30, MOST, 1)


def test_a_key_that_may_only_read_costs_no_more_although_the_check_passes(
    database: Database, account: Account, sync: Pushing
) -> None:
    insert_many(database, 60)
    answer(account, lambda _: READ_ONLY)
    for _ in range(4):
        whole_run(sync)
        waits_are_over(database)
    assert burnt(database) == MOST
    assert "what the key may do" in str(sync.gate.state().cause)


def test_retries_count_too(database: Database, account: Account, sync: Pushing) -> None:
    insert_many(database, 10)
    answer(account, lambda _: GONE)
    for _ in range(5):
        whole_run(sync)
        waits_are_over(database)
    assert burnt(database) == MOST
    assert set(pairs(database)) <= {"Queued/Error", "Queued/Queued"}, "nobody is given up for it"


@pytest.mark.parametrize(
    "said",
    [
        "Invalid email address",
        "Invalid phone number",
        "email is not valid in email",
        "Invalid LANDLINE_NUMBER",
        "Invalid SMS",
        "Invalid e-mail.",
    ],
)
def test_refusals_that_name_the_contacts_own_data_stop_nobody(
    database: Database, account: Account, sync: Pushing, said: str
) -> None:
    insert_many(database, 60)
    answer(account, lambda _: (400, {"code": "invalid_parameter", "message": said}))
    result = sync.push_and_write_back()
    assert dict(result.outcomes) == {"failed": 60}
    assert sync.gate.state().cause_kind is None


def test_contacts_to_blame_stop_the_others_for_a_moment_only(
    database: Database, account: Account, sync: Pushing
) -> None:
    bad = {str(insert(database, f"bad-{number}@example.com")) for number in range(20)}
    account.faults.answer = lambda sent: OTHER if sent.startswith("bad") else None
    assert whole_run(sync)["blocked"] == 1
    insert_many(database, 50)
    waits_are_over(database)
    assert whole_run(sync)["synced"] == 50, "a fresh contact goes first, and is taken"
    for _ in range(8):
        waits_are_over(database)
        whole_run(sync)
        good = insert(database, f"{uuid4()}@example.com")
        waits_are_over(database)
        whole_run(sync)
        assert pair(database, good) == ("Complete", "Complete")
    assert pairs(database)["Error/Error"] == len(bad), "all are given up in the end"


def test_an_exception_leaves_room_for_the_next_contact() -> None:
    alike, halt = Alike(0), threading.Event()
    for _ in range(REFUSALS_BEFORE_CLOSED):
        assert alike.may_send(1, halt)
    halt.set()
    assert not alike.may_send(1, halt)
    alike.ended(1)
    halt.clear()
    assert alike.may_send(1, halt)


def test_an_opt_out_does_not_show_that_the_account_is_well() -> None:
    assert taught(WELL, [Outcome(OutcomeKind.SKIPPED, http_status=200)]) == WELL


def test_of_one_request_those_are_counted_that_say_something_about_the_account() -> None:
    refused = [Outcome(OutcomeKind.FAILED, http_status=400, code=code) for code in ("a", "b", "b")]
    assert taught(WELL, refused).contacts == 3
    assert taught(WELL, [*refused, replace(refused[0], own=True)]).contacts == 3
    assert taught(WELL, [*refused, Outcome(OutcomeKind.SYNCED)]).accepted


@pytest.mark.parametrize("attribute", ["EMAIL_TYPE", "EMAIL-TYPE", "MOBILE_PHONE", "SMS_CONSENT", "WORK_EMAIL"])
def test_an_attribute_whose_name_holds_an_address_or_a_phone_is_not_the_contacts_own_data(
    database: Database, account: Account, sync: Pushing, attribute: str
) -> None:
    insert_many(database, 60)
    refused = (400, {"code": "invalid_parameter", "message": f"Invalid value for attribute {attribute}"})
    answer(account, lambda _: refused)
    sync.push_and_write_back()
    assert burnt(database) == MOST


@pytest.mark.parametrize("other", [OTHER, (422, GONE[1])], ids=["another code", "another status"])
def test_refusals_by_turns_cost_no_more_than_refusals_alike(
    database: Database, account: Account, sync: Pushing, other: Any
) -> None:
    insert_many(database, 60)
    answer(account, lambda number: other if number % 2 else GONE)
    for _ in range(4):
        whole_run(sync)
        waits_are_over(database)
    assert burnt(database) == MOST


def test_one_that_is_taken_begins_the_row_anew(database: Database, account: Account, sync: Pushing) -> None:
    insert_many(database, 34)
    answer(account, lambda number: None if number == 15 else GONE)
    result = sync.another(threads=1).push_and_write_back()
    assert sum(result.outcomes.values()) == 34
    assert "released" not in result.outcomes
    assert sync.gate.state().cause_kind is None


def test_an_outage_in_between_says_nothing_about_the_account(
    database: Database, account: Account, sync: Pushing
) -> None:
    insert_many(database, 60)
    answer(account, lambda number: (503, None) if number % 7 == 0 else GONE)
    result = sync.another(threads=1).push()
    assert (result.outcomes["blocked"], result.outcomes["failed"]) == (1, MOST + 3)
    assert account.received_count == 23


def test_fewer_contacts_than_that_are_believed(database: Database, account: Account, sync: Pushing) -> None:
    insert_many(database, MOST)
    answer(account, lambda _: GONE)
    result = sync.push()
    assert dict(result.outcomes) == {"failed": MOST}
    assert sync.gate.state().cause_kind is None


def test_the_next_runs_risk_one_contact_each_which_waits_uncounted(
    database: Database, account: Account, sync: Pushing
) -> None:
    insert_many(database, 60)
    answer(account, lambda _: GONE)
    sync.push_and_write_back()
    for more in (1, 2):
        open_gate(database)
        assert whole_run(sync)["blocked"] == 1
        assert (account.received_count, burnt(database)) == (MOST + 1 + more, MOST)
        assert sync.gate.state().paused_seconds > 20 * 2**more, "each pause is twice as long as the one before"


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
    assert not sync.gate.state().half_open


def test_a_check_by_hand_ends_the_row(database: Database, account: Account, sync: Pushing) -> None:
    insert_many(database, 100)
    answer(account, lambda _: GONE)
    sync.push_and_write_back()
    sync.parts.check(sync.stop)
    assert sync.gate.state().half_open, "the run's own check is not enough"
    sync.parts.check(sync.stop, by_hand=True)
    assert not sync.gate.state().half_open
    sync.another().push_and_write_back()
    assert burnt(database) == 2 * MOST


def test_a_check_opens_nothing_that_was_closed_while_it_was_asked(
    account: Account, sync: Pushing, monkeypatch: pytest.MonkeyPatch
) -> None:
    check = sync.crm.check

    def check_slowly() -> Any:
        result = check()
        sync.gate.tell(News(NewsKind.CLOSED, "another process was refused"))
        return result

    monkeypatch.setattr(sync.crm, "check", check_slowly)
    sync.parts.check(sync.stop)
    assert sync.gate.state().cause == "another process was refused"


def test_no_more_are_sent_than_may_be_lost_until_one_is_taken(
    database: Database, account: Account, sync: Pushing
) -> None:
    insert_many(database, 60)
    with (
        connected(account.url, 40, api_key=KEY) as brevo,
        account.faults.hold() as hold,
        sync.another(threads=40, crm=brevo).pushing() as done,
    ):
        hold.wait_for(REFUSALS_BEFORE_CLOSED)
        assert len(hold.held) == REFUSALS_BEFORE_CLOSED
        hold.release()
        assert dict(done.result().outcomes) == {"synced": 60}


def test_a_refusal_that_goes_straight_to_error_counts_too(database: Database, account: Account, sync: Pushing) -> None:
    insert_many(database, 60)
    answer(account, lambda _: GONE)
    sync.another(retry_rejected=False).push_and_write_back()
    assert account.received_count == REFUSALS_BEFORE_CLOSED


def test_a_fault_of_the_account_sends_one_contact_straight_to_error_at_most(
    database: Database, account: Account, sync: Pushing
) -> None:
    insert_many(database, 60)
    answer(account, lambda _: GONE)
    sync.another(retry_rejected=False).push_and_write_back()
    assert pairs(database) == {"Error/Error": 1, "Queued/Error": MOST, "Selected/Queued": 60 - MOST - 1}


def test_those_that_met_a_fault_that_another_run_told_of_do_not_say_that_the_run_was_stopped(
    database: Database, account: Account, sync: Pushing
) -> None:
    insert_many(database, 60)
    slow = Gate(database, "brevo", sync.gate.identity, 8)
    slow.begin()

    def chosen(number: int) -> tuple[int, Any] | None:
        if number == 20:
            sync.gate.tell(News(NewsKind.REFUSED, contacts=MOST))
        return GONE if number >= 20 else None

    answer(account, chosen)
    result = sync.another(gate=slow).push()
    assert result.stopped_because == sync.gate.state().cause
    notes = sql(database, "SELECT DISTINCT note FROM crm_attempts WHERE outcome = 'released'")
    assert [row.note for row in notes] == [sync.gate.state().cause]


def test_an_answer_is_journalled_although_the_database_does_not_take_its_news(
    database: Database, account: Account, sync: Pushing, monkeypatch: pytest.MonkeyPatch
) -> None:
    insert_many(database, 1)
    answer(account, lambda _: GONE)
    tell = sync.gate.tell

    def refuse(news: News) -> int:
        if news.kind is NewsKind.REFUSED:
            raise RuntimeError("the gate's row is locked")
        return tell(news)

    monkeypatch.setattr(sync.gate, "tell", refuse)
    with pytest.raises(RuntimeError):
        sync.push()
    assert pairs(database) == {"Queued/Error": 1}


def test_the_sentence_is_short_and_says_what_to_do() -> None:
    sentence = taught(WELL, [Outcome(OutcomeKind.FAILED, http_status=400, error="x" * 500)]).sentence
    assert sentence is not None
    assert len(sentence) <= 500
    assert "check" in sentence
