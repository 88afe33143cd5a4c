"""The rate as it is now: slower after each pause that the CRM asks for, below its limit, faster after clean minutes."""

from __future__ import annotations

import threading
from itertools import pairwise

import pytest

from crm_pipeline.gate.gate import Gate
from crm_pipeline.gate.pacer import LEASE_TOO_SHORT, Pacer
from crm_pipeline.model import WELL, CheckResult, News, NewsKind
from crm_pipeline_tests.gate.virtual import VirtualTime
from crm_pipeline_tests.support.contacts import sql

RATE = 100.0


def gate_of(clock: VirtualTime, rate: float = RATE, identity: str = "key-1") -> Gate:
    gate = Gate(clock.database, "brevo", identity, rate)
    gate.begin()
    return gate


def throttled(seconds: float | None = 1.0) -> News:
    return News(NewsKind.THROTTLED, "quota used up", seconds)


def limited(per_second: float) -> News:
    return News(NewsKind.WELL, limit_per_second=per_second)


def rate(gate: Gate) -> float:
    """The rate now, by the distance of two slots."""
    first, second = gate.reserve(2).delays
    return 1 / (second - first)


def rate_after_pauses(clock: VirtualTime, gate: Gate, pauses: int, seconds: float = 1.0) -> float:
    for _ in range(pauses):
        gate.tell(throttled(seconds))
        clock.wait(seconds)
    return rate(gate)


def test_a_pause_makes_the_pace_three_percent_slower_once_however_many_threads_met_it(clock: VirtualTime) -> None:
    gate, other = gate_of(clock), gate_of(clock)
    for one in (gate, other, gate, gate, other):
        one.tell(throttled())
        clock.wait(0.1)
    clock.wait(1)
    assert rate(other) == pytest.approx(0.97 * RATE)


@pytest.mark.parametrize("asked", [0.0, 0.001])
def test_threads_that_meet_the_shortest_pause_together_make_one_of_it(clock: VirtualTime, asked: float) -> None:
    gate = gate_of(clock)
    for _ in range(3):
        gate.tell(throttled(asked))
        clock.wait(0.05)
    assert gate.state().paused
    clock.wait(0.25)
    assert rate(gate) == pytest.approx(0.97 * RATE)


def test_from_the_third_pause_without_a_clean_minute_each_takes_fifteen_percent(clock: VirtualTime) -> None:
    gate = gate_of(clock)
    assert rate_after_pauses(clock, gate, 2) == pytest.approx(0.97**2 * RATE)
    clock.wait(59)
    assert rate_after_pauses(clock, gate, 1) == pytest.approx(0.97**2 * 0.85 * RATE)
    assert rate_after_pauses(clock, gate, 2) == pytest.approx(0.97**2 * 0.85**3 * RATE)


def test_a_clean_minute_gives_a_hundredth_back_and_the_next_pause_is_a_first_one(clock: VirtualTime) -> None:
    gate = gate_of(clock)
    slower = rate_after_pauses(clock, gate, 3) / RATE
    clock.wait(59.9)
    assert rate(gate) == pytest.approx(slower * RATE)
    clock.wait(0.2)
    assert rate(gate) == pytest.approx((slower + 0.01) * RATE)
    clock.wait(59.7)
    assert rate(gate) == pytest.approx((slower + 0.01) * RATE), "a minute counts once"
    assert rate_after_pauses(clock, gate, 1) == pytest.approx((slower + 0.01) * 0.97 * RATE)


def test_minutes_without_a_run_count_together_and_never_beyond_the_configured_rate(clock: VirtualTime) -> None:
    gate = gate_of(clock)
    slower = rate_after_pauses(clock, gate, 4) / RATE
    clock.wait(5 * 60)
    assert rate(gate) == pytest.approx((slower + 0.05) * RATE)
    clock.wait(86_400)
    assert rate(gate) == pytest.approx(RATE)


def test_the_minutes_of_a_pause_are_not_clean(clock: VirtualTime) -> None:
    assert rate_after_pauses(clock, gate_of(clock), 1, seconds=1800) == pytest.approx(0.97 * RATE)


