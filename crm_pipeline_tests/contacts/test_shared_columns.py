"""retry_count, last_retry_at, next_retry_at and last_failed_crm describe the CRM that failed last, and no other."""

from __future__ import annotations

from typing import Any

import pytest

from crm_pipeline.contacts.answers import RetryPolicy
from crm_pipeline.contacts.columns import CrmColumns
from crm_pipeline.contacts.queue import Queue
from crm_pipeline.database.engine import Database
from crm_pipeline.model import OutcomeKind
from crm_pipeline_tests.contacts.steps import answer, claim, leases_end, push
from crm_pipeline_tests.support.contacts import contact, insert, sql

FAILED = OutcomeKind.FAILED


@pytest.fixture
def other(database: Database) -> Queue:
    """The queue of a second CRM over the same contacts."""
    return Queue(database, CrmColumns("hubspot", "hubspot_contact_id"), RetryPolicy(), "other.example.com")


def shared(queue: Queue) -> tuple[Any, ...]:
    """The four columns of the one contact."""
    (row,) = sql(queue.database, "SELECT retry_count, last_retry_at, next_retry_at, last_failed_crm FROM contacts")
    return tuple(row)


def wanted_by_both(queue: Queue, other: Queue) -> Any:
    ann = insert(queue.database, "ann@example.com")
    other.select([ann])
    return ann


def test_the_crm_that_failed_last_writes_them(queue: Queue, other: Queue) -> None:
    ann = wanted_by_both(queue, other)
    push(queue, ann, kind=FAILED, error="no")
    push(other, ann, kind=FAILED, error="neither")
    queue.select([ann])
    assert shared(queue)[3] == "hubspot"
    push(queue, ann, kind=FAILED, error="no")
    assert (shared(queue)[0], shared(queue)[3]) == (1, "brevo")


@pytest.mark.parametrize("kind", [OutcomeKind.SYNCED, OutcomeKind.SKIPPED])
def test_another_crms_good_end_leaves_them(queue: Queue, other: Queue, kind: OutcomeKind) -> None:
    ann = wanted_by_both(queue, other)
    push(other, ann, kind=FAILED, error="no")
    before = shared(queue)
    push(queue, ann, kind=kind)
    assert shared(queue) == before
    assert before[3] == "hubspot"


def test_its_own_success_clears_them(queue: Queue, other: Queue) -> None:
    ann = wanted_by_both(queue, other)
    push(queue, ann, kind=FAILED, error="no")
    push(other, ann)
    queue.select([ann])
    push(queue, ann)
    assert shared(queue) == (0, None, None, None)


def test_an_edit_during_another_crms_push_leaves_them(queue: Queue, other: Queue) -> None:
    ann = wanted_by_both(queue, other)
    push(other, ann, kind=FAILED, error="no")
    before = shared(queue)
    batch = claim(queue, ann)
    sql(queue.database, "UPDATE contacts SET name = 'Ann'")
    answer(queue, batch)
    assert queue.write_back(batch.lease_id).edited == 1
    assert shared(queue) == before


def test_neither_release_nor_reap_touches_them(queue: Queue, other: Queue) -> None:
    ann = wanted_by_both(queue, other)
    push(other, ann, kind=FAILED, error="no")
    before = shared(queue)
    queue.release(claim(queue, ann).lease_id, "paused")
    claim(queue, ann)
    leases_end(queue.database)
    queue.reap()
    assert shared(queue) == before


def test_a_retry_of_one_crm_waits_by_its_own_time_although_another_failed_later(queue: Queue, other: Queue) -> None:
    ann = wanted_by_both(queue, other)
    push(queue, ann, kind=FAILED, error="no")
    push(other, ann, kind=FAILED, error="no")
    sql(queue.database, "UPDATE contacts SET next_retry_at = now() - interval '1 hour'")
    assert queue.promote() == 0, "that time is the other CRM's"
    assert other.promote() == 1
    sql(queue.database, "UPDATE crm_sync SET next_retry_at = now() - interval '1 hour' WHERE crm = 'brevo'")
    assert queue.promote() == 1
    assert [taken.attempt for taken in claim(queue, ann).contacts] == [2]


def test_one_crms_events_change_nothing_of_another(queue: Queue, other: Queue) -> None:
    database = queue.database
    ann = wanted_by_both(queue, other)
    theirs = claim(other, ann)
    columns = "hubspot_sync_status, hubspot_processing_status, hubspot_processing_error, hubspot_contact_id"
    mechanics = "SELECT * FROM crm_sync WHERE crm = 'hubspot'"
    before = sql(database, f"SELECT {columns} FROM contacts"), sql(database, mechanics)
    for kind in (FAILED, OutcomeKind.BLOCKED, OutcomeKind.REJECTED, OutcomeKind.SKIPPED, OutcomeKind.SYNCED):
        push(queue, ann, kind=kind, external_id="7")
        queue.select([ann])
    queue.release(claim(queue, ann).lease_id, "paused")
    claim(queue, ann)
    sql(database, "UPDATE crm_sync SET leased_until = now() - interval '1 second' WHERE crm = 'brevo'")
    queue.reap()
    queue.unselect([ann])
    queue.take_back(always=True)
    queue.promote()
    assert (sql(database, f"SELECT {columns} FROM contacts"), sql(database, mechanics)) == before
    answer(other, theirs)
    assert other.write_back(theirs.lease_id).synced == 1
    assert contact(database, ann).brevo_sync_status == "New"
