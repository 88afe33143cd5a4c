"""release and give_back: what was not pushed goes back to its prior statuses, and costs nothing."""

from __future__ import annotations

from dataclasses import replace
from uuid import uuid4

import pytest

from crm_pipeline.contacts.queue import Queue
from crm_pipeline.model import OutcomeKind, WriteBackCounts
from crm_pipeline_tests.contacts.steps import answer, backoffs_end, claim, leases_end, next_run, push
from crm_pipeline_tests.support.contacts import attempts, insert, mechanics, pair, sql

DUE = [("Selected", "Queued"), ("Queued", "Queued"), ("Complete", "Queued"), ("Error", "Queued")]


@pytest.mark.parametrize(("sync", "processing"), DUE)
def test_what_is_released_has_its_prior_statuses_again_and_is_due(queue: Queue, sync: str, processing: str) -> None:
    ann = insert(queue.database, "ann@example.com", sync, processing)
    batch = claim(queue, ann)
    assert queue.release(batch.lease_id, "the CRM asked for a pause") == WriteBackCounts(released=1)
    row = mechanics(queue.database, ann)
    assert pair(queue.database, ann) == (sync, processing)
    assert (row.lease_id, row.leased_until, row.run_id, row.claimed_fingerprint, row.crashes) == (*4 * [None], 0)
    (made,) = attempts(queue.database, ann)
    assert (made.outcome, made.applied, made.note) == ("released", "applied", "the CRM asked for a pause")
    assert next_run(queue) == [ann]


def test_a_release_counts_no_attempt_and_keeps_retries_and_crashes(queue: Queue) -> None:
    ann = insert(queue.database, "ann@example.com")
    push(queue, ann, kind=OutcomeKind.FAILED, error="no")
    backoffs_end(queue.database)
    queue.promote()
    claim(queue, ann)
    leases_end(queue.database)
    queue.reap()
    for _ in range(10):
        queue.release(claim(queue, ann).lease_id, "paused")
    row = mechanics(queue.database, ann)
    assert (row.retry_count, row.crashes) == (1, 1)
    assert [taken.attempt for taken in claim(queue, ann).contacts] == [2]


def test_what_was_journalled_is_applied_and_only_the_rest_released(queue: Queue) -> None:
    ann, bob = insert(queue.database, "ann@example.com"), insert(queue.database, "bob@example.com")
    batch = claim(queue, ann, bob)
    answer(queue, replace(batch, contacts=[taken for taken in batch.contacts if taken.id == ann]))
    assert queue.release(batch.lease_id, "paused") == WriteBackCounts(synced=1, released=1)
    assert pair(queue.database, ann) == ("Complete", "Complete")
    assert pair(queue.database, bob) == ("Selected", "Queued")


def test_what_a_person_wrote_meanwhile_is_left_and_only_the_lease_ends(queue: Queue) -> None:
    ann = insert(queue.database, "ann@example.com")
    batch = claim(queue, ann)
    queue.unselect([ann])
    assert queue.release(batch.lease_id, "paused") == WriteBackCounts(released=1)
    assert pair(queue.database, ann) == ("New", None)
    assert mechanics(queue.database, ann).lease_id is None
    assert [made.applied for made in attempts(queue.database, ann)] == ["overruled"]


def test_an_edit_during_a_push_that_is_released_is_pushed_as_it_is_then(queue: Queue) -> None:
    ann = insert(queue.database, "ann@example.com", name="Ann")
    batch = claim(queue, ann)
    sql(queue.database, "UPDATE contacts SET name = 'Bob'")
    queue.release(batch.lease_id, "paused")
    (taken,) = claim(queue, ann).contacts
    assert taken.name == "Bob"


def test_a_second_release_and_one_of_an_unknown_lease_change_nothing(queue: Queue) -> None:
    ann = insert(queue.database, "ann@example.com")
    batch = claim(queue, ann)
    queue.release(batch.lease_id, "paused")
    again = claim(queue, ann)
    assert queue.release(batch.lease_id, "paused") == WriteBackCounts()
    assert queue.release(uuid4(), "paused") == WriteBackCounts()
    assert mechanics(queue.database, ann).lease_id == again.lease_id


def test_more_contacts_than_one_transaction_takes_are_all_released(queue: Queue) -> None:
    sql(
        queue.database,
        "INSERT INTO contacts (email, brevo_sync_status, brevo_processing_status) "
        "SELECT n || '@example.com', 'Selected', 'Queued' FROM generate_series(1, 2001) n",
    )
    batch = claim(queue, *next_run(queue, 2001))
    assert queue.release(batch.lease_id, "paused") == WriteBackCounts(released=2001)


def test_giving_back_a_run_ends_all_its_leases_and_no_other(queue: Queue) -> None:
    ann, bob, cas = (insert(queue.database, f"{name}@example.com") for name in ("ann", "bob", "cas"))
    claim(queue, ann, run_id="run 1")
    answered = claim(queue, bob, run_id="run 1")
    answer(queue, answered)
    other = claim(queue, cas, run_id="run 2")
    assert queue.give_back("run 1", "the run failed", crashed=False) == WriteBackCounts(synced=1, released=1)
    assert pair(queue.database, ann) == ("Selected", "Queued")
    assert pair(queue.database, bob) == ("Complete", "Complete")
    assert mechanics(queue.database, cas).lease_id == other.lease_id
    assert mechanics(queue.database, ann).crashes == 0


def test_giving_back_twice_counts_one_crash(queue: Queue) -> None:
    ann = insert(queue.database, "ann@example.com")
    claim(queue, ann, run_id="run 1")
    assert queue.give_back("run 1", "the run failed", crashed=True) == WriteBackCounts(crashed=1)
    assert queue.give_back("run 1", "the run failed", crashed=True) == WriteBackCounts()
    assert mechanics(queue.database, ann).crashes == 1


def test_a_worker_that_still_lives_after_its_run_was_given_back_is_fenced(queue: Queue) -> None:
    ann = insert(queue.database, "ann@example.com")
    batch = claim(queue, ann, run_id="run 1")
    queue.give_back("run 1", "the run was cancelled", crashed=False)
    second = claim(queue, ann, run_id="run 2")
    answer(queue, batch)
    assert queue.release(batch.lease_id, "stopped") == WriteBackCounts(fenced=1)
    assert mechanics(queue.database, ann).lease_id == second.lease_id
