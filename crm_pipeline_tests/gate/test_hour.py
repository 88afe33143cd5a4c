"""The quota of an hour: a second window beside the rate, over all processes."""

from __future__ import annotations

import pytest

from crm_pipeline.gate.gate import Gate
from crm_pipeline.gate.pacer import Pacer
from crm_pipeline.model import WELL, CheckResult, News, NewsKind
from crm_pipeline_tests.gate.virtual import VirtualTime
from crm_pipeline_tests.support.contacts import sql

USED_UP = "the hourly quota of 10 requests is used up (BREVO_SYNC_REQUESTS_PER_HOUR)"


def gate_of(clock: VirtualTime, quota: int | None = 10, identity: str = "key-1") -> Gate:
    gate = Gate(clock.database, "brevo", identity, 100, quota)
    gate.begin()
    return gate


def granted(*gates: Gate) -> int:
    return sum(len(gate.reserve(4).delays) for gate in gates)


def test_an_hour_has_no_more_slots_than_its_quota_over_all_processes(clock: VirtualTime) -> None:
    gate, other = gate_of(clock), gate_of(clock)
    assert granted(gate, other, gate, other) == 10, "the last of them in part"


def test_when_the_quota_is_used_up_nothing_is_sent_until_the_hour_ends(clock: VirtualTime) -> None:
    gate = gate_of(clock)
    clock.wait(5000)
    granted(gate)
    clock.wait(600)
    granted(*[gate] * 3)
    state = gate.state()
    assert (state.cause_kind, state.cause) == (NewsKind.THROTTLED, USED_UP)
    assert state.paused_seconds == pytest.approx(3000), "the hour began with its first slot"
    clock.wait(2999)
    assert granted(gate) == 0
    clock.wait(1.1)
    assert granted(*[gate] * 4) == 10, "a new hour"


def test_an_hour_that_was_not_used_up_gives_the_next_one_nothing(clock: VirtualTime) -> None:
    gate = gate_of(clock)
    assert granted(gate) == 4
    clock.wait(3601)
    assert granted(*[gate] * 4) == 10


def test_a_batch_ends_for_the_quotas_sake_and_says_so_and_the_pace_stays_as_it_was(clock: VirtualTime) -> None:
    pacer = Pacer(gate_of(clock), 100, clock, clock)
    reasons = [pacer.wait(clock.now + 120) for _ in range(11)]
    assert reasons == [None] * 10 + [USED_UP]
    clock.wait(3601)
    assert gate_of(clock).reserve(1).rate_per_second == 100


def test_the_last_minute_of_a_used_up_hour_is_waited_out(clock: VirtualTime) -> None:
    gate = gate_of(clock)
    granted(gate)
    clock.wait(3590)
    granted(*[gate] * 3)
    began = clock.now
    assert Pacer(gate, 1, clock, clock).wait(began + 120) is None
    assert clock.now - began == pytest.approx(10, abs=1)


def test_the_quota_says_nothing_over_the_reason_that_a_person_must_read(clock: VirtualTime) -> None:
    gate = gate_of(clock)
    gate.tell(News(NewsKind.CLOSED, "BREVO_API_KEY is refused"))
    clock.wait(60)
    granted(*[gate] * 4)
    state = gate.state()
    assert (state.paused, state.cause_kind, state.cause) == (True, NewsKind.CLOSED, "BREVO_API_KEY is refused")


def test_a_passed_check_and_a_good_answer_give_no_more_than_the_quota(clock: VirtualTime) -> None:
    gate = gate_of(clock)
    granted(*[gate] * 4)
    gate.tell_check(CheckResult(WELL), gate.state())
    gate.tell(WELL)
    assert granted(gate) == 0


def test_a_run_that_starts_with_a_larger_quota_goes_on_at_once(clock: VirtualTime) -> None:
    gate = gate_of(clock)
    granted(*[gate] * 4)
    assert gate_of(clock).state().paused, "the same quota"
    larger = gate_of(clock, 13)
    assert not larger.state().paused
    assert granted(*[larger] * 4) == 3, "what it has more"
    assert granted(gate_of(clock, None)) == 4, "none at all"


def test_a_run_that_starts_with_a_larger_quota_ends_no_pause_that_the_crm_asked_for(clock: VirtualTime) -> None:
    gate = gate_of(clock)
    granted(gate)
    gate.tell(News(NewsKind.THROTTLED, "quota used up", 100))
    assert gate_of(clock, 1000).state().paused


def test_another_key_is_another_accounts_hour(clock: VirtualTime) -> None:
    granted(*[gate_of(clock)] * 4)
    assert granted(gate_of(clock, identity="key-2")) == 4
    assert granted(*[gate_of(clock)] * 4) == 10


def test_a_new_row_after_a_loss_keeps_to_the_quota(clock: VirtualTime) -> None:
    gate = gate_of(clock)
    sql(clock.database, "DELETE FROM crm_gate WHERE crm = 'brevo'")
    assert granted(*[gate] * 4) == 10


@pytest.mark.parametrize(("step", "left"), [(-7200.0, 0), (7200.0, 4)], ids=["back", "ahead"])
def test_a_step_of_the_databases_clock_makes_no_hour_longer_than_an_hour(
    clock: VirtualTime, step: float, left: int
) -> None:
    gate = gate_of(clock)
    granted(*[gate] * 4)
    clock.database_steps = step
    assert granted(gate) == left
    assert gate.state().paused_seconds <= 3600
    clock.wait(3601)
    assert granted(*[gate] * 4) == 10