def test_the_rate_stays_four_percent_below_the_limit_that_the_crm_names(clock: VirtualTime) -> None:
    gate = gate_of(clock)
    gate.tell(limited(50))
    assert rate(gate) == pytest.approx(48)
    gate.tell(limited(200))
    assert rate(gate) == pytest.approx(RATE)


def test_a_pause_met_at_the_limit_makes_slower_than_that(clock: VirtualTime) -> None:
    gate = gate_of(clock)
    gate.tell(limited(50))
    assert rate_after_pauses(clock, gate, 1) == pytest.approx(48 * 0.97)


@pytest.mark.parametrize(("configured", "slowest"), [(100.0, 0.5), (1.0, 0.5), (0.2, 0.2)])
def test_nothing_makes_the_pace_slower_than_half_a_request_a_second(
    clock: VirtualTime, configured: float, slowest: float
) -> None:
    gate = gate_of(clock, configured)
    gate.tell(limited(0.01))
    assert rate(gate) == pytest.approx(slowest)
    clock.wait(30)
    assert rate_after_pauses(clock, gate, 100) == pytest.approx(slowest)
    gate.tell(limited(1000))
    clock.wait(3600)
    expected = min(configured, slowest + 0.6 * configured)
    assert rate(gate) == pytest.approx(expected, rel=0.03), "it has not sunk below, from where it would take hours"


def test_the_pace_outlives_a_run_and_another_key_begins_anew(clock: VirtualTime) -> None:
    gate = gate_of(clock)
    gate.tell(limited(50))
    slower = rate_after_pauses(clock, gate, 2)
    assert rate(gate_of(clock)) == pytest.approx(slower)
    assert rate(gate_of(clock, identity="key-2")) == pytest.approx(RATE)
    assert rate_after_pauses(clock, gate, 1) == pytest.approx(0.97 * RATE), "the former account's pauses do not count"


def test_a_limit_is_written_when_it_is_news_and_costs_no_statement_else(clock: VirtualTime) -> None:
    gate = gate_of(clock)
    pacer = Pacer(gate, 10, threading.Event(), clock)
    pacer.tell(limited(50))
    assert rate(gate) == pytest.approx(48)
    sql(clock.database, "UPDATE crm_gate SET limit_per_second = 25")
    pacer.tell(limited(50))
    assert rate(gate) == pytest.approx(24), "as far as anybody here knew, the row had it already"
    pacer.tell(limited(50))
    assert rate(gate) == pytest.approx(48)
    pacer.tell(WELL)
    pacer.tell(limited(0))
    assert rate(gate) == pytest.approx(48), "no header, or none that can be meant, changes nothing"


def test_bad_news_and_a_check_carry_the_limit_too(clock: VirtualTime) -> None:
    gate = gate_of(clock)
    gate.tell_check(CheckResult(limited(50)), gate.state())
    assert rate(gate) == pytest.approx(48)
    gate.tell(News(NewsKind.UNAVAILABLE, "Brevo answers 500", limit_per_second=25))
    assert rate(gate) == pytest.approx(24)


def test_the_first_slot_after_a_pause_is_at_its_end_whatever_was_reserved_before(clock: VirtualTime) -> None:
    gate = gate_of(clock)
    gate.reserve(1000)
    gate.tell(throttled(2))
    assert gate.reserve(1).delays == ()
    clock.wait(2)
    assert gate.reserve(1).delays == pytest.approx((0,))


def test_a_slot_reserved_before_a_pause_is_void_though_the_pause_is_over(clock: VirtualTime) -> None:
    gate = gate_of(clock, 0.5)
    pacer = Pacer(gate_of(clock, 0.5), 10, clock, clock)
    began = clock.now
    went_on: list[float] = []

    def sender() -> None:
        for _ in range(2):  # the second slot is two seconds later
            assert pacer.wait(clock.now + 60) is None
            went_on.append(clock.now - began)

    def others() -> None:
        clock.wait(0.2)
        gate.tell(throttled(1))
        clock.wait(1)
        gate.reserve(1)

    clock.run(sender, others)
    assert went_on == pytest.approx([0, 3.2]), "the slot at the pause's end, 1.2, is the others'; then 2 s"


