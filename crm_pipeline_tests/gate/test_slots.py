"""Several slots for each request: the others of them stay empty, and others get the time."""

from __future__ import annotations

import threading

import pytest

from crm_pipeline.database.engine import Database
from crm_pipeline.gate.gate import Gate
from crm_pipeline.gate.pacer import Pacer, Slot


@pytest.mark.parametrize("slots_per_request", [1, 2])
@pytest.mark.parametrize("rate", [3, 40], ids=["one slot asked for at once", "several"])
def test_requests_that_take_several_slots_are_so_much_further_apart(
    database: Database, rate: float, slots_per_request: int
) -> None:
    gate = Gate(database, "brevo", identity="key-1", rate_per_second=rate)
    gate.begin()
    pacer = Pacer(gate, 30, threading.Event(), slots_per_request=slots_per_request)
    slots = [pacer._take() for _ in range(30)]
    times = [slot.at for slot in slots if isinstance(slot, Slot)]
    assert len(times) == 30
    assert times[-1] - times[0] == pytest.approx(29 * slots_per_request / rate, rel=0.05)


def test_a_request_that_takes_two_slots_is_sent_although_the_hour_has_only_one_left(database: Database) -> None:
    gate = Gate(database, "brevo", identity="key-1", rate_per_second=40, requests_per_hour=1)
    gate.begin()
    assert isinstance(Pacer(gate, 1, threading.Event(), slots_per_request=2)._take(), Slot)
