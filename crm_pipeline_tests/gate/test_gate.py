"""The shared pace and pause, on a real PostgreSQL."""

from __future__ import annotations

import threading
import time
from datetime import timedelta
from itertools import pairwise

import pytest
from sqlalchemy import text

from crm_pipeline.database.engine import Database
from crm_pipeline.gate.gate import FAILURES_BEFORE_PAUSE, Gate
from crm_pipeline.gate.pacer import Pacer
from crm_pipeline.model import WELL, CheckResult, News, NewsKind
from crm_pipeline_tests.contacts.races import holding, until_waiting
from crm_pipeline_tests.gate.virtual import VirtualTime
from crm_pipeline_tests.support.contacts import sql

DOWN = News(NewsKind.UNAVAILABLE, "Brevo answers 500")
CLOSED = News(NewsKind.CLOSED, "BREVO_API_KEY is refused")


@pytest.fixture
def gate(database: Database) -> Gate:
    gate = Gate(database, "brevo", identity="key-1", rate_per_second=100)
    gate.begin()
    return gate


def test_slots_are_spaced_by_the_rate_over_all_processes(clock: VirtualTime) -> None:
    one, other = (Gate(clock.database, "brevo", identity="key-1", rate_per_second=100) for _ in range(2))
    one.begin()
    slots = sorted(delay for gate in (one, other, one) for delay in gate.reserve(5).delays)
    assert slots == pytest.approx([number / 100 for number in range(15)])


def test_processes_that_wait_for_the_row_together_get_different_slots(gate: Gate, database: Database) -> None:
    def reserve() -> None:
        Gate(database, "brevo", identity="key-1", rate_per_second=100).reserve(5)

    with holding(database, "SELECT FROM crm_gate WHERE crm = 'brevo' FOR UPDATE") as holder:
        (before,) = holder.execute(text("SELECT next_slot_at FROM crm_gate WHERE crm = 'brevo'"))
        threads = [threading.Thread(target=reserve) for _ in range(3)]
        for thread in threads:
            thread.start()
        until_waiting(database, 3)
    for thread in threads:
        thread.join()
    (after,) = sql(database, "SELECT next_slot_at FROM crm_gate WHERE crm = 'brevo'")
    assert after.next_slot_at - before.next_slot_at >= timedelta(seconds=0.149)


def test_a_clock_that_stepped_back_leaves_no_pause_longer_than_an_hour(gate: Gate, database: Database) -> None:
    gate.tell(News(NewsKind.THROTTLED, "slow down", 30))
    sql(database, "UPDATE crm_gate SET paused_until = now() + interval '3 days' WHERE crm = 'brevo'")
    assert gate.reserve(1).paused_seconds <= 3600
    (row,) = sql(database, "SELECT paused_until - now() AS left FROM crm_gate WHERE crm = 'brevo'")
    assert row.left <= timedelta(hours=1)


def test_no_window_of_a_second_holds_more_requests_than_the_rate(clock: VirtualTime) -> None:
    gate = Gate(clock.database, "brevo", identity="key-1", rate_per_second=40)
    gate.begin()
    pacer = Pacer(gate, 60, clock, clock)
    sent: list[float] = []

    def work() -> None:
        for _ in range(6):
            assert pacer.wait(clock.now + 30) is None
            sent.append(clock.now)

    clock.run(*[work] * 10)
    sent.sort()
    assert len(sent) == 60
    assert max(sum(1 for other in sent if 0 <= other - one < 0.999) for one in sent) == 40


def test_a_lost_gate_row_never_means_no_limit(gate: Gate, database: Database) -> None:
    sql(database, "DELETE FROM crm_gate WHERE crm = 'brevo'")
    reservation = gate.reserve(2)
    assert reservation.delays[0] > 0.5
    assert gate.state().rate_per_second == 100