def test_many_threads_at_a_low_rate_never_get_one_slot_twice(clock: VirtualTime) -> None:
    """Together they take longer than the minute beyond which a slot counts as a step of the clock."""
    gate = gate_of(clock, 0.25)
    pacers = [Pacer(gate, 20, clock, clock) for _ in range(2)]
    sent: list[float] = []

    def work(pacer: Pacer) -> None:
        assert pacer.wait(clock.now + 600) is None
        sent.append(clock.now)

    clock.run(*[lambda pacer=pacer: work(pacer) for pacer in pacers * 10])  # type: ignore[misc]
    assert len(sent) == 20
    sent.sort()
    assert min(after - before for before, after in pairwise(sent)) == pytest.approx(4, abs=0.01)
    assert sent[-1] - sent[0] == pytest.approx(19 * 4, abs=1), "and none is lost"


def test_a_queue_of_slots_that_outlasts_the_lease_is_not_waited_for(clock: VirtualTime) -> None:
    gate = gate_of(clock, 0.5)
    while gate.reserve(1).delays:
        pass
    assert 30 < gate.reserve(1).next_seconds < 33
    began = clock.now
    assert Pacer(gate, 1, clock, clock).wait(began + 20) == LEASE_TOO_SHORT
    assert clock.now == began


@pytest.mark.parametrize(
    ("limit", "pauses", "caught_up"),
    [(100.0, 0, 1), (10.0, 0, 1), (9.9, 0, 0), (None, 0, 0), (100.0, 1, 0)],
    ids=["far below the limit", "below it", "close to it", "no limit known", "after a pause"],
)
def test_one_slot_that_came_too_late_is_caught_up_with_well_below_the_limit_alone(
    clock: VirtualTime, limit: float | None, pauses: int, caught_up: int
) -> None:
    gate = gate_of(clock, 8)
    gate.tell_limit(limit)
    rate_after_pauses(clock, gate, pauses)
    clock.wait(10)
    delays = gate.reserve(4).delays
    assert sum(delay <= 0.001 for delay in delays) == 1 + caught_up
    assert gate.reserve(1).delays[0] > delays[-1], "and only once"


@pytest.mark.parametrize("step", [-86_400.0, -45.0, 86_400.0], ids=["a day back", "45 s back", "a day ahead"])
def test_a_step_of_the_databases_clock_stops_nothing_for_longer_than_a_minute_and_makes_no_burst(
    clock: VirtualTime, step: float
) -> None:
    gate = gate_of(clock, 8)
    pacer = Pacer(gate, 100, clock, clock)
    rate_after_pauses(clock, gate, 1)
    gate.tell(WELL)
    assert pacer.wait(clock.now + 60) is None
    clock.database_steps = step
    sent = []
    for _ in range(20):
        assert pacer.wait(clock.now + 120) is None
        sent.append(clock.now)
    assert sent[-1] - sent[2] >= 17 / 8 - 0.01, "two slots were in hand"
    clock.wait(3700)
    assert gate.reserve(1).rate_per_second > 7.76, "clean minutes are counted again within the hour"
    clock.wait(3600)
    gate.reserve(1)
    clock.wait(60)
    assert gate.reserve(1).rate_per_second == pytest.approx(8)


def test_slots_that_are_in_hand_when_the_databases_clock_steps_back_are_not_given_to_others_too(
    clock: VirtualTime,
) -> None:
    gate = gate_of(clock, 8)
    last = gate.reserve(16).delays[-1]
    clock.database_steps = -86_400
    assert last < gate.reserve(1).delays[0] <= 60


def test_at_a_slow_pace_no_more_slots_are_reserved_at_once_than_at_a_slow_rate(clock: VirtualTime) -> None:
    gate = gate_of(clock)
    gate.tell(limited(0.01))
    pacer = Pacer(gate, 100, clock, clock)
    for _ in range(6):  # the first reservation is made before the pace is known
        assert pacer.wait(clock.now + 60) is None
    assert gate.reserve(1).delays == pytest.approx((2,))
