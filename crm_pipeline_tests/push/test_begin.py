"""Before its first claim a run asks whether the account is usable: once an hour, at the gate's pace, never in vain."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import pytest

from crm_pipeline.database.engine import Database
from crm_pipeline.errors import ActionNeeded, SandboxMismatch
from crm_pipeline.gate.gate import Gate
from crm_pipeline.model import CheckResult, News, NewsKind
from crm_pipeline.push.push import Push
from crm_pipeline.push.sandbox import Sandbox
from crm_pipeline.sandbox.account import Account
from crm_pipeline_tests.crms.brevo_account import connected
from crm_pipeline_tests.crms.raw_server import RawServer, answers, raw_server
from crm_pipeline_tests.push.pushing import Pushing
from crm_pipeline_tests.support.contacts import insert, insert_many, pairs, sql

WELL = (200, b'{"attributes":[]}')
OF_A_SANDBOX = (*WELL, "X-CRM-Sandbox: x\r\n")


@pytest.fixture(autouse=True)
def _never_asked(database: Database, sync: Pushing) -> None:
    sql(database, "UPDATE crm_gate SET checked_at = NULL WHERE crm = 'brevo'")


def begin(sync: Pushing) -> str | None:
    """The gate's cause after a run's beginning."""
    return sync.parts.begin(sync.stop).cause


@contextmanager
def asking(
    sync: Pushing, answer: tuple[Any, ...], sandbox: Sandbox | None = None
) -> Iterator[tuple[Pushing, RawServer]]:
    """The same queue with an account at another server, which always gives this answer."""
    with raw_server(answers(answer)) as server, connected(server.url) as brevo:
        gate = Gate(sync.queue.database, "brevo", brevo.identity, 1000)
        yield Pushing(sync.queue, gate, brevo, 4, sandbox=sandbox or sync.sandbox), server


def test_the_account_is_asked_once_an_hour(database: Database, sync: Pushing) -> None:
    with asking(sync, WELL) as (run, server):
        for _ in range(3):
            begin(run)
        assert len(server.requests) == 1
        sql(database, "UPDATE crm_gate SET checked_at = now() - interval '61 minutes'")
        begin(run)
        assert len(server.requests) == 2


def test_attributes_are_read_once_a_run_and_what_the_account_lacks_is_warned_of_once(
    database: Database, account: Account, sync: Pushing, caplog: pytest.LogCaptureFixture
) -> None:
    sql(database, "UPDATE crm_gate SET checked_at = now() WHERE crm = 'brevo'")
    for number in range(3):
        insert(database, f"{number}@example.com", name="Ann Lee")
    del account.fields["LASTNAME"]
    run = Push(sync.queue, sync.gate, sync.crm, sync.threads, True, sync.sandbox)
    asked = []
    prepare = sync.crm.prepare
    sync.crm.prepare = lambda: asked.append(1) or prepare()  # type: ignore[method-assign,func-returns-value]
    with caplog.at_level(logging.WARNING):
        run.begin(sync.stop)
        for contact_id in sync.due():
            run.push([contact_id], uuid4(), "run-1", sync.stop)
    assert len(asked) == 1
    assert [record.message.split(" (")[0] for record in caplog.records] == ["Brevo has no attribute LASTNAME"]
    assert {tuple(stored.attributes) for stored in account.contacts()} == {("FIRSTNAME",)}


def test_without_its_attributes_read_nothing_is_sent(database: Database, account: Account, sync: Pushing) -> None:
    sql(database, "UPDATE crm_gate SET checked_at = now() WHERE crm = 'brevo'")
    insert_many(database, 3)
    account.api_key, right = "another", account.api_key
    run = Push(sync.queue, sync.gate, sync.crm, sync.threads, True, sync.sandbox)
    result = run.push(sync.due(), sync.lease, "run-1", sync.stop)
    assert (result.claimed, pairs(database)) == (0, {"Selected/Queued": 3})
    assert "BREVO_API_KEY" in str(result.stopped_because)
    assert sync.gate.state().cause_kind is NewsKind.CLOSED
    account.api_key = right
    sync.gate.tell_check(CheckResult(News(NewsKind.WELL)), sync.gate.state())
    assert run.push(sync.due(), sync.lease, "run-1", sync.stop).claimed == 3


def test_a_closed_account_is_told_before_anything_is_claimed_and_again_at_each_beginning(
    database: Database, account: Account, sync: Pushing
) -> None:
    account.api_key = "another"
    for _ in range(2):
        with pytest.raises(ActionNeeded, match="Check BREVO_API_KEY"):
            begin(sync)
    assert sync.gate.state().paused
    assert sql(database, "SELECT FROM crm_sync UNION ALL SELECT FROM crm_attempts") == []


def test_an_account_that_is_well_again_is_found_to_be_so_by_the_next_run_without_waiting_for_the_pause(
    account: Account, sync: Pushing
) -> None:
    key, account.api_key = account.api_key, "another"
    with pytest.raises(ActionNeeded):
        begin(sync)
    assert sync.gate.state().paused
    account.api_key = key
    assert begin(sync) is None
    state = sync.gate.state()
    assert (state.paused, state.needs_check, state.cause_kind) == (False, False, None)


def test_an_account_that_is_paused_is_not_asked(database: Database, sync: Pushing) -> None:
    with asking(sync, WELL) as (run, server):
        begin(run)
        run.gate.tell(News(NewsKind.THROTTLED, "slow down", 30))
        sql(database, "UPDATE crm_gate SET checked_at = NULL")
        assert begin(run) == "slow down"
        assert len(server.requests) == 1


def test_a_crm_that_is_down_makes_no_error_and_is_asked_again_before_the_next_run(
    database: Database, sync: Pushing
) -> None:
    with asking(sync, (503, b"<html>")) as (run, _):
        for _ in range(3):
            begin(run)
    assert sql(database, "SELECT failures_in_a_row FROM crm_gate WHERE crm = 'brevo'") == [(3,)]


def test_a_crm_that_was_down_is_asked_again_although_its_last_check_passed_a_moment_ago(
    database: Database, sync: Pushing
) -> None:
    with asking(sync, WELL) as (run, server):
        begin(run)
        begin(run)
        assert len(server.requests) == 1, "nothing has happened since"
        run.gate.tell(News(NewsKind.UNAVAILABLE, "out of order", 30))
        assert begin(run) == "out of order"
        assert len(server.requests) == 1, "it is paused"
        sql(database, "UPDATE crm_gate SET paused_until = now() WHERE crm = 'brevo'")
        assert begin(run) is None
        assert len(server.requests) == 2


def test_a_question_about_the_account_waits_for_the_end_of_a_pause(database: Database, sync: Pushing) -> None:
    with asking(sync, WELL) as (run, server):
        begin(run)
        run.gate.tell(News(NewsKind.THROTTLED, "slow down", 0.8))
        started = time.monotonic()
        run.parts.check(run.stop)
        assert time.monotonic() - started >= 0.7
        assert len(server.requests) == 2
        run.gate.tell(News(NewsKind.CLOSED, "refused"))
        run.parts.check(run.stop)
        assert time.monotonic() - started < 10, "a closed gate is no reason not to ask"


def test_each_request_of_a_check_takes_a_slot_of_the_gate(database: Database, account: Account, sync: Pushing) -> None:
    slow = sync.another(gate=Gate(database, "brevo", sync.crm.identity, 4))
    slow.gate.begin()
    slow.gate.reserve(1)
    started = time.monotonic()
    begin(slow)
    assert time.monotonic() - started >= 0.4, "two slots, a quarter of a second apart, after the one that is taken"


@pytest.mark.parametrize(
    ("sandbox", "answer", "must_say"),
    [
        (Sandbox(embedded_database=False, allowed=False), OF_A_SANDBOX, "The server is a sandbox.*ALLOW_SANDBOX=true"),
        (Sandbox(embedded_database=True, allowed=False), WELL, "The server is a real CRM.*Set DATABASE_URL"),
        (Sandbox(embedded_database=True, allowed=True), WELL, "The server is a real CRM"),
    ],
    ids=["own contacts, sandbox", "demo contacts, CRM", "demo contacts, CRM, allowed"],
)
def test_contacts_and_servers_that_do_not_belong_together_are_kept_apart(
    database: Database, sync: Pushing, sandbox: Sandbox, answer: tuple[int, bytes], must_say: str
) -> None:
    with asking(sync, answer, sandbox) as (run, _), pytest.raises(SandboxMismatch, match=must_say):
        begin(run)


@pytest.mark.parametrize(
    ("sandbox", "answer"),
    [
        (Sandbox(embedded_database=False, allowed=False), WELL),
        (Sandbox(embedded_database=False, allowed=True), WELL),
        (Sandbox(embedded_database=False, allowed=True), OF_A_SANDBOX),
        (Sandbox(embedded_database=True, allowed=False), OF_A_SANDBOX),
    ],
    ids=["own, CRM", "own, CRM, allowed", "own, sandbox, allowed", "demo, sandbox"],
)
def test_contacts_and_servers_that_belong_together_are_let_through(
    database: Database, sync: Pushing, sandbox: Sandbox, answer: tuple[int, bytes]
) -> None:
    with asking(sync, answer, sandbox) as (run, _):
        assert begin(run) is None


def test_a_wrong_key_is_told_as_such_whatever_the_server_is(database: Database, sync: Pushing) -> None:
    demo = Sandbox(embedded_database=True, allowed=False)
    refused = (401, b'{"message":"Key not found"}')
    with asking(sync, refused, demo) as (run, _), pytest.raises(ActionNeeded) as told:
        begin(run)
    assert not isinstance(told.value, SandboxMismatch)
    assert "BREVO_API_KEY" in str(told.value)


def test_what_the_account_drops_silently_is_warned_of_in_the_log(
    account: Account, sync: Pushing, caplog: pytest.LogCaptureFixture
) -> None:
    del account.fields["PAGE_ID"]
    with caplog.at_level(logging.WARNING, "crm_pipeline.push"):
        begin(sync)
    assert [message for message in caplog.messages if "Brevo has no attribute PAGE_ID" in message]
