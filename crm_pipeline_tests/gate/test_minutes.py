"""What the pace comes to over minutes, at an account with a strict window of a second that other tools use too."""

from __future__ import annotations

import random
from dataclasses import dataclass

import pytest

from crm_pipeline.gate.gate import Gate
from crm_pipeline.gate.pacer import Pacer
from crm_pipeline.model import CheckResult, News, NewsKind
from crm_pipeline.sandbox.quota import Limits, Quota
from crm_pipeline_tests.gate.virtual import VirtualTime

LIMIT = 10
THREADS = 16
LATENCY_SECONDS = 0.05
JITTER_SECONDS = 0.012
BATCH = 50
BETWEEN_BATCHES_SECONDS = 0.1


@dataclass
class Minutes:
    """Processes with 16 threads each that push batch after batch for so long."""

    clock: VirtualTime
    rate: float
    processes: int
    seconds: float
    others: float = 0.0
    answered: int = 0
    refused: int = 0

    def __post_init__(self) -> None:
        self._quota = Quota(Limits(per_second=LIMIT), self.clock)
        self._quota.enforce()
        self._quota.use_by_others(self.others)
        self._end = self.clock.now + self.seconds
        self._chance = random.Random(1)
        gate = Gate(self.clock.database, "brevo", "key-1", self.rate)
        gate.begin()
        gate.tell_check(CheckResult(News(NewsKind.WELL, limit_per_second=LIMIT)), gate.state())
        self.clock.run(*[self._process] * self.processes)

    @property
    def per_second(self) -> float:
        return self.answered / self.seconds

    def _process(self) -> None:
        gate = Gate(self.clock.database, "brevo", "key-1", self.rate)
        while self.clock.now < self._end:
            pacer = Pacer(gate, BATCH, self.clock, self.clock)
            left = [None] * BATCH
            self.clock.alongside(*[lambda pacer=pacer, left=left: self._thread(pacer, left)] * THREADS)  # type: ignore[misc]
            self.clock.wait(BETWEEN_BATCHES_SECONDS)

    def _thread(self, pacer: Pacer, left: list[None]) -> None:
        while left:
            left.pop()
            while not self._sent(pacer):
                pass

    def _sent(self, pacer: Pacer) -> bool:
        assert pacer.wait(self.clock.now + 600) is None
        self.clock.wait(LATENCY_SECONDS / 2 + self._chance.uniform(0, JITTER_SECONDS))
        standing = self._quota.take(elsewhere=False)
        in_time = self.clock.now <= self._end
        self.clock.wait(LATENCY_SECONDS / 2)
        assert standing is not None
        self.refused += standing.refused and in_time
        self.answered += not standing.refused and in_time
        kind = NewsKind.THROTTLED if standing.refused else NewsKind.WELL
        pacer.tell(News(kind, "slow down", 1.0 if standing.refused else None, limit_per_second=LIMIT))
        return not standing.refused


@pytest.mark.parametrize(("rate", "processes"), [(8, 1), (8, 4), (10, 2)])
def test_when_another_tool_takes_half_of_the_account_nine_tenths_of_the_rest_are_used(
    clock: VirtualTime, rate: float, processes: int
) -> None:
    run = Minutes(clock, rate, processes, seconds=180, others=LIMIT / 2)
    assert run.per_second >= 0.9 * LIMIT / 2
    assert run.refused < 0.05 * run.answered


@pytest.mark.parametrize("processes", [1, 4])
def test_a_rate_configured_at_the_very_limit_is_hardly_ever_refused(clock: VirtualTime, processes: int) -> None:
    run = Minutes(clock, LIMIT, processes, seconds=120)
    assert run.per_second >= 9.2
    assert run.refused <= 0.01 * run.answered


@pytest.mark.parametrize("processes", [1, 2, 4])
def test_the_default_rate_is_used_up_and_never_refused(clock: VirtualTime, processes: int) -> None:
    run = Minutes(clock, 8, processes, seconds=60)
    assert run.per_second >= 0.98 * 8
    assert run.refused == 0
