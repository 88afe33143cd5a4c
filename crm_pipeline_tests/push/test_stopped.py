"""A push that is stopped, or that meets a bug, leaves nothing behind: answers are applied, the rest is given back."""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import count
from typing import Any

import pytest

from crm_pipeline.crms.protocol import Crm
from crm_pipeline.database.engine import Database
from crm_pipeline.errors import DatabaseFailure
from crm_pipeline.model import Answer, Contact
from crm_pipeline.push.sender import STOPPED
from crm_pipeline.sandbox.account import Account
from crm_pipeline_tests.push.pushing import RUN, Pushing, eventually, push_threads
from crm_pipeline_tests.support.contacts import attempts, insert, insert_many, pair, pairs, sql


def test_a_push_that_is_stopped_before_it_starts_sends_nothing_and_gives_back_what_was_claimed(
    database: Database, account: Account, sync: Pushing
) -> None:
    insert_many(database, 5)
    ids = sync.due()
    sync.queue.claim(ids[:3], sync.lease, RUN, 120)
    sync.stop.set()
    result = sync.push(ids)
    assert (result.claimed, result.stopped_because, account.received) == (0, STOPPED, [])
    assert (sync.leases(), pairs(database)) == (0, {"Selected/Queued": 5})


def test_a_push_that_is_stopped_has_given_everything_back_after_3_seconds_though_answers_are_still_out(
    database: Database, account: Account, sync: Pushing
) -> None:
    insert_many(database, 40)
    with account.faults.hold(lambda address: address.endswith("1@example.com")) as hold, sync.pushing() as pushed:
        hold.wait_for(4)
        eventually(lambda: account.received_count == 40)
        sync.stop.set()
        stopped = time.monotonic()
        eventually(lambda: sync.leases() == 0, 4.5)
        assert time.monotonic() - stopped > 2.5, "what is in flight has 3 s to answer"
        assert pairs(database) == {"Complete/Complete": 36, "Selected/Queued": 4}
        assert not pushed.done(), "its threads are joined first"
        hold.release()
    assert pushed.result().stopped_because == STOPPED
    assert push_threads() == []


def test_a_stopped_push_starts_no_further_request_and_applies_what_is_answered_in_time(
    database: Database, account: Account, sync: Pushing
) -> None:
    insert_many(database, 60)
    with account.faults.hold() as hold, sync.pushing() as pushed:
        hold.wait_for(sync.threads)
        sync.stop.set()
        eventually(lambda: pushed.running())
        time.sleep(0.2)  # the stop is seen within 50 ms
        hold.release()
    assert len(account.received) == sync.threads
    assert pairs(database) == {"Complete/Complete": sync.threads, "Selected/Queued": 60 - sync.threads}
    assert dict(pushed.result().outcomes) == {"synced": sync.threads, "released": 60 - sync.threads}


def test_an_answer_that_comes_after_its_contact_was_given_back_has_it_pushed_once_more(
    database: Database, account: Account, sync: Pushing
) -> None:
    ann = insert(database, "ann@example.com", name="Old")
    first = iter([True])
    with (
        account.faults.hold(lambda _: next(first, False), before_storing=True) as hold,
        sync.pushing() as pushed,
    ):
        hold.wait_for(1)
        sync.stop.set()
        eventually(lambda: sync.leases() == 0)
        sql(database, "UPDATE contacts SET name = 'New' WHERE id = :id", id=ann)
        later = sync.another()
        later.push_and_write_back()
        assert pair(database, ann) == ("Complete", "Complete")
        hold.release()
        pushed.result()
        stored = account.contact("ann@example.com")
        assert stored is not None
        assert stored.attributes["FIRSTNAME"] == "Old", "the late request has overwritten the newer one"
    assert pair(database, ann) == ("Queued", "Queued")
    assert [(attempt.outcome, attempt.applied) for attempt in attempts(database, ann)] == [
        ("synced", "fenced"),
        ("synced", "applied"),
    ]
    sync.another().push_and_write_back()
    stored = account.contact("ann@example.com")
    assert stored is not None
    assert stored.attributes["FIRSTNAME"] == "New"


class Buggy:
    """A CRM's module with a bug that shows at its n-th push."""

    def __init__(self, crm: Crm, at: int) -> None:
        self._crm = crm
        self._pushes = count(1)
        self._at = at

    def push(self, contacts: Sequence[Contact]) -> Answer:
        if next(self._pushes) == self._at:
            raise RuntimeError("a bug")
        return self._crm.push(contacts)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._crm, name)


def test_a_bug_in_a_thread_gives_everything_back_and_is_raised_when_all_threads_have_ended(
    database: Database, account: Account, sync: Pushing
) -> None:
    insert_many(database, 200)
    account.faults.latency_seconds = 0.05
    with pytest.raises(RuntimeError, match="a bug"):
        sync.another(crm=Buggy(sync.crm, at=20)).push()
    assert push_threads() == []
    assert sync.leases() == 0
    answered = len(account.received)
    assert 19 <= answered <= 20 + 2 * sync.threads, "the others send no more than what they had begun"
    assert pairs(database) == {"Complete/Complete": answered, "Selected/Queued": 200 - answered}


def test_a_bug_in_the_one_contact_that_goes_alone_gives_everything_back_too(
    database: Database, account: Account, sync: Pushing
) -> None:
    ann = insert(database, "ann@example.com")
    sql(database, "UPDATE crm_gate SET failures_in_a_row = 10 WHERE crm = 'brevo'")
    with pytest.raises(RuntimeError, match="a bug"):
        sync.another(crm=Buggy(sync.crm, at=1)).push()
    assert (push_threads(), sync.leases(), pair(database, ann)) == ([], 0, ("Selected", "Queued"))


def test_a_journal_that_cannot_be_written_stops_the_sending_and_is_raised_after_the_threads_have_ended(
    database: Database, account: Account, sync: Pushing, monkeypatch: pytest.MonkeyPatch
) -> None:
    insert_many(database, 300)
    account.faults.latency_seconds = 0.05
    sql(database, "ALTER TABLE crm_attempts ADD CONSTRAINT full_disk CHECK (false) NOT VALID")
    with pytest.raises(DatabaseFailure):
        sync.push()
    assert push_threads() == []
    assert len(account.received) < 150
    assert sync.leases() == 300, "the lease ends by itself"


def test_no_request_starts_with_less_lease_left_than_it_may_last(
    database: Database, account: Account, sync: Pushing
) -> None:
    insert_many(database, 60)
    ids = sync.due()
    account.faults.latency_seconds = 0.1
    sync.queue.claim(ids, sync.lease, RUN, sync.crm.limits.total_seconds + 5 + 1.0)
    claimed = time.monotonic()
    result = sync.another(threads=2, lease=sync.lease).push(ids)
    times = [at for at, _ in account.received]
    assert 2 <= len(times) <= 22
    assert max(times) - claimed <= 1.3, "a second, and its way to the server"
    assert dict(result.outcomes) == {"synced": len(times), "released": 60 - len(times)}
    assert result.stopped_because == "the lease is too short for another request"
    assert sync.leases() == 0


def test_a_lease_that_is_nearly_over_sends_nothing_at_all(database: Database, account: Account, sync: Pushing) -> None:
    insert_many(database, 5)
    ids = sync.due()
    sync.queue.claim(ids, sync.lease, RUN, sync.crm.limits.total_seconds + 4)
    result = sync.push(ids)
    assert (account.received, dict(result.outcomes)) == ([], {"released": 5})
    assert pairs(database) == {"Selected/Queued": 5}
