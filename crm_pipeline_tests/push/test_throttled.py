"""A CRM that asks for a pause gets it, from everyone, and no contact pays for it with an attempt."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from crm_pipeline.database.engine import Database
from crm_pipeline.model import News, NewsKind
from crm_pipeline.sandbox.account import Account
from crm_pipeline_tests.push.pushing import RUN, Pushing, eventually
from crm_pipeline_tests.support.contacts import attempts, contact, insert, insert_many, mechanics, pair, pairs, sql

Refusal = tuple[int, Any, dict[str, str]]


def throttling(times: int, **headers: str) -> Callable[[str], Refusal | None]:
    """429 to the first so many requests."""
    left = iter(range(times))
    lock = threading.Lock()
    named = {name.replace("_", "-"): value for name, value in headers.items()}

    def answer(_address: str) -> Refusal | None:
        with lock:
            return None if next(left, None) is None else (429, {"code": "too_many", "message": "slow down"}, named)

    return answer


def test_a_429_is_waited_out_and_sent_again_and_burns_no_attempt(
    database: Database, account: Account, sync: Pushing
) -> None:
    ann = insert(database, "ann@example.com")
    account.faults.answer = throttling(1, Retry_After="1")
    result = sync.push_and_write_back()
    assert dict(result.outcomes) == {"synced": 1}
    first, second = (at for at, _ in account.received)
    assert 0.95 <= second - first < 3
    (attempt,) = attempts(database, ann)
    assert (attempt.outcome, attempt.attempt) == ("synced", 1)
    assert attempt.note == "sent again after 1 pauses that the CRM asked for"
    assert contact(database, ann).retry_count == 0
    assert pair(database, ann) == ("Complete", "Complete")


@contextmanager
def during_the_pause(database: Database, account: Account, sync: Pushing, seconds: int) -> Iterator[Pushing]:
    """The first push met a 429; what is done in the block happens while all wait. Then all are pushed."""
    account.faults.answer = throttling(1, Retry_After=str(seconds))
    run = sync.another(threads=1)
    with run.pushing() as pushed:
        eventually(lambda: sync.gate.state().paused)
        yield run
        pushed.result()
    run.queue.write_back(run.lease)


def test_those_that_are_unselected_during_a_pause_are_not_pushed(
    database: Database, account: Account, sync: Pushing
) -> None:
    insert_many(database, 40)
    with during_the_pause(database, account, sync, 3) as run:
        gone = run.queue.unselect([row.id for row in sql(database, "SELECT id FROM contacts ORDER BY id LIMIT 35")])
    assert (gone, len(account.contacts())) == (35, 5)
    assert pairs(database) == {"New/NULL": 35, "Complete/Complete": 5}
    assert sync.leases() == 0


def test_what_is_edited_during_a_pause_is_sent_as_it_is_then(
    database: Database, account: Account, sync: Pushing
) -> None:
    ann = insert(database, "ann@example.com", name="Ann")
    with during_the_pause(database, account, sync, 3):
        sql(database, "UPDATE contacts SET name = 'Anna'")
    stored = account.contact("ann@example.com")
    assert stored is not None
    assert stored.attributes["FIRSTNAME"] == "Anna"
    assert attempts(database, ann)[0].attempt == 1


def test_a_push_goes_on_at_once_when_a_pause_has_ended(database: Database, account: Account, sync: Pushing) -> None:
    insert_many(database, 30)
    account.faults.answer = throttling(1, Retry_After="3")
    result = sync.push_and_write_back()
    assert (dict(result.outcomes), result.stopped_because, result.claimed) == ({"synced": 30}, None, 30)
    times = [at for at, _ in account.received]
    begin = times[0]
    after = [at - begin for at in times if at - begin > 1]
    assert 2.95 <= after[0] < 3.5
    assert pairs(database) == {"Complete/Complete": 30}


def test_a_pause_is_waited_out_before_anything_is_claimed(database: Database, account: Account, sync: Pushing) -> None:
    insert_many(database, 2)
    sync.gate.tell(News(NewsKind.THROTTLED, "slow down", 1.5))
    with sync.pushing() as pushed:
        assert sync.leases() == 0
        sql(database, "UPDATE contacts SET name = 'New'")
        assert dict(pushed.result().outcomes) == {"synced": 2}
    sync.queue.write_back(sync.lease)
    assert pairs(database) == {"Complete/Complete": 2}


def test_a_stop_during_a_pause_gives_everything_back(database: Database, account: Account, sync: Pushing) -> None:
    insert_many(database, 5)
    with during_the_pause(database, account, sync, 30) as run:
        run.stop.set()
    assert (pairs(database), sync.leases()) == ({"Selected/Queued": 5}, 0)


def test_nobody_sends_during_a_pause_and_there_is_no_burst_after_it(
    database: Database, account: Account, sync: Pushing
) -> None:
    insert_many(database, 30)
    account.faults.answer = throttling(1, Retry_After="1")
    result = sync.push()
    assert dict(result.outcomes) == {"synced": 30}
    times = [at for at, _ in account.received]
    gap = max(range(1, len(times)), key=lambda i: times[i] - times[i - 1])
    assert gap <= 2 * sync.threads, "what was in flight, and what was sent before the 429 was read"
    assert times[gap] - times[0] >= 0.95
    assert len(times) == 31


def test_a_long_pause_gives_the_rest_back_as_it_was(database: Database, account: Account, sync: Pushing) -> None:
    wanted = [("Selected", "Queued"), ("Queued", "Queued"), ("Complete", "Queued"), ("Error", "Queued")]
    ids = {insert(database, f"{i}@example.com", *wanted[i % 4]): wanted[i % 4] for i in range(40)}
    retried = insert(database, "again@example.com", "Queued", "Queued", retry_count=2, last_failed_crm="brevo")
    account.faults.answer = throttling(1000, Retry_After="1800")
    result = sync.push()
    assert dict(result.outcomes) == {"released": 41}
    assert "asks for a pause: slow down (too_many, HTTP 429)" in str(result.stopped_because)
    assert {an_id: pair(database, an_id) for an_id in ids} == ids
    assert contact(database, retried).retry_count == 2
    assert mechanics(database, retried).retry_count == 2
    assert sync.leases() == 0
    assert len(account.received) <= sync.threads
    assert 1700 < sync.gate.state().paused_seconds <= 1800


def test_a_pause_that_outlasts_the_lease_gives_the_rest_back_at_once(
    database: Database, account: Account, sync: Pushing
) -> None:
    insert_many(database, 5)
    ids = sync.due()
    sync.queue.claim(ids, sync.lease, RUN, sync.crm.limits.total_seconds + 10)
    account.faults.answer = throttling(1000, Retry_After="40")
    result = sync.push(ids)
    assert (dict(result.outcomes), result.stopped_because) == (
        {"released": 5},
        "the pause lasts longer than the lease",
    )
    assert pairs(database) == {"Selected/Queued": 5}


def test_a_storm_of_429s_ends_with_the_lease_and_moves_nobody(
    database: Database, account: Account, sync: Pushing
) -> None:
    insert_many(database, 3)
    ids = sync.due()
    sync.queue.claim(ids, sync.lease, RUN, sync.crm.limits.total_seconds + 6.5)
    account.faults.answer = throttling(1000, Retry_After="1")
    result = sync.push(ids)
    assert dict(result.outcomes) == {"released": 3}
    assert pairs(database) == {"Selected/Queued": 3}
    assert 3 <= len(account.received) <= 6


def test_a_batch_claims_nothing_during_a_long_pause_and_gives_back_what_an_earlier_try_had_claimed(
    database: Database, account: Account, sync: Pushing
) -> None:
    insert_many(database, 5)
    ids = sync.due()
    sync.queue.claim(ids[:3], sync.lease, RUN, 120)
    account.faults.answer = throttling(1000, Retry_After="300")
    waiting = sync.another()
    waiting.push(ids[3:])
    sent = len(account.received)
    result = sync.push(ids)
    assert (result.claimed, dict(result.outcomes)) == (0, {})
    assert "asks for a pause" in str(result.stopped_because)
    assert len(account.received) == sent
    assert (sync.leases(), pairs(database)) == (0, {"Selected/Queued": 5})
