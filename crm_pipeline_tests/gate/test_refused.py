"""Contacts refused alike, one after another, are counted over all processes: the twentieth closes the gate."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import pytest

from crm_pipeline.database.engine import Database
from crm_pipeline.gate.gate import REFUSALS_BEFORE_CLOSED, Gate
from crm_pipeline.gate.pacer import Pacer
from crm_pipeline.model import WELL, CheckResult, News, NewsKind
from crm_pipeline_tests.support.contacts import sql

REFUSED = News(NewsKind.REFUSED, "All were refused alike")
ACCEPTED = replace(WELL, accepted=True)
CLOSED = News(NewsKind.CLOSED, "BREVO_API_KEY is refused")


@pytest.fixture
def gate(database: Database) -> Gate:
    gate = Gate(database, "brevo", identity="key-1", rate_per_second=100)
    gate.begin()
    return gate


def over(gate: Gate) -> None:
    sql(gate.database, "UPDATE crm_gate SET paused_until = now() WHERE crm = 'brevo'")


def refuse(gate: Gate, times: int = REFUSALS_BEFORE_CLOSED, news: News = REFUSED) -> int:
    """Refusals in a row after so many more."""
    return [gate.tell(news) for _ in range(times)][-1]


def test_the_twentieth_refusal_alike_closes_the_gate_for_all_whichever_process_met_the_others(
    gate: Gate, database: Database
) -> None:
    other = Gate(database, "brevo", identity="key-1", rate_per_second=100)
    assert refuse(gate, 10) == 10
    assert refuse(other, 9) == 19
    assert (gate.state().paused, gate.state().half_open) == (False, False)
    assert gate.tell(REFUSED) == 20
    state = other.state()
    assert (state.paused, state.cause_kind, state.cause, state.half_open) == (
        True,
        NewsKind.CLOSED,
        "All were refused alike",
        True,
    )
    assert state.checked_seconds_ago is None


def test_all_contacts_of_one_request_are_counted(gate: Gate) -> None:
    assert gate.tell(replace(REFUSED, contacts=15)) == 15
    assert gate.tell(replace(REFUSED, contacts=15)) == 30
    assert gate.state().cause_kind is NewsKind.CLOSED


def test_a_contact_that_is_taken_begins_the_row_anew(gate: Gate) -> None:
    refuse(gate, 19)
    gate.tell(ACCEPTED)
    assert refuse(gate, 19) == 19
    assert gate.state().cause_kind is None


def test_an_answer_that_takes_nobody_does_not_end_the_row(gate: Gate) -> None:
    refuse(gate, 19)
    gate.tell(WELL)
    assert gate.tell(REFUSED) == 20


def test_a_refusal_shows_that_the_crm_answers(gate: Gate, database: Database) -> None:
    for _ in range(10):
        gate.tell(News(NewsKind.UNAVAILABLE, "down"))
    over(gate)
    gate.tell(REFUSED)
    state = gate.state()
    assert (state.failures_in_a_row, state.cause, state.half_open) == (0, None, False)
    assert sql(database, "SELECT pauses_in_a_row FROM crm_gate WHERE crm = 'brevo'") == [(0,)]


def test_a_refusal_does_not_lift_a_pause_that_another_process_has_met(gate: Gate) -> None:
    gate.tell(News(NewsKind.THROTTLED, "slow down", 30))
    gate.tell(REFUSED)
    assert (gate.state().paused_seconds > 25, gate.state().cause) == (True, "slow down")


def test_each_further_refusal_closes_again_twice_as_long_but_those_in_flight_do_not(gate: Gate) -> None:
    for least, most in ((20, 40), (40, 80), (80, 160)):
        refuse(gate, 20 if least == 20 else 1)
        refuse(gate, 3)  # in flight
        assert least < gate.state().paused_seconds < most
        over(gate)


def test_a_passed_check_opens_the_gate_and_the_next_contact_goes_alone(gate: Gate) -> None:
    refuse(gate)
    gate.tell_check(CheckResult(WELL), gate.state())
    state = gate.begin()
    assert (state.paused, state.cause, state.half_open) == (False, None, True)


def test_a_check_that_a_person_asks_for_ends_the_row_if_it_passes(gate: Gate) -> None:
    refuse(gate)
    gate.tell_check(CheckResult(CLOSED), gate.state(), by_hand=True)
    assert gate.state().half_open
    gate.tell_check(CheckResult(WELL), gate.state(), by_hand=True)
    assert (gate.state().paused, gate.state().half_open, gate.state().refused_in_a_row) == (False, False, 0)


@pytest.mark.parametrize(
    "news", [CLOSED, replace(REFUSED, contacts=20), News(NewsKind.UNAVAILABLE, "down", 60)], ids=lambda news: news.kind
)
def test_a_passed_check_does_not_open_what_another_process_has_closed_since_it_was_asked(
    gate: Gate, news: News
) -> None:
    before = gate.state()
    gate.tell(news)
    gate.tell_check(CheckResult(WELL), before)
    state = gate.state()
    assert (state.paused, state.cause) == (True, news.sentence)
    assert (state.checked_seconds_ago is None) == (news.kind is not NewsKind.UNAVAILABLE)


def test_an_accepted_contact_ends_a_row_that_another_process_began(gate: Gate, database: Database) -> None:
    refuse(gate, 3)
    pacer = Pacer(Gate(database, "brevo", identity="key-1", rate_per_second=100), 1, threading.Event())
    assert pacer.wait(time.monotonic() + 5) is None
    pacer.tell(WELL)  # an opt-out, say
    assert gate.state().refused_in_a_row == 3
    pacer.tell(ACCEPTED)
    assert gate.state().refused_in_a_row == 0


def test_an_acceptance_of_an_earlier_request_does_not_end_the_row_that_closed_the_gate(gate: Gate) -> None:
    refuse(gate)
    gate.tell(ACCEPTED)
    assert (gate.state().paused, gate.state().refused_in_a_row) == (True, 20)


@pytest.mark.parametrize("news", [REFUSED, News(NewsKind.UNAVAILABLE, "down")], ids=lambda news: news.kind)
def test_acceptances_are_told_until_one_began_after_the_last_refusal_or_failure(gate: Gate, news: News) -> None:
    gate.tell(news)
    assert gate.tell(ACCEPTED, age_seconds=10) == 1
    assert (gate.state().refused_in_a_row, gate.reserve(1).trouble) == (0, True)
    assert gate.tell(ACCEPTED) == 0
    assert not gate.reserve(1).trouble


def test_a_refusal_below_the_number_leaves_the_slots_in_hand(gate: Gate, database: Database) -> None:
    pacer = Pacer(gate, 100, threading.Event())
    assert pacer.wait(time.monotonic() + 5) is None
    (before,) = sql(database, "SELECT next_slot_at FROM crm_gate WHERE crm = 'brevo'")
    for _ in range(5):
        pacer.tell(REFUSED)
        assert pacer.wait(time.monotonic() + 5) is None
    assert sql(database, "SELECT next_slot_at FROM crm_gate WHERE crm = 'brevo'") == [before]
    pacer.tell(replace(REFUSED, contacts=20))
    assert pacer.wait(time.monotonic() + 5) == "All were refused alike"


def test_another_key_or_address_ends_the_row(gate: Gate, database: Database) -> None:
    refuse(gate)
    changed = Gate(database, "brevo", identity="key-2", rate_per_second=100)
    assert not changed.state().half_open
    gate.tell(ACCEPTED)
    gate.tell(News(NewsKind.THROTTLED, "slow down", 30))
    changed.begin()
    row = "SELECT refused_at, accepted_at, raised_at FROM crm_gate WHERE crm = 'brevo'"
    assert sql(database, row) == [(None, None, None)]
    gate.begin()  # back to the key of before: nothing of it is left
    assert not gate.state().half_open


def test_a_refusal_is_not_lost_with_the_gates_row(gate: Gate) -> None:
    sql(gate.database, "DELETE FROM crm_gate WHERE crm = 'brevo'")
    assert gate.tell(REFUSED) == 1


def test_a_doubt_is_no_news_for_the_gate(gate: Gate) -> None:
    with pytest.raises(ValueError, match="check"):
        gate.tell(News(NewsKind.DOUBTFUL, "Brevo answers 403"))
    assert not gate.state().paused
