"""The account's fault is met by as few contacts as possible and counted against none."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import text

from crm_pipeline.database.engine import Database
from crm_pipeline.gate.gate import Gate
from crm_pipeline.model import WELL, CheckResult, NewsKind
from crm_pipeline.push.sandbox import Sandbox
from crm_pipeline.sandbox.account import Account
from crm_pipeline_tests.crms.brevo_account import connected
from crm_pipeline_tests.crms.raw_server import answers, raw_server
from crm_pipeline_tests.push.pushing import Pushing
from crm_pipeline_tests.support.contacts import attempts, contact, insert, insert_many, mechanics, pairs, sql


def met_it(database: Database) -> list[Any]:
    """The contacts that wait with the account's message, and how long they wait, in seconds."""
    return sql(
        database,
        "SELECT id, retry_count, brevo_processing_error AS error, "
        "extract(epoch FROM next_retry_at - now())::float AS seconds FROM contacts "
        "WHERE brevo_sync_status = 'Queued' AND brevo_processing_status = 'Error'",
    )


def test_the_contact_that_met_a_closed_account_waits_with_the_message_and_the_rest_is_as_before(
    database: Database, account: Account, sync: Pushing
) -> None:
    insert_many(database, 20)
    third = sorted(sync.due())[2]
    address = contact(database, third).email
    account.faults.answer = lambda sent: (401, {"message": "Key not found"}) if sent == address else None
    result = sync.another(threads=1).push()
    assert dict(result.outcomes) == {"synced": 2, "blocked": 1, "released": 17}
    assert "Check BREVO_API_KEY" in str(result.stopped_because)


def test_no_attempt_is_counted_for_the_accounts_fault(database: Database, account: Account, sync: Pushing) -> None:
    retried = insert(database, "a@example.com", "Queued", "Queued", retry_count=2, last_failed_crm="brevo")
    account.api_key = "another"
    sync.push_and_write_back()
    (waiting,) = met_it(database)
    assert (waiting.id, waiting.retry_count) == (retried, 2)
    assert mechanics(database, retried).retry_count == 2
    assert "BREVO_API_KEY" in waiting.error
    assert 290 < waiting.seconds <= 300
    assert [attempt.outcome for attempt in attempts(database, retried)] == ["blocked"]


@pytest.mark.parametrize("status", [301, 401, 402])
def test_an_account_that_is_closed_for_all_is_met_by_no_more_contacts_than_there_are_threads(
    database: Database, account: Account, sync: Pushing, status: int
) -> None:
    insert_many(database, 60)
    account.faults.answer = lambda _: (status, {"message": "no"})
    result = sync.push_and_write_back()
    met = len(met_it(database))
    assert 1 <= met <= sync.threads
    assert len(account.received) <= sync.threads
    assert pairs(database) == {"Queued/Error": met, "Selected/Queued": 60 - met}
    assert dict(result.outcomes) == {"blocked": met, "released": 60 - met}
    assert {row.retry_count for row in met_it(database)} == {0}
    assert sync.gate.state().cause_kind is NewsKind.CLOSED


def test_the_next_batch_claims_nothing_while_the_account_is_closed(
    database: Database, account: Account, sync: Pushing
) -> None:
    insert_many(database, 5)
    account.api_key = "another"
    sync.another(threads=1).push(sync.due()[:1])
    sent = len(account.received)
    result = sync.another().push()
    assert (result.claimed, len(account.received)) == (0, sent)
    assert "BREVO_API_KEY" in str(result.stopped_because)


SANDBOX = "X-CRM-Sandbox: x\r\n"


@pytest.mark.parametrize(
    ("may_be", "first", "then", "must_say"),
    [
        (Sandbox(embedded_database=False, allowed=False), "", SANDBOX, "The server is a sandbox"),
        (Sandbox(embedded_database=True, allowed=False), SANDBOX, "", "The server is a real CRM"),
    ],
    ids=["CRM, then sandbox", "sandbox, then CRM"],
)
def test_a_server_that_changes_its_kind_during_a_run_gets_no_further_contact(
    database: Database, sync: Pushing, may_be: Sandbox, first: str, then: str, must_say: str
) -> None:
    insert_many(database, 10)
    created = b'{"id":1}'
    with (
        raw_server(answers(*[(201, created, first)] * 3, (201, created, then))) as server,
        connected(server.url) as brevo,
    ):
        gate = Gate(database, "brevo", brevo.identity, 1000)
        gate.begin()
        gate.tell_check(CheckResult(WELL), gate.state())
        changing = Pushing(sync.queue, gate, brevo, threads=1, sandbox=may_be)
        result = changing.push_and_write_back()
        assert len(server.requests) == 4
    assert dict(result.outcomes) == {"synced": 3, "blocked": 1, "released": 6}
    assert must_say in str(result.stopped_because)
    (waiting,) = met_it(database)
    assert must_say in waiting.error
    assert gate.state().cause_kind is NewsKind.CLOSED
    assert pairs(database) == {"Complete/Complete": 3, "Queued/Error": 1, "Selected/Queued": 6}


def test_a_server_that_does_not_answer_is_not_taken_for_one_of_the_wrong_kind(
    database: Database, sync: Pushing
) -> None:
    ann = insert(database, "ann@example.com")
    with raw_server(lambda peer: None) as server, connected(server.url) as brevo:
        gate = Gate(database, "brevo", brevo.identity, 1000)
        gate.begin()
        gate.tell_check(CheckResult(WELL), gate.state())
        demo = Pushing(sync.queue, gate, brevo, threads=1, sandbox=Sandbox(embedded_database=True, allowed=False))
        assert dict(demo.push().outcomes) == {"failed": 1}
    assert attempts(database, ann)[0].code == "connection"
    assert gate.state().cause_kind is not NewsKind.CLOSED


def test_no_key_and_no_address_is_written_down(database: Database, account: Account, sync: Pushing) -> None:
    insert(database, "ann.lee@example.com")
    key = account.api_key
    account.faults.answer = lambda address: (401, {"message": f"{key} of {address} is unknown"})
    sync.push_and_write_back()

    def everything(connection: Any) -> str:
        rows = [connection.execute(text(f"SELECT * FROM {table}")).all() for table in ("crm_attempts", "crm_gate")]
        return str([tuple(row) for table in rows for row in table])

    said = database.run(everything) + str(met_it(database))
    assert "a***@example.com is unknown" in said
    assert str(key) not in said
    assert "ann.lee" not in said
