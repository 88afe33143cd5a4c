"""A batch in good times: all of it is sent, once, and the journal is never far behind."""

from __future__ import annotations

import random
import time

import pytest

from crm_pipeline.database.engine import Database
from crm_pipeline.gate.gate import Gate
from crm_pipeline.model import JournalEntry, Outcome, OutcomeKind
from crm_pipeline.push import push as module
from crm_pipeline.sandbox.account import Account
from crm_pipeline_tests.push.pushing import RUN, Pushing, eventually, push_threads
from crm_pipeline_tests.support.contacts import attempts, contact, insert, insert_many, pairs, sql


def test_every_contact_of_a_batch_is_sent_once_and_ends_as_synced(
    database: Database, account: Account, sync: Pushing
) -> None:
    insert_many(database, 60)
    result = sync.push_and_write_back()
    assert (result.listed, result.claimed, dict(result.outcomes)) == (60, 60, {"synced": 60})
    assert result.stopped_because is None
    addresses = [address for _, address in account.received]
    assert len(addresses) == len(set(addresses)) == 60
    assert pairs(database) == {"Complete/Complete": 60}
    assert push_threads() == []


def test_a_synced_contact_knows_its_address_at_the_crm_and_its_request(database: Database, sync: Pushing) -> None:
    ann = insert(database, " Ann@Example.com ")
    sync.push_and_write_back()
    assert contact(database, ann).brevo_contact_id == "ann@example.com"
    (attempt,) = attempts(database, ann)
    assert (attempt.outcome, attempt.http_status, attempt.attempt, attempt.run_id) == ("synced", 201, 1, RUN)
    assert attempt.request_id
    assert attempt.duration_ms >= 0


def test_nothing_is_sent_when_nothing_is_due(account: Account, sync: Pushing) -> None:
    assert sync.push([]).claimed == 0
    assert account.received == []


def test_a_journalled_answer_is_at_most_a_second_old(
    database: Database, account: Account, sync: Pushing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "JOURNAL_ENTRIES", 10_000)
    insert_many(database, 20)
    with account.faults.hold(lambda address: address == "person-1@example.com") as hold, sync.pushing() as pushed:
        hold.wait_for(1)
        eventually(lambda: account.received_count == 20)
        answered = time.monotonic()
        eventually(lambda: sync.journal() == {"synced": 19})
        age = time.monotonic() - answered
        assert not pushed.done()
        hold.release()
    assert age < 1.5, "a second, and time for the journal itself"
    assert sync.journal() == {"synced": 20}


def test_no_more_than_50_answers_wait_for_their_journal(
    database: Database, account: Account, sync: Pushing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "JOURNAL_SECONDS", 10_000.0)
    insert_many(database, 70)
    with account.faults.hold(lambda address: address == "person-1@example.com") as hold, sync.pushing() as pushed:
        hold.wait_for(1)
        eventually(lambda: sync.journal().get("synced", 0) >= 50)
        assert not pushed.done()
        hold.release()
    assert sync.journal() == {"synced": 70}


def test_a_repeated_step_goes_on_with_what_is_left_of_its_lease_and_sends_nothing_twice(
    database: Database, account: Account, sync: Pushing
) -> None:
    insert_many(database, 10)
    ids = sync.due()
    claimed = sync.queue.claim(ids, sync.lease, RUN, 120).contacts
    done = [JournalEntry(one.id, Outcome(OutcomeKind.SYNCED, http_status=201), 0.0) for one in claimed[:4]]
    sync.queue.journal(sync.lease, RUN, done)
    result = sync.push(ids)
    assert (result.claimed, dict(result.outcomes)) == (6, {"synced": 6})
    assert len(account.received) == 6
    sync.queue.write_back(sync.lease)
    assert pairs(database) == {"Complete/Complete": 10}
    assert sync.push(ids).claimed == 0, "the lease is used up"


def test_no_transaction_is_open_while_the_crm_is_asked(database: Database, account: Account, sync: Pushing) -> None:
    insert_many(database, 5)
    with account.faults.hold() as hold, sync.pushing():
        hold.wait_for(5)
        (busy,) = sql(
            database,
            "SELECT count(*) AS n FROM pg_stat_activity WHERE datname = current_database() "
            "AND pid <> pg_backend_pid() AND xact_start IS NOT NULL AND backend_type = 'client backend'",
        )
        hold.release()
    assert busy.n == 0


def test_requests_keep_to_the_gates_pace(database: Database, account: Account, sync: Pushing) -> None:
    insert_many(database, 20)
    slow = sync.another(gate=Gate(database, "brevo", sync.crm.identity, 40))
    slow.gate.begin()
    started = time.monotonic()
    slow.push()
    times = [at for at, _ in account.received]
    assert times[-1] - times[0] >= 19 / 40 - 0.05
    assert times[-1] - started < 2


def test_no_more_requests_are_in_flight_than_there_are_threads(
    database: Database, account: Account, sync: Pushing
) -> None:
    insert_many(database, 10)
    with account.faults.hold() as hold, sync.another(threads=3).pushing():
        hold.wait_for(3)
        time.sleep(0.1)  # a fourth would come at once
        in_flight = len(hold.held)
        hold.release()
    assert in_flight == 3
    assert len(account.received) == 10


def test_contacts_are_sent_in_the_order_in_which_they_were_listed(
    database: Database, account: Account, sync: Pushing
) -> None:
    insert_many(database, 20)
    ids = sync.due()
    random.Random(7).shuffle(ids)
    sync.another(threads=1).push(ids)
    emails = {row.id: row.email for row in sql(database, "SELECT id, email FROM contacts")}
    assert [address for _, address in account.received] == [emails[contact_id] for contact_id in ids]
