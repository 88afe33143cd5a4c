"""When a run's first contacts are all refused alike, the gate remembers why until a contact comes through."""

from __future__ import annotations

import threading
import time

import pytest

from crm_pipeline.database.engine import Database
from crm_pipeline.gate.gate import Gate
from crm_pipeline.gate.pacer import Pacer
from crm_pipeline.model import WELL, CheckResult, News, NewsKind
from crm_pipeline_tests.support.contacts import sql

REASON = "HTTP 400, invalid_parameter"
SUSPICION = News(NewsKind.CLOSED, "The first 20 contacts were refused alike", suspicion=REASON)
CLOSED = News(NewsKind.CLOSED, "BREVO_API_KEY is refused")


@pytest.fixture
def gate(database: Database) -> Gate:
    gate = Gate(database, "brevo", identity="key-1", rate_per_second=100)
    gate.begin()
    return gate


def over(gate: Gate) -> None:
    sql(gate.database, "UPDATE crm_gate SET paused_until = now() WHERE crm = 'brevo'")


def test_a_suspicion_closes_the_gate_for_all_and_is_kept(gate: Gate, database: Database) -> None:
    gate.tell(SUSPICION)
    other = Gate(database, "brevo", identity="key-1", rate_per_second=100)
    state = other.state()
    assert (state.paused, state.cause_kind, state.suspicion) == (True, NewsKind.CLOSED, REASON)
    assert state.cause == "The first 20 contacts were refused alike"


def test_a_passed_check_opens_the_gate_and_keeps_the_suspicion_so_that_one_contact_goes_alone(gate: Gate) -> None:
    gate.tell(SUSPICION)
    gate.tell_check(CheckResult(WELL))
    state = gate.begin()
    assert (state.paused, state.cause, state.suspicion, state.half_open) == (False, None, REASON, True)


def test_a_check_that_a_person_asks_for_ends_a_suspicion_if_it_passes(gate: Gate) -> None:
    gate.tell(SUSPICION)
    gate.tell_check(CheckResult(CLOSED), by_hand=True)
    assert gate.state().suspicion == REASON
    gate.tell_check(CheckResult(WELL), by_hand=True)
    state = gate.state()
    assert (state.paused, state.suspicion, state.half_open) == (False, None, False)


def test_a_good_answer_ends_a_suspicion_that_another_process_raised(gate: Gate, database: Database) -> None:
    gate.tell(SUSPICION)
    gate.tell_check(CheckResult(WELL))
    sql(database, "UPDATE crm_gate SET pauses_in_a_row = 0")  # the suspicion alone is the trouble
    pacer = Pacer(Gate(database, "brevo", identity="key-1", rate_per_second=100), 1, threading.Event())
    assert pacer.wait(time.monotonic() + 5) is None
    pacer.tell(WELL)
    assert gate.state().suspicion is None


def test_a_good_answer_to_an_earlier_request_does_not_end_the_suspicion_that_closed_the_gate(gate: Gate) -> None:
    gate.tell(SUSPICION)
    gate.tell(WELL)
    assert gate.state().suspicion == REASON


def test_another_reason_to_close_leaves_the_suspicion_and_a_newer_suspicion_takes_its_place(gate: Gate) -> None:
    gate.tell(SUSPICION)
    gate.tell(CLOSED)
    assert (gate.state().cause, gate.state().suspicion) == ("BREVO_API_KEY is refused", REASON)
    over(gate)
    gate.tell(News(NewsKind.CLOSED, "again", suspicion="HTTP 404"))
    assert gate.state().suspicion == "HTTP 404"


def test_another_key_or_address_ends_a_suspicion(gate: Gate, database: Database) -> None:
    gate.tell(SUSPICION)
    changed = Gate(database, "brevo", identity="key-2", rate_per_second=100)
    assert not changed.state().half_open
    changed.begin()
    gate.begin()  # back to the key of before: nothing of it is left
    assert (gate.state().suspicion, gate.state().half_open) == (None, False)


def test_a_suspicion_is_not_lost_with_the_gates_row(gate: Gate) -> None:
    sql(gate.database, "DELETE FROM crm_gate WHERE crm = 'brevo'")
    gate.tell(SUSPICION)
    assert gate.state().suspicion == REASON


def test_a_doubt_is_no_news_for_the_gate(gate: Gate) -> None:
    with pytest.raises(ValueError, match="check"):
        gate.tell(News(NewsKind.DOUBTFUL, "Brevo answers 403"))
    assert not gate.state().paused
