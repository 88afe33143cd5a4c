"""The threads of one batch at the shared gate: each waits for its slot, and all of them keep a pause."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
from sqlalchemy import text

from crm_pipeline.database.engine import Database
from crm_pipeline.gate import pacer as module
from crm_pipeline.gate.gate import Gate
from crm_pipeline.gate.pacer import PAUSED, Pacer
from crm_pipeline.model import WELL, News, NewsKind
from crm_pipeline_tests.support.contacts import sql

DOWN = News(NewsKind.UNAVAILABLE, "Brevo answers 500")
CLOSED = News(NewsKind.CLOSED, "BREVO_API_KEY is refused")
STOPPED = "the run is being stopped"


def throttled(seconds: float) -> News:
    return News(NewsKind.THROTTLED, "quota used up", seconds)


def gate_of(database: Database, rate: float) -> Gate:
    gate = Gate(database, "brevo", identity="key-1", rate_per_second=rate)
    gate.begin()
    return gate


def soon() -> float:
    return time.monotonic() + 30


def in_hand(pacer: Pacer, threads: ThreadPoolExecutor) -> Future[tuple[str | None, float]]:
    """A thread that has taken a slot and waits for its time; resolves to (reason, when it went on)."""
    taken = threading.Event()
    take = pacer._take

    def work() -> tuple[str | None, float]:
        return pacer.wait(soon()), time.monotonic()

    def telling() -> object:
        slot = take()
        taken.set()
        return slot

    pacer._take = telling  # type: ignore[method-assign,assignment]
    future = threads.submit(work)
    assert taken.wait(5)
    pacer._take = take  # type: ignore[method-assign]
    return future


def test_a_slot_in_hand_is_given_up_when_another_thread_learns_of_a_pause(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHUNK_SECONDS", 10.0)  # so far away a slot may be without a look at the gate
    pacer = Pacer(gate_of(database, 2), 10, threading.Event())
    with ThreadPoolExecutor(1) as threads:
        assert pacer.wait(soon()) is None
        waiting = in_hand(pacer, threads)
        pacer.tell(throttled(0.8))
        told = time.monotonic()
        reason, went_on = waiting.result()
    assert reason is None
    assert went_on - told >= 0.75, "its slot was half a second away, and the pause longer"


def test_a_slot_that_is_far_away_is_given_up_when_another_process_learns_of_a_pause(database: Database) -> None:
    pacer = Pacer(gate_of(database, 2), 10, threading.Event())
    other = Gate(database, "brevo", identity="key-1", rate_per_second=2)
    with ThreadPoolExecutor(1) as threads:
        assert pacer.wait(soon()) is None
        waiting = in_hand(pacer, threads)
        other.tell(throttled(0.9))
        told = time.monotonic()
        _, went_on = waiting.result()
    assert went_on - told >= 0.85, "its slot was half a second away"


def test_a_closed_account_ends_the_batch_for_those_that_have_a_slot_in_hand(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHUNK_SECONDS", 10.0)
    pacer = Pacer(gate_of(database, 2), 10, threading.Event())
    with ThreadPoolExecutor(1) as threads:
        assert pacer.wait(soon()) is None
        waiting = in_hand(pacer, threads)
        pacer.tell(CLOSED)
        reason, _ = waiting.result()
    assert reason == "BREVO_API_KEY is refused"


def test_a_failure_that_pauses_nothing_costs_no_slot(database: Database) -> None:
    pacer = Pacer(gate_of(database, 2), 10, threading.Event())
    with ThreadPoolExecutor(1) as threads:
        assert pacer.wait(soon()) is None
        started = time.monotonic()
        waiting = in_hand(pacer, threads)
        pacer.tell(DOWN)
        _, went_on = waiting.result()
    assert went_on - started < 0.9, "its slot was half a second away, another would be a second"


@pytest.mark.parametrize(
    ("news", "reason"),
    [(CLOSED, "BREVO_API_KEY is refused"), (throttled(61), "quota used up"), (throttled(5), None)],
)
def test_a_pause_is_waited_out_only_when_it_is_short_and_asked_for(
    database: Database, news: News, reason: str | None
) -> None:
    gate = gate_of(database, 100)
    gate.tell(news)
    pacer = Pacer(gate, 1, threading.Event())
    assert pacer.wait(time.monotonic() + (300 if reason else 4)) == (reason or "the pause lasts longer than the lease")


@pytest.mark.parametrize(("seconds", "reason"), [(1, None), (5, PAUSED), (61, "quota used up")])
def test_whoever_holds_contacts_meanwhile_waits_for_the_end_of_short_pauses_only(
    database: Database, seconds: float, reason: str | None
) -> None:
    gate = gate_of(database, 100)
    gate.tell(throttled(seconds))
    assert Pacer(gate, 1, threading.Event(), longest_pause=2).wait(time.monotonic() + 300) == reason


def test_a_crm_that_is_down_ends_the_batch(database: Database) -> None:
    gate = gate_of(database, 100)
    for _ in range(10):
        gate.tell(DOWN)
    assert Pacer(gate, 1, threading.Event()).wait(soon()) == "Brevo answers 500"


def test_a_stop_ends_a_wait_at_once(database: Database) -> None:
    gate = gate_of(database, 0.5)
    stop = threading.Event()
    pacer = Pacer(gate, 10, stop)
    with ThreadPoolExecutor(1) as threads:
        assert pacer.wait(soon()) is None
        waiting = in_hand(pacer, threads)
        stop.set()
        stopped = time.monotonic()
        reason, went_on = waiting.result()
    assert (reason, went_on - stopped < 0.5) == (STOPPED, True)
    assert pacer.wait(soon()) == STOPPED


def test_a_stop_ends_the_wait_for_the_end_of_a_pause_within_half_a_second(database: Database) -> None:
    gate = gate_of(database, 100)
    gate.tell(throttled(30))
    stop = threading.Event()
    threading.Timer(0.1, stop.set).start()
    started = time.monotonic()
    assert Pacer(gate, 1, stop).wait(time.monotonic() + 300) == STOPPED
    assert time.monotonic() - started < 0.7


def test_a_slot_after_the_lease_is_refused_without_waiting(database: Database) -> None:
    pacer = Pacer(gate_of(database, 0.5), 10, threading.Event())
    assert pacer.wait(soon()) is None
    started = time.monotonic()
    assert pacer.wait(started + 1) == "the lease is too short for another request"
    assert time.monotonic() - started < 0.5


def test_no_more_slots_are_reserved_than_the_batch_needs(database: Database) -> None:
    gate = gate_of(database, 400)
    pacer = Pacer(gate, 2, threading.Event())
    for _ in range(2):
        assert pacer.wait(soon()) is None
    assert gate.reserve(1).delays[0] < 0.1, "a chunk at this rate is 100 slots"


def test_slots_that_have_become_stale_are_reserved_anew_so_that_a_stalled_process_makes_no_burst(
    database: Database,
) -> None:
    class Clock:
        """A process that is frozen loses time between two looks at its clock."""

        lost = 0.0

        def __call__(self) -> float:
            return time.monotonic() + self.lost

    clock = Clock()
    gate = gate_of(database, 40)
    pacer = Pacer(gate, 100, threading.Event(), clock)
    assert pacer.wait(clock() + 30) is None
    clock.lost += 5  # ten slots were reserved at once; nine of them are five seconds old now
    sent = []
    for _ in range(9):
        assert pacer.wait(clock() + 30) is None
        sent.append(time.monotonic())
    assert sent[-1] - sent[0] >= 8 / 40 - 0.03


def test_there_is_no_burst_when_a_pause_ends(database: Database) -> None:
    gate = gate_of(database, 40)
    pacer = Pacer(gate, 100, threading.Event())
    gate.tell(throttled(0.5))
    sent: list[float] = []

    def work(_: int) -> None:
        for _ in range(3):
            assert pacer.wait(soon()) is None
            sent.append(time.monotonic())

    with ThreadPoolExecutor(5) as threads:
        list(threads.map(work, range(5)))
    sent.sort()
    assert sent[-1] - sent[0] >= 14 / 40 - 0.05


def test_a_good_answer_is_told_only_when_it_ends_a_row_of_failures(database: Database) -> None:
    gate = gate_of(database, 100)
    pacer = Pacer(gate, 10, threading.Event())
    assert pacer.wait(soon()) is None
    sql(database, "UPDATE crm_gate SET failures_in_a_row = 3")
    pacer.tell(WELL)
    assert gate.state().failures_in_a_row == 3, "nobody here knew of them: no statement is spent"
    pacer.tell(DOWN)
    pacer.tell(WELL)
    assert gate.state().failures_in_a_row == 0


def test_waiting_for_the_gates_row_makes_no_request_early(database: Database) -> None:
    pacer = Pacer(gate_of(database, 2), 10, threading.Event())
    with ThreadPoolExecutor(1) as threads:
        assert pacer.wait(soon()) is None
        first = time.monotonic()
        with database.engine.begin() as connection:
            connection.execute(text("SELECT FROM crm_gate WHERE crm = 'brevo' FOR UPDATE"))
            waiting = threads.submit(lambda: (pacer.wait(soon()), time.monotonic()))
            while not sql(
                database, "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%crm_gate%'"
            ):
                time.sleep(0.02)
            time.sleep(0.3)
        _, went_on = waiting.result()
    assert went_on - first >= 0.4, "its slot was half a second after the first, which may have been noted late"
