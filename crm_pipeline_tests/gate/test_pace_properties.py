"""Whatever is told and asked in whatever order: the pace stays within its bounds, and no slot is given twice."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crm_pipeline.gate.gate import Gate
from crm_pipeline.model import News, NewsKind
from crm_pipeline_tests.gate.virtual import VirtualTime
from crm_pipeline_tests.support.contacts import sql

HOUR = 3600.0
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("wait"), st.sampled_from([0.05, 1.0, 61.0, 600.0, 3601.0])),
        st.tuples(st.just("reserve"), st.integers(1, 40)),
        st.tuples(st.just("throttled"), st.sampled_from([0.0, 1.0, 30.0, 7200.0])),
        st.tuples(st.just("limit"), st.sampled_from([0.3, 5.0, 10.0, 500.0])),
        st.tuples(st.just("begin"), st.none()),
    ),
    min_size=5,
    max_size=30,
)


@dataclass
class Watched:
    """A gate, and what is known of it from outside."""

    clock: VirtualTime
    gate: Gate
    limit: float | None = None
    paused_until: float = 0.0
    next_slot_at: float = 0.0
    """After all slots that no pause has made void."""
    rate: float | None = None
    given: list[float] = field(default_factory=list)
    """When each slot was reserved."""

    def take(self, step: str, value: float) -> None:
        if step == "wait":
            self.clock.wait(value)
        elif step == "throttled":
            self._throttled(value)
        elif step == "limit":
            self.limit, self.rate = value, None
            self.gate.tell_limit(value)
        elif step == "begin":
            self.gate.begin()
        else:
            self._reserve(int(value))

    def _throttled(self, seconds: float) -> None:
        now = self.clock.now
        if now >= self.paused_until:
            self.next_slot_at, self.rate = 0.0, None
        self.paused_until = max(self.paused_until, now + min(max(seconds, 0.25), HOUR))
        self.gate.tell(News(NewsKind.THROTTLED, "slow down", seconds))

    def _reserve(self, n: int) -> None:
        now = self.clock.now
        configured = self.gate.rate_per_second
        reservation = self.gate.reserve(n)
        most = configured if self.limit is None else min(configured, 0.96 * self.limit)
        slowest = min(0.5, configured)
        assert slowest - 1e-9 <= reservation.rate_per_second <= max(most, slowest) + 1e-9
        if self.rate is not None:
            assert reservation.rate_per_second >= self.rate - 1e-9, "only a pause or a limit makes slower"
        self.rate = reservation.rate_per_second
        assert len(reservation.delays) <= n
        if now < self.paused_until - 0.001:
            assert reservation.delays == ()
        for delay in reservation.delays:
            slot = now + delay
            assert slot >= self.paused_until - 0.001
            assert -0.251 <= delay <= 45, "one late slot may be caught up with; none is far away"
            assert slot >= self.next_slot_at - 0.001, "not before the slots that others have, a whole interval later"
            self.next_slot_at = slot + 1 / reservation.rate_per_second
            self.given.append(now)
        assert self.gate.requests_per_hour is not None
        in_an_hour = sum(at > now - HOUR for at in self.given)
        assert in_an_hour <= 2 * self.gate.requests_per_hour, "two hours touch in it, each with its quota"


@pytest.mark.parametrize("quota", [100, 36_000])
def test_the_pace_keeps_its_bounds_and_no_slot_is_given_twice(clock: VirtualTime, quota: int) -> None:
    @settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(rate=st.sampled_from([0.2, 8.0, 100.0]), steps=STEPS)
    def check(rate: float, steps: list[tuple[str, float]]) -> None:
        clock.wait(10_000)
        sql(clock.database, "DELETE FROM crm_gate WHERE crm = 'brevo'")
        gate = Gate(clock.database, "brevo", "key-1", rate, quota)
        gate.begin()
        watched = Watched(clock, gate)
        for step, value in steps:
            watched.take(step, value)

    check()
