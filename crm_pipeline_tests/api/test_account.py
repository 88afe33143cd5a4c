"""Is the CRM's account usable? Asked over HTTP, with a sandbox in the CRM's place."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import datetime

import pytest
from sqlalchemy import text

from crm_pipeline.database.engine import Database
from crm_pipeline.gate.gate import Gate
from crm_pipeline.model import News, NewsKind
from crm_pipeline.sandbox.account import Account
from crm_pipeline.settings import Settings
from crm_pipeline.wiring import Pipeline
from crm_pipeline_tests.api.conftest import Client, served
from crm_pipeline_tests.support.contacts import sql
from crm_pipeline_tests.support.sandbox import KEY
from crm_pipeline_tests.support.waiting import wait_for

PATH = "/api/v3/crm/brevo/check"


@pytest.fixture
def gate(account_settings: None) -> Iterator[Gate]:
    """The gate as the API's process has it."""
    settings = Settings.load()
    pipeline = Pipeline(settings, settings.crms["brevo"])
    pipeline.gate.begin()
    yield pipeline.gate
    pipeline.close()


def test_a_usable_account_is_told_so_and_the_gate_that_was_closed_opens(with_account: Client, gate: Gate) -> None:
    gate.tell(News(NewsKind.CLOSED, "the key was wrong"))
    said = with_account.get(PATH).json()
    assert (said["crm"], said["usable"], said["sandbox"]) == ("brevo", True, True)
    assert said["message"] == "Brevo accepts the key."
    assert not gate.state().paused


def test_a_wrong_key_is_told_with_what_to_do_and_without_the_key(with_account: Client, account: Account) -> None:
    account.api_key = "another"
    said = with_account.get(PATH)
    assert (said.status_code, said.json()["usable"]) == (200, False)
    assert "BREVO_API_KEY" in said.json()["message"]
    assert KEY not in said.text


def test_a_check_that_is_asked_again_and_again_asks_the_crm_once(with_account: Client, account: Account) -> None:
    answers = [with_account.get(PATH).json() for _ in range(3)]
    assert answers[1] == answers[2] == answers[0]
    account.api_key = "another"
    assert with_account.get(PATH).json()["usable"]


def test_a_row_of_refusals_is_not_ended_by_a_check_that_nobody_looked_at(with_account: Client, gate: Gate) -> None:
    gate.tell(News(NewsKind.REFUSED, contacts=7))
    assert with_account.get(PATH).json()["usable"]
    assert gate.state().refused_in_a_row == 7


def test_while_one_call_asks_the_crm_another_is_told_to_come_back(
    with_account: Client, gate: Gate, database: Database
) -> None:
    waiting = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    answers: list[int] = []
    asking = threading.Thread(target=lambda: answers.append(with_account.get(PATH).status_code))
    with database.engine.begin() as holding:
        holding.execute(text("SELECT FROM crm_gate WHERE crm = 'brevo' FOR UPDATE"))
        asking.start()
        wait_for(lambda: sql(database, waiting), 10)
        started = time.monotonic()
        with Client(with_account.url) as another:
            said = another.get(PATH)
        assert time.monotonic() - started < 2
    asking.join()
    assert (said.status_code, said.headers["retry-after"]) == (503, "5")
    assert answers == [200]


def test_while_the_crm_pauses_it_is_not_asked_and_the_answer_says_for_how_long(
    with_account: Client, gate: Gate, account: Account
) -> None:
    gate.tell(News(NewsKind.THROTTLED, "the account's quota is used up", pause_seconds=40))
    said = with_account.get(PATH)
    assert (said.status_code, "quota is used up" in said.json()["detail"]) == (503, True)
    assert 30 < int(said.headers["retry-after"]) <= 40
    assert account.received == []


def test_a_sandbox_and_a_database_of_ones_own_do_not_go_together(
    with_account: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CRM_PIPELINE_ALLOW_SANDBOX")
    with served() as api:
        said = api.get(PATH)
    assert (said.status_code, "is a sandbox" in said.json()["detail"]) == (409, True)


def test_a_crm_without_a_key_is_answered_with_409_and_the_variable(api: Client) -> None:
    said = api.get(PATH)
    assert (said.status_code, "BREVO_API_KEY is not set" in said.json()["detail"]) == (409, True)


def test_an_unknown_crm_is_answered_with_400_and_those_there_are(api: Client) -> None:
    assert api.get("/api/v3/crm/nocrm/check").json()["valid_crms"] == ["brevo"]


def test_a_check_that_waits_for_its_turn_does_not_keep_the_server_from_ending(
    account_settings: None, gate: Gate, database: Database
) -> None:
    def next_slot() -> datetime:
        (row,) = sql(database, "SELECT next_slot_at FROM crm_gate WHERE crm = 'brevo'")
        return row.next_slot_at

    gate.reserve(int(25 * gate.state().rate_per_second))
    before = next_slot()
    with served() as api:
        asking = threading.Thread(target=lambda: api.get(PATH), daemon=True)
        asking.start()
        wait_for(lambda: next_slot() > before, 10)
        ended = time.monotonic()
    assert time.monotonic() - ended < 4


def test_the_metrics_tell_pause_cause_and_rate_of_the_gate(with_account: Client, gate: Gate) -> None:
    gate.tell(News(NewsKind.THROTTLED, "wait", pause_seconds=40))
    lines = with_account.get("/metrics").text.splitlines()
    values = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    assert 30 < float(values['crm_pipeline_gate_paused_seconds{crm="brevo"}']) <= 40
    assert values['crm_pipeline_gate_cause{crm="brevo",kind="throttled"}'] == "1.0"
    assert values['crm_pipeline_gate_cause{crm="brevo",kind="closed"}'] == "0.0"
    assert values['crm_pipeline_enabled{crm="brevo"}'] == "1.0"
    assert float(values['crm_pipeline_gate_rate_per_second{crm="brevo"}']) > 0
