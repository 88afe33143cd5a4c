"""reap: leases that are over are ended; a contact that kills its process is taken alone, and given up in the end."""

from __future__ import annotations

from uuid import UUID

import pytest

from crm_pipeline.contacts.queue import ALONE_AT_CRASHES, GIVE_UP_AT_CRASHES, Queue
from crm_pipeline.model import OutcomeKind, WriteBackCounts
from crm_pipeline_tests.contacts.steps import answer, claim, leases_end, next_run, push
from crm_pipeline_tests.support.contacts import attempts, contact, insert, mechanics, pair

CRASHED = WriteBackCounts(crashed=1)
FAILED = OutcomeKind.FAILED


def dies(queue: Queue, contact_id: UUID) -> WriteBackCounts:
    """Its process is killed while it pushes the contact."""
    assert claim(queue, contact_id).contacts
    leases_end(queue.database)
    return queue.reap()


def test_a_lease_that_is_not_over_is_left(queue: Queue) -> None:
    ann = insert(queue.database, "ann@example.com")
    batch = claim(queue, ann)
    assert queue.reap() == WriteBackCounts()
    assert mechanics(queue.database, ann).lease_id == batch.lease_id


@pytest.mark.parametrize("sync", ["Selected", "Queued", "Complete", "Error"])
def test_what_a_dead_process_held_has_its_prior_statuses_again_with_one_crash(queue: Queue, sync: str) -> None:
    ann = insert(queue.database, "ann@example.com", sync, "Queued")
    assert dies(queue, ann) == CRASHED
    row = mechanics(queue.database, ann)
    assert pair(queue.database, ann) == (sync, "Queued")
    assert (row.crashes, row.retry_count, row.lease_id) == (1, 0, None)
    (made,) = attempts(queue.database, ann)
    assert (made.outcome, made.applied, made.run_id) == ("released", "applied", "a run")
    assert made.note == "the lease was over: the process died or hung"
    assert next_run(queue) == [ann]


@pytest.mark.parametrize("kind", [kind for kind in OutcomeKind if kind is not OutcomeKind.RELEASED])
def test_an_answer_that_was_journalled_is_applied_instead(queue: Queue, kind: OutcomeKind) -> None:
    ann = insert(queue.database, "ann@example.com")
    answer(queue, claim(queue, ann), kind, error="because")
    leases_end(queue.database)
    assert queue.reap() == WriteBackCounts(**{kind.value: 1})
    assert mechanics(queue.database, ann).crashes == 0
    assert len(attempts(queue.database, ann)) == 1


def test_a_person_who_wrote_a_status_before_the_crash_is_heard(queue: Queue) -> None:
    ann = insert(queue.database, "ann@example.com")
    claim(queue, ann)
    queue.unselect([ann])
    leases_end(queue.database)
    assert queue.reap() == CRASHED
    assert pair(queue.database, ann) == ("New", None)
    assert mechanics(queue.database, ann).lease_id is None


def test_a_crash_takes_no_retry(queue: Queue) -> None:
    ann = insert(queue.database, "ann@example.com", "Queued", "Queued")
    for _ in range(GIVE_UP_AT_CRASHES - 1):
        dies(queue, ann)
    assert mechanics(queue.database, ann).retry_count == 0
    assert push(queue, ann, kind=FAILED, error="no").failed == 1


def test_from_two_crashes_on_a_contact_is_taken_alone_and_after_five_given_up(queue: Queue) -> None:
    database = queue.database
    ann, bob = insert(database, "ann@example.com"), insert(database, "bob@example.com")
    for crash in range(1, GIVE_UP_AT_CRASHES + 1):
        assert dies(queue, ann) == CRASHED
        assert mechanics(database, ann).crashes == crash
        together = claim(queue, ann, bob)
        assert {taken.id for taken in together.contacts} == ({bob} if crash >= ALONE_AT_CRASHES else {ann, bob})
        queue.release(together.lease_id, "paused")
    row = contact(database, ann)
    assert pair(database, ann) == ("Error", "Error")
    assert "process died 5 times" in row.brevo_processing_error
    assert (row.next_retry_at, row.last_failed_crm) == (None, "brevo")
    assert mechanics(database, ann).lease_id is None
    assert next_run(queue) == [bob]


def test_given_up_for_its_crashes_and_asked_for_again_it_has_one_push_alone(queue: Queue) -> None:
    database = queue.database
    ann, bob = insert(database, "ann@example.com"), insert(database, "bob@example.com")
    for _ in range(GIVE_UP_AT_CRASHES):
        dies(queue, ann)
    queue.select([ann])
    assert [taken.id for taken in claim(queue, ann, bob).contacts] == [bob]
    dies(queue, ann)
    assert pair(database, ann) == ("Error", "Error"), "one push, and it died again"
    queue.select([ann])
    assert push(queue, ann) == WriteBackCounts(synced=1)
    assert mechanics(database, ann).crashes == 0, "a write-back forgets them"


def test_a_person_who_asks_again_does_not_reset_the_crashes(queue: Queue) -> None:
    ann = insert(queue.database, "ann@example.com")
    for _ in range(ALONE_AT_CRASHES):
        dies(queue, ann)
    queue.unselect([ann])
    queue.select([ann])
    queue.release(claim(queue, ann).lease_id, "paused")
    assert mechanics(queue.database, ann).crashes == ALONE_AT_CRASHES


def test_a_fifth_crash_leaves_what_a_person_wrote_meanwhile(queue: Queue) -> None:
    ann = insert(queue.database, "ann@example.com")
    for _ in range(GIVE_UP_AT_CRASHES - 1):
        dies(queue, ann)
    claim(queue, ann)
    queue.select([ann])
    leases_end(queue.database)
    assert queue.reap() == CRASHED
    assert pair(queue.database, ann) == ("Selected", "Queued")


def test_all_leases_of_a_large_crash_are_reaped_at_once(queue: Queue) -> None:
    ids = [insert(queue.database, f"{n}@example.com") for n in range(30)]
    for contact_id in ids:
        claim(queue, contact_id)
    leases_end(queue.database)
    assert queue.reap() == WriteBackCounts(crashed=30)
    assert queue.reap() == WriteBackCounts()
