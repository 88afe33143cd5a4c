"""The address that a push was tried with is not forgotten: there the CRM may have the contact."""

from __future__ import annotations

from uuid import UUID

import pytest

from crm_pipeline.contacts.orphans import orphans
from crm_pipeline.contacts.queue import Queue
from crm_pipeline.model import Batch, OutcomeKind
from crm_pipeline_tests.contacts.steps import answer, backoffs_end, claim, leases_end, next_run, push
from crm_pipeline_tests.support.contacts import insert, sql

WRONG, RIGHT = "wrong@example.com", "right@example.com"
LOST = {"kind": OutcomeKind.FAILED, "error": "no answer", "external_id": WRONG}
SELECTED = ", brevo_sync_status = 'Selected', brevo_processing_status = 'Queued'"


def crashed(queue: Queue, ann: UUID) -> Batch:
    """The process that had claimed it died; its batch."""
    batch = claim(queue, ann)
    leases_end(queue.database)
    queue.reap()
    return batch


@pytest.mark.parametrize("selected", ["", SELECTED])
def test_after_a_lost_answer_it_is_known_however_the_address_is_corrected(queue: Queue, selected: str) -> None:
    ann = insert(queue.database, WRONG)
    batch = claim(queue, ann)
    answer(queue, batch, **LOST)  # type: ignore[arg-type]
    sql(queue.database, f"UPDATE contacts SET email = :email{selected}", email=RIGHT)
    queue.write_back(batch.lease_id)
    (taken,) = claim(queue, *next_run(queue)).contacts
    assert (taken.email, taken.external_id) == (RIGHT, WRONG)


@pytest.mark.parametrize("times", [1, 5])
def test_after_a_crash_it_is_known_to_the_next_push_under_another_address(queue: Queue, times: int) -> None:
    ann = insert(queue.database, " Wrong@Example.com")
    for _ in range(times):
        (taken,) = crashed(queue, ann).contacts
        assert taken.tried_address is None, "it is the present one"
    sql(queue.database, "UPDATE contacts SET email = :email", email=RIGHT)
    queue.select([ann])
    batch = claim(queue, *next_run(queue))
    again = claim(queue, ann, lease_id=batch.lease_id)
    for (taken,) in (batch.contacts, again.contacts):
        assert (taken.email, taken.external_id, taken.tried_address) == (RIGHT, None, WRONG)


@pytest.mark.parametrize("selected", ["", SELECTED])
def test_after_a_crash_it_is_known_although_the_address_was_corrected_before_the_crash_was_noticed(
    queue: Queue, selected: str
) -> None:
    ann = insert(queue.database, WRONG)
    claim(queue, ann)
    sql(queue.database, f"UPDATE contacts SET email = :email{selected}", email=RIGHT)
    leases_end(queue.database)
    (taken,) = claim(queue, *next_run(queue)).contacts
    assert (taken.id, taken.tried_address) == (ann, WRONG)


def test_after_a_crash_and_a_push_that_was_answered_nothing_was_tried_in_vain(queue: Queue) -> None:
    ann = insert(queue.database, WRONG)
    crashed(queue, ann)
    push(queue, ann, external_id=WRONG)
    sql(queue.database, "UPDATE contacts SET email = :email", email=RIGHT)
    queue.select([ann])
    (taken,) = claim(queue, ann).contacts
    assert (taken.external_id, taken.tried_address) == (WRONG, None)


def test_what_was_released_unsent_was_not_tried(queue: Queue) -> None:
    ann = insert(queue.database, WRONG)
    crashed(queue, ann)
    sql(queue.database, "DELETE FROM crm_attempts")
    queue.release(claim(queue, ann).lease_id, "paused")
    sql(queue.database, "UPDATE contacts SET email = :email", email=RIGHT)
    (taken,) = claim(queue, ann).contacts
    assert (taken.external_id, taken.tried_address) == (None, None)


def test_an_address_that_a_lost_renaming_may_have_left_is_listed_once_the_contact_has_another(queue: Queue) -> None:
    ann = insert(queue.database, WRONG, brevo_contact_id="old@example.com")
    batch = claim(queue, ann)
    answer(queue, batch, OutcomeKind.FAILED, error="no answer", left_behind=WRONG)
    queue.write_back(batch.lease_id)
    assert orphans(queue) == [], "it is the contact's own, and is pushed again"
    sql(queue.database, "UPDATE contacts SET email = :email", email=RIGHT)
    assert [row.address for row in orphans(queue)] == [WRONG]


def test_a_renaming_that_succeeds_when_it_is_tried_again_leaves_nothing(queue: Queue) -> None:
    ann = insert(queue.database, WRONG, brevo_contact_id="old@example.com")
    batch = claim(queue, ann)
    answer(queue, batch, OutcomeKind.FAILED, error="no answer", left_behind=WRONG)
    queue.write_back(batch.lease_id)
    backoffs_end(queue.database)
    next_run(queue)
    push(queue, ann, external_id=WRONG)
    sql(queue.database, "UPDATE contacts SET email = :email", email=RIGHT)
    assert orphans(queue) == [], "it is looked at before the next renaming"
