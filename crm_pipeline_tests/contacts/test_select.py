"""select and unselect: a person's wish, at rest and during a push."""

from __future__ import annotations

from uuid import UUID, uuid4

from crm_pipeline.contacts.queue import Queue
from crm_pipeline.contacts.statuses import PAIRS
from crm_pipeline.model import OutcomeKind
from crm_pipeline_tests.contacts.steps import answer, claim, next_run, push
from crm_pipeline_tests.support.contacts import attempts, contact, insert, mechanics, pair, pairs, sql

FAILED = OutcomeKind.FAILED


def _one_of_each_pair(queue: Queue) -> list[UUID]:
    for sync, processing in PAIRS:
        insert(queue.database, f"{sync}-{processing}@example.com", sync, processing, brevo_processing_error="because")
    return [row.id for row in sql(queue.database, "SELECT id FROM contacts")]


def test_selecting_makes_any_pair_selected_and_queued_and_clears_its_error(queue: Queue) -> None:
    assert queue.select(_one_of_each_pair(queue)) == len(PAIRS)
    assert pairs(queue.database) == {"Selected/Queued": len(PAIRS)}
    assert sql(queue.database, "SELECT 1 FROM contacts WHERE brevo_processing_error IS NOT NULL") == []


def test_unselecting_makes_any_pair_new(queue: Queue) -> None:
    assert queue.unselect(_one_of_each_pair(queue)) == len(PAIRS)
    assert pairs(queue.database) == {"New/NULL": len(PAIRS)}
    assert next_run(queue) == []


def test_selecting_twice_is_selecting_once(queue: Queue) -> None:
    ann = insert(queue.database, "ann@example.com", "New", None)
    queue.select([ann])
    queue.select([ann])
    push(queue, ann)
    assert len(attempts(queue.database, ann)) == 1
    assert next_run(queue) == []


def test_selecting_and_unselecting_count_the_contacts_that_there_are(queue: Queue) -> None:
    ann = insert(queue.database, "ann@example.com")
    assert queue.select([ann, uuid4()]) == 1
    assert queue.unselect([ann, uuid4()]) == 1


def test_unselecting_forgets_the_retry_of_this_crm_and_leaves_that_of_another(queue: Queue) -> None:
    database = queue.database
    ann, bob = insert(database, "ann@example.com"), insert(database, "bob@example.com")
    push(queue, ann, kind=FAILED, error="because")
    push(queue, bob, kind=FAILED, error="because")
    sql(database, "UPDATE contacts SET last_failed_crm = 'hubspot' WHERE id = :id", id=bob)
    queue.unselect([ann, bob])
    assert mechanics(database, ann).next_retry_at is mechanics(database, bob).next_retry_at is None
    assert contact(database, ann).next_retry_at is None
    assert contact(database, bob).next_retry_at is not None


def test_a_contact_selected_during_its_push_is_left_so_and_pushed_again(queue: Queue) -> None:
    database = queue.database
    ann = insert(database, "ann@example.com")
    batch = claim(queue, ann)
    queue.select([ann])
    assert next_run(queue) == [], "its push is still under way"
    answer(queue, batch, external_id="7")
    assert queue.write_back(batch.lease_id).overruled == 1
    assert pair(database, ann) == ("Selected", "Queued")
    assert contact(database, ann).brevo_contact_id == "7", "what the CRM got is noted"
    assert mechanics(database, ann).lease_id is None
    assert [row.applied for row in attempts(database, ann)] == ["overruled"]
    assert next_run(queue) == [ann]


def test_a_contact_unselected_during_its_push_is_left_so_and_never_pushed_again(queue: Queue) -> None:
    database = queue.database
    ann = insert(database, "ann@example.com")
    batch = claim(queue, ann)
    queue.unselect([ann])
    answer(queue, batch, FAILED, error="because")
    assert queue.write_back(batch.lease_id).overruled == 1
    assert pair(database, ann) == ("New", None)
    assert mechanics(database, ann).next_retry_at is None
    assert next_run(queue) == []