def test_a_429_pauses_every_process_for_as_long_as_the_crm_asked(gate: Gate, database: Database) -> None:
    gate.tell(News(NewsKind.THROTTLED, "quota used up", 7))
    other = Gate(database, "brevo", identity="key-1", rate_per_second=100)
    assert other.reserve(1).delays == ()
    assert 6 < other.state().paused_seconds <= 7
    gate.tell(News(NewsKind.THROTTLED, "quota used up", 2))
    assert other.state().paused_seconds > 5, "a shorter pause does not cut a longer one"


def test_no_pause_lasts_longer_than_an_hour(gate: Gate) -> None:
    gate.tell(News(NewsKind.THROTTLED, "quota used up", 10_000_000))
    assert gate.state().paused_seconds <= 3600


def test_a_pause_is_waited_out_and_then_sending_goes_on(clock: VirtualTime) -> None:
    gate = Gate(clock.database, "brevo", identity="key-1", rate_per_second=100)
    gate.begin()
    gate.tell(News(NewsKind.THROTTLED, "quota used up", 0.6))
    began, paced = clock.now, []

    def work() -> None:
        paced.append((Pacer(gate, 1, clock, clock).wait(began + 30), clock.now - began))

    clock.run(work)
    assert paced == [(None, pytest.approx(0.6, abs=0.01))]


def test_a_long_pause_ends_the_batch(gate: Gate) -> None:
    gate.tell(News(NewsKind.THROTTLED, "quota used up", 120))
    assert Pacer(gate, 1, threading.Event()).wait(time.monotonic() + 300) == "quota used up"


def test_ten_failures_in_a_row_pause_and_nine_do_not(gate: Gate) -> None:
    for _ in range(FAILURES_BEFORE_PAUSE - 1):
        gate.tell(DOWN)
    assert not gate.state().paused
    gate.tell(DOWN)
    state = gate.state()
    assert state.paused
    assert state.cause == "Brevo answers 500"
    assert 20 < state.paused_seconds < 40
    assert state.half_open


def test_a_good_answer_ends_a_row_of_failures(gate: Gate) -> None:
    for _ in range(FAILURES_BEFORE_PAUSE - 1):
        gate.tell(DOWN)
    pacer = Pacer(gate, 1, threading.Event())
    assert pacer.wait(time.monotonic() + 5) is None
    pacer.tell(WELL)
    gate.tell(DOWN)
    assert not gate.state().paused


def test_each_pause_for_cause_is_twice_as_long_and_none_over_15_minutes(gate: Gate, database: Database) -> None:
    lengths = []
    for _ in range(8):
        gate.tell(CLOSED)
        gate.tell(CLOSED)  # another thread, at the same moment
        lengths.append(gate.state().paused_seconds)
        sql(database, "UPDATE crm_gate SET paused_until = now()")
    assert 20 < lengths[0] < 40
    assert all(1.1 < after / before < 3.5 for before, after in pairwise(lengths[:4]))
    assert lengths[-1] == pytest.approx(900, abs=1)


def test_a_closed_gate_keeps_its_cause_until_a_check_passes(gate: Gate, database: Database) -> None:
    gate.tell(CLOSED)
    sql(database, "UPDATE crm_gate SET paused_until = now()")
    state = gate.begin()
    assert (state.paused, state.needs_check, state.cause) == (False, True, "BREVO_API_KEY is refused")
    gate.tell_check(CheckResult(WELL), gate.state())
    state = gate.state()
    assert (state.cause, state.needs_check) == (None, False)


def test_a_changed_key_opens_a_closed_gate_at_once(gate: Gate, database: Database) -> None:
    gate.tell(CLOSED)
    other = Gate(database, "brevo", identity="key-2", rate_per_second=100)
    assert not other.state().paused
    assert not other.begin().paused
    assert other.begin().needs_check


def test_a_clock_that_steps_back_holds_nothing_for_longer_than_a_minute(gate: Gate, database: Database) -> None:
    sql(database, "UPDATE crm_gate SET next_slot_at = now() + interval '1 day'")
    assert gate.reserve(1).delays[0] <= 60
    sql(database, "UPDATE crm_gate SET paused_until = now() + interval '1 day', cause = 'x', cause_kind = 'throttled'")
    assert gate.reserve(1).paused_seconds <= 3600
