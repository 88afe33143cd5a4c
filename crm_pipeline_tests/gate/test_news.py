"""What each piece of news does to the shared pause, whoever tells it and in whatever order."""

from __future__ import annotations

import re
import threading
import time
from itertools import pairwise

import pytest

from crm_pipeline.database.engine import Database
from crm_pipeline.gate.gate import FAILURES_BEFORE_PAUSE, Gate
from crm_pipeline.gate.pacer import Pacer
from crm_pipeline.model import WELL, CheckResult, News, NewsKind
from crm_pipeline_tests.support.contacts import sql

DOWN = News(NewsKind.UNAVAILABLE, "Brevo answers 500")
CLOSED = News(NewsKind.CLOSED, "BREVO_API_KEY is refused")


def throttled(seconds: float | None) -> News:
    return News(NewsKind.THROTTLED, "quota used up", seconds)


@pytest.fixture
def gate(database: Database) -> Gate:
    gate = Gate(database, "brevo", identity="key-1", rate_per_second=100)
    gate.begin()
    return gate


@pytest.fixture
def other(database: Database) -> Gate:
    """The same gate, as another process has it."""
    return Gate(database, "brevo", identity="key-1", rate_per_second=100)


def over(gate: Gate) -> None:
    sql(gate.database, "UPDATE crm_gate SET paused_until = now() WHERE crm = 'brevo'")


def pause_after(gate: Gate, *news: News) -> float:
    for one in news:
        gate.tell(one)
    return gate.state().paused_seconds


def test_failures_of_all_processes_make_one_row(gate: Gate, other: Gate) -> None:
    told = [one.tell(DOWN) for one in (gate, other) * 5]
    assert told == list(range(1, 11))
    assert other.state().paused


def test_failures_during_a_pause_do_not_lengthen_it(gate: Gate, other: Gate) -> None:
    first = pause_after(gate, *[DOWN] * FAILURES_BEFORE_PAUSE)
    assert pause_after(other, *[DOWN] * 20) <= first


def test_each_outage_that_follows_a_failed_try_pauses_twice_as_long(gate: Gate) -> None:
    lengths = [pause_after(gate, *[DOWN] * FAILURES_BEFORE_PAUSE)]
    for _ in range(7):
        over(gate)
        lengths.append(pause_after(gate, DOWN))
    assert 20 < lengths[0] < 40
    assert all(1.1 < after / before < 3.5 for before, after in pairwise(lengths[:4]))
    assert lengths[-1] == pytest.approx(900, abs=1)


def test_a_503_that_names_a_time_pauses_at_once_for_that_long(gate: Gate) -> None:
    assert pause_after(gate, News(NewsKind.UNAVAILABLE, "down for maintenance", 90)) == pytest.approx(90, abs=2)
    assert gate.state().cause_kind is NewsKind.UNAVAILABLE
    assert not gate.state().half_open, "one failure is no outage"


def test_a_429_without_a_length_pauses_some_seconds_and_never_none(gate: Gate) -> None:
    for _ in range(10):
        assert 3 < pause_after(gate, throttled(None)) < 7
        over(gate)


@pytest.mark.parametrize("later", [CLOSED, DOWN, WELL, throttled(1)], ids=lambda news: news.kind.value)
def test_nothing_shortens_a_pause_that_the_crm_asked_for(gate: Gate, later: News) -> None:
    assert pause_after(gate, throttled(1000), *[later] * FAILURES_BEFORE_PAUSE) > 990


def test_a_429_after_a_refused_key_leaves_the_reason_that_a_person_must_read(gate: Gate) -> None:
    pause_after(gate, CLOSED, throttled(100))
    state = gate.state()
    assert (state.cause_kind, state.cause) == (NewsKind.CLOSED, "BREVO_API_KEY is refused")
    assert state.paused_seconds > 90


def test_a_refused_key_is_the_reason_even_after_a_429_or_an_outage(gate: Gate) -> None:
    for before in ([throttled(100)], [DOWN] * FAILURES_BEFORE_PAUSE):
        pause_after(gate, *before, CLOSED)
        assert gate.state().cause_kind is NewsKind.CLOSED
        gate.tell_check(CheckResult(WELL), gate.state())


def test_a_good_answer_lifts_no_pause_and_forgets_one_that_is_over(gate: Gate, other: Gate) -> None:
    gate.tell(CLOSED)
    assert pause_after(other, WELL) > 0
    over(gate)
    other.tell(WELL)
    state = gate.state()
    assert (state.paused, state.cause, state.cause_kind) == (False, None, None)


def test_a_passed_check_opens_a_closed_gate_but_keeps_the_pause_that_the_crm_asked_for(gate: Gate) -> None:
    gate.tell(CLOSED)
    gate.tell_check(CheckResult(WELL), gate.state())
    assert not gate.state().paused
    gate.tell(throttled(100))
    gate.tell_check(CheckResult(WELL), gate.state())
    state = gate.state()
    assert (state.paused, state.cause) == (True, "quota used up")


