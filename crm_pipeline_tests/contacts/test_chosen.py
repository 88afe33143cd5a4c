"""What a person chooses at once: which pairs of statuses, and what became of them meanwhile."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest

from crm_pipeline.contacts.chosen import given_up, select_again
from crm_pipeline.contacts.queue import Queue
from crm_pipeline.contacts.statuses import PAIRS, Meaning
from crm_pipeline.contacts.which import Which
from crm_pipeline.model import SyncStatus
from crm_pipeline_tests.contacts.steps import answer, push
from crm_pipeline_tests.support.contacts import contact, insert, pair, pairs, sql

AT_REST = {meaning for meaning in Meaning if meaning is not Meaning.HELD}
CHOSEN = {
    Which.WANTED: {Meaning.DUE, Meaning.WISH, Meaning.WAITING},
    Which.GIVEN_UP: {Meaning.GIVEN_UP},
    Which.FAILED: {Meaning.GIVEN_UP, Meaning.WAITING},
    Which.COMPLETE: {Meaning.SYNCED},
    Which.EVERYONE: AT_REST,
    Which.NAMED: set(Meaning),
}


def one_of_each_pair(queue: Queue, **columns: str) -> dict[UUID, Meaning]:
    """Ids with what their statuses mean, without those that are Skipped."""
    ids = {
        insert(queue.database, f"{sync}-{processing}@example.com", sync, processing, **columns): (sync, meaning)
        for (sync, processing), meaning in PAIRS.items()
    }
    return {an_id: meaning for an_id, (sync, meaning) in ids.items() if sync is not SyncStatus.SKIPPED}


@pytest.mark.parametrize("which", Which)
def test_a_choice_selects_the_pairs_that_it_means_and_never_one_who_opted_out(queue: Queue, which: Which) -> None:
    meanings = one_of_each_pair(queue)
    everybody = [row.id for row in sql(queue.database, "SELECT id FROM contacts")]
    expected = {an_id for an_id, meaning in meanings.items() if meaning in CHOSEN[which]}
    before = {an_id: pair(queue.database, an_id) for an_id in everybody}
    assert select_again(queue, everybody, which) == len(expected)
    for an_id in everybody:
        assert pair(queue.database, an_id) == (("Selected", "Queued") if an_id in expected else before[an_id])


def test_what_was_given_up_is_listed_by_a_part_of_its_error_in_any_case(queue: Queue) -> None:
    one = insert(queue.database, "1@example.com", "Error", "Error", brevo_processing_error="Invalid PHONE number (400)")
    two = insert(queue.database, "2@example.com", "Error", None, brevo_processing_error="100% odd_text")
    three = insert(queue.database, "3@example.com", "Error", "Complete")
    insert(queue.database, "4@example.com", "Queued", "Error", brevo_processing_error="Invalid phone number (400)")
    assert set(given_up(queue)) == {one, two, three}
    assert given_up(queue, "invalid phone") == [one]
    assert given_up(queue, "100% ODD_") == [two]
    assert given_up(queue, "1_0") == []


def test_what_was_unselected_after_it_was_listed_stays_unwanted(queue: Queue) -> None:
    one = insert(queue.database, "1@example.com", "Error", "Error", brevo_processing_error="no")
    two = insert(queue.database, "2@example.com", "Error", "Error", brevo_processing_error="no")
    listed = given_up(queue)
    queue.unselect([one])
    assert select_again(queue, listed, Which.GIVEN_UP) == 1
    assert pairs(queue.database) == {"New/NULL": 1, "Selected/Queued": 1}
    assert contact(queue.database, two).brevo_processing_error is None


@pytest.mark.parametrize("which", [None, *Which])
def test_a_claim_takes_what_is_in_the_choice_and_keeps_what_was(queue: Queue, which: Which | None) -> None:
    meanings = {Meaning.DUE} if which is None else CHOSEN[which]
    for an_id, meaning in one_of_each_pair(queue).items():
        before = pair(queue.database, an_id)
        lease = uuid4()
        taken = queue.claim([an_id], lease, "a run", 600, which).contacts
        assert [one.id for one in taken] == ([an_id] if meaning in meanings else []), before
        queue.release(lease, "cancelled")
        assert pair(queue.database, an_id) == before


def test_a_backfill_resets_retries_where_a_sync_goes_on_with_them(queue: Queue) -> None:
    ann = insert(queue.database, "ann@example.com", "Queued", "Queued")
    sql(queue.database, "INSERT INTO crm_sync (contact_id, crm, retry_count) VALUES (:id, 'brevo', 2)", id=ann)
    lease = uuid4()
    (sync,) = queue.claim([ann], lease, "a run", 600).contacts
    queue.release(lease, "cancelled")
    (chosen,) = queue.claim([ann], uuid4(), "a run", 600, Which.WANTED).contacts
    assert (sync.attempt, chosen.attempt) == (3, 1)


def test_a_backfill_leaves_a_contact_that_another_holds_and_one_whose_address_is_in_flight(queue: Queue) -> None:
    ann, twin = (insert(queue.database, "ann@example.com", "Complete", "Complete") for _ in range(2))
    assert len(queue.claim([ann], uuid4(), "a run", 600, Which.COMPLETE).contacts) == 1
    sql(queue.database, "UPDATE contacts SET brevo_sync_status = 'Complete', brevo_processing_status = 'Complete'")
    assert queue.claim([ann, twin], uuid4(), "another", 600, Which.COMPLETE).contacts == []


def test_a_synced_contact_that_a_late_answer_met_under_a_backfill_is_queued_again_at_its_end(queue: Queue) -> None:
    ann = insert(queue.database, "ann@example.com")
    former = queue.claim([ann], uuid4(), "a run", -1)
    queue.reap()
    push(queue, ann)
    lease = uuid4()
    queue.claim([ann], lease, "a backfill", 600, Which.COMPLETE)
    answer(queue, former)
    queue.write_back(former.lease_id)
    queue.release(lease, "cancelled")
    assert pair(queue.database, ann) == ("Queued", "Queued")
