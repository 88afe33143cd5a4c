"""take_back: a Processing status without a lease was left behind, and is due again."""

from __future__ import annotations

from uuid import UUID

import pytest

from crm_pipeline.contacts.queue import AT_ONCE, Queue
from crm_pipeline.contacts.statuses import PAIRS, Meaning
from crm_pipeline_tests.contacts.races import holding
from crm_pipeline_tests.contacts.steps import claim, leases_end
from crm_pipeline_tests.support.contacts import insert, mechanics, pair, pairs, sql

HELD = [found for found, meaning in PAIRS.items() if meaning is Meaning.HELD]


@pytest.fixture
def left(queue: Queue) -> UUID:
    """A contact that was left behind."""
    return insert(queue.database, "ann@example.com", "Processing", "Processing")


def test_each_pair_without_a_lease_is_due_again_as_the_table_says(queue: Queue) -> None:
    ids = {
        insert(queue.database, f"{sync}-{processing}@example.com", sync, processing): sync for sync, processing in HELD
    }
    assert queue.left_behind()
    assert queue.take_back() == len(HELD) == 9
    for contact_id, sync in ids.items():
        assert pair(queue.database, contact_id) == ("Queued" if sync == "Processing" else sync, "Queued")
    assert not queue.left_behind()


def test_what_is_under_a_lease_is_left_even_when_that_is_over(queue: Queue) -> None:
    ann = insert(queue.database, "ann@example.com")
    batch = claim(queue, ann)
    assert queue.take_back(always=True) == 0
    leases_end(queue.database)
    assert not queue.left_behind()
    assert queue.take_back(always=True) == 0, "that is the reaper's"
    assert mechanics(queue.database, ann).lease_id == batch.lease_id


@pytest.mark.parametrize("sync", ["New", "Skipped"])
def test_what_nobody_wants_is_left(queue: Queue, sync: str) -> None:
    ann = insert(queue.database, "ann@example.com", sync, "Processing")
    assert not queue.left_behind()
    assert queue.take_back(always=True) == 0
    assert pair(queue.database, ann) == (sync, "Processing")


def test_the_table_is_scanned_at_most_every_5_minutes_unless_asked_to(queue: Queue, left: UUID) -> None:
    assert queue.take_back() == 1
    sql(queue.database, "UPDATE contacts SET brevo_sync_status = 'Processing', brevo_processing_status = 'Processing'")
    assert queue.take_back() == 0
    sql(queue.database, "UPDATE crm_gate SET taken_back_at = now() - interval '301 seconds' WHERE crm = 'brevo'")
    assert queue.take_back() == 1
    sql(queue.database, "UPDATE contacts SET brevo_sync_status = 'Processing', brevo_processing_status = 'Processing'")
    assert queue.take_back(always=True) == 1


def test_a_lost_gate_row_does_not_strand_what_was_left_behind(queue: Queue, left: UUID) -> None:
    sql(queue.database, "DELETE FROM crm_gate")
    assert queue.take_back(always=True) == 1


def test_looking_for_what_was_left_behind_waits_neither_for_claims_nor_holds_them_up(queue: Queue) -> None:
    with holding(queue.database, queue.statements.sql("lock_claims", "queries"), crm="brevo"):
        assert queue.take_back(always=True) == 0


def test_a_contact_that_somebody_has_locked_is_taken_back_next_time(queue: Queue, left: UUID) -> None:
    with holding(queue.database, "SELECT 1 FROM contacts WHERE id = :id FOR UPDATE", id=left):
        assert queue.take_back(always=True) == 0
    assert queue.take_back(always=True) == 1


def test_more_than_one_transaction_takes_is_all_taken_back(queue: Queue) -> None:
    sql(
        queue.database,
        "INSERT INTO contacts (email, brevo_sync_status, brevo_processing_status) "
        "SELECT n || '@example.com', 'Processing', 'Processing' FROM generate_series(1, :count) n",
        count=AT_ONCE + 1,
    )
    assert queue.take_back() == AT_ONCE + 1
    assert pairs(queue.database) == {"Queued/Queued": AT_ONCE + 1}