def test_a_passed_check_keeps_the_rest_of_the_pause_that_the_crm_asked_for_before_it_closed(
    gate: Gate, database: Database
) -> None:
    pause_after(gate, throttled(600), CLOSED)  # the answer to a request that was in flight
    gate.tell_check(CheckResult(WELL), gate.state())
    state = gate.state()
    assert (state.cause_kind, state.cause) == (NewsKind.THROTTLED, "the CRM asked for a pause")
    assert 590 < state.paused_seconds <= 600
    assert not state.needs_check
    assert not Gate(database, "brevo", identity="key-2", rate_per_second=100).begin().paused, "another account's"


def test_a_passed_check_after_an_outage_lets_one_contact_through_alone(gate: Gate) -> None:
    pause_after(gate, *[DOWN] * FAILURES_BEFORE_PAUSE)
    gate.tell_check(CheckResult(WELL), gate.state())
    state = gate.state()
    assert (state.paused, state.half_open) == (False, True)


def test_a_failed_check_is_told_like_any_other_answer(gate: Gate) -> None:
    gate.tell_check(CheckResult(CLOSED), gate.state())
    assert gate.state().cause == "BREVO_API_KEY is refused"


def test_pauses_begin_small_again_once_contacts_have_come_through(gate: Gate) -> None:
    for _ in range(4):
        gate.tell(CLOSED)
        over(gate)
    gate.tell_check(CheckResult(WELL), gate.state())
    pacer = Pacer(gate, 1, threading.Event())
    assert pacer.wait(time.monotonic() + 5) is None
    pacer.tell(WELL)
    assert 20 < pause_after(gate, CLOSED) < 40


def test_pauses_go_on_growing_while_no_contact_comes_through(gate: Gate) -> None:
    for _ in range(4):
        gate.tell(CLOSED)
        over(gate)
        gate.tell_check(CheckResult(WELL), gate.state())
    assert pause_after(gate, CLOSED) > 300, "the check passes, and yet each contact closes the gate again"


@pytest.mark.parametrize(
    ("news", "kind"),
    [(CLOSED, NewsKind.CLOSED), (throttled(100), NewsKind.THROTTLED), (DOWN, None)],
    ids=["closed", "throttled", "down"],
)
def test_news_is_not_lost_with_the_gates_row(gate: Gate, news: News, kind: NewsKind | None) -> None:
    sql(gate.database, "DELETE FROM crm_gate WHERE crm = 'brevo'")
    told = gate.tell(news)
    state = gate.state()
    assert state.cause_kind is kind
    assert state.paused is (kind is not None)
    assert told == state.failures_in_a_row == (1 if news is DOWN else 0)


def test_a_row_that_is_made_anew_has_the_configured_rate_and_its_first_slot_a_second_away(gate: Gate) -> None:
    sql(gate.database, "DELETE FROM crm_gate WHERE crm = 'brevo'")
    delays = gate.reserve(3).delays
    assert 0.8 < delays[0] <= 1
    assert delays[2] - delays[0] == pytest.approx(2 / 100)


def test_the_last_start_decides_the_rate_for_all(gate: Gate, database: Database) -> None:
    Gate(database, "brevo", identity="key-1", rate_per_second=10).begin()
    delays = gate.reserve(3).delays
    assert delays[2] - delays[0] == pytest.approx(2 / 10), "the pace stands in the row"


def test_a_changed_address_or_key_opens_every_kind_of_pause_and_asks_for_a_check(
    gate: Gate, database: Database
) -> None:
    for news in (CLOSED, throttled(1000), *[DOWN] * FAILURES_BEFORE_PAUSE):
        gate.tell(news)
    changed = Gate(database, "brevo", identity="key-2", rate_per_second=100)
    state = changed.begin()
    assert (state.paused, state.cause, state.half_open, state.needs_check) == (False, None, False, True)


def test_a_check_is_needed_at_first_after_an_hour_and_after_each_closing_or_outage(gate: Gate) -> None:
    assert gate.state().needs_check
    gate.tell_check(CheckResult(WELL), gate.state())
    assert not gate.state().needs_check
    sql(gate.database, "UPDATE crm_gate SET checked_at = now() - interval '61 minutes'")
    assert gate.state().needs_check
    for news in ([CLOSED], [DOWN] * FAILURES_BEFORE_PAUSE):
        gate.tell_check(CheckResult(WELL), gate.state())
        assert not gate.state().needs_check
        pause_after(gate, *news)
        assert gate.state().needs_check


def test_gates_of_two_crms_know_nothing_of_each_other(gate: Gate, database: Database) -> None:
    hubspot = Gate(database, "hubspot", identity="key-1", rate_per_second=5)
    hubspot.begin()
    gate.tell(CLOSED)
    assert not hubspot.state().paused
    assert hubspot.reserve(1).delays


def test_a_pause_says_how_long_it_lasts_and_why(gate: Gate) -> None:
    gate.tell(throttled(30))
    assert re.fullmatch(r"paused for (2\d|30) s more: quota used up", gate.state().sentence())
