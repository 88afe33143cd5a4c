"""An answer whose lease is no longer its own: it decides nothing; a late success has the contact pushed again."""

from __future__ import annotations

from uuid import UUID

import pytest

from crm_pipeline.contacts.orphans import orphans
from crm_pipeline.contacts.queue import Queue
from crm_pipeline.model import Batch, OutcomeKind, WriteBackCounts
from crm_pipeline_tests.contacts.races import holding
from crm_pipeline_tests.contacts.steps import answer, claim, leases_end, next_run, push
from crm_pipeline_tests.support.contacts import attempts, contact, insert, mechanics, pair, sql

FENCED = WriteBackCounts(fenced=1)
SYNCED, FAILED = OutcomeKind.SYNCED, OutcomeKind.FAILED
REFUSED = [(kind, 400) for kind in OutcomeKind if kind not in (OutcomeKind.SYNCED, OutcomeKind.RELEASED)]
UNKNOWN = [(FAILED, None), (FAILED, 200), (FAILED, 302), (FAILED, 500), (FAILED, 524)]
"""Answers after which nobody knows what the CRM did."""


def stalled(queue: Queue) -> tuple[UUID, Batch]:
    """A contact and the batch of a worker that hung beyond its lease, which was reaped."""
    ann = insert(queue.database, "ann@example.com")
    batch = claim(queue, ann)
    leases_end(queue.database)
    queue.reap()
    return ann, batch


def wakes(queue: Queue, batch: Batch, kind: OutcomeKind = SYNCED, status: int | None = None) -> WriteBackCounts:
    """The stalled worker gets its answer and writes it back."""
    answer(queue, batch, kind, error="because", external_id="late", http_status=status)
    return queue.write_back(batch.lease_id)


@pytest.mark.parametrize("kind", [SYNCED, FAILED])
def test_a_late_answer_decides_nothing_while_another_lease_holds_the_contact(queue: Queue, kind: OutcomeKind) -> None:
    ann, late = stalled(queue)
    second = claim(queue, ann)
    assert wakes(queue, late, kind) == FENCED
    row = mechanics(queue.database, ann)
    assert pair(queue.database, ann) == ("Processing", "Processing")
    assert (row.lease_id, row.retry_count) == (second.lease_id, 0)
    assert contact(queue.database, ann).brevo_contact_id is None
    assert [made.applied for made in attempts(queue.database, ann)] == ["fenced"]


@pytest.mark.parametrize("kind", [SYNCED, FAILED, OutcomeKind.SKIPPED])
def test_after_a_late_success_the_other_leases_end_queues_the_contact_again(queue: Queue, kind: OutcomeKind) -> None:
    ann, late = stalled(queue)
    second = claim(queue, ann)
    wakes(queue, late)
    answer(queue, second, kind, error="because")
    assert queue.write_back(second.lease_id) == WriteBackCounts(edited=1)
    assert pair(queue.database, ann) == ("Selected", "Queued")
    assert push(queue, ann) == WriteBackCounts(synced=1)


@pytest.mark.parametrize(("kind", "status"), REFUSED)
def test_after_a_late_refusal_the_other_lease_ends_as_it_would_have(
    queue: Queue, kind: OutcomeKind, status: int
) -> None:
    ann, late = stalled(queue)
    second = claim(queue, ann)
    wakes(queue, late, kind, status)
    answer(queue, second)
    assert queue.write_back(second.lease_id) == WriteBackCounts(synced=1)


@pytest.mark.parametrize(("kind", "ended"), [(SYNCED, "Complete"), (OutcomeKind.REJECTED, "Error")])
def test_a_late_success_queues_what_was_synced_or_given_up_meanwhile(
    queue: Queue, kind: OutcomeKind, ended: str
) -> None:
    ann, late = stalled(queue)
    push(queue, ann, kind=kind, external_id="7")
    assert pair(queue.database, ann) == (ended, ended)
    assert wakes(queue, late) == FENCED
    assert pair(queue.database, ann) == ("Queued", "Queued")
    assert contact(queue.database, ann).brevo_contact_id == ("7" if kind is SYNCED else "late"), "where to look for it"
    assert next_run(queue) == [ann]


def test_a_contact_that_the_crm_was_not_known_to_have_is_looked_for_where_a_late_push_went(queue: Queue) -> None:
    ann, late = stalled(queue)
    before = contact(queue.database, ann)
    wakes(queue, late)
    assert contact(queue.database, ann).brevo_contact_id == "late"
    assert pair(queue.database, ann) == (before.brevo_sync_status, before.brevo_processing_status)
    batch = claim(queue, ann)
    assert [taken.external_id for taken in batch.contacts] == ["late"]


def test_an_address_that_a_late_push_brought_back_is_listed_as_left_behind(queue: Queue) -> None:
    ann, late = stalled(queue)
    sql(queue.database, "UPDATE contacts SET email = 'new@example.com'")
    push(queue, ann, external_id="new@example.com")
    answer(queue, late, SYNCED, external_id="ann@example.com")
    queue.write_back(late.lease_id)
    assert [row.address for row in orphans(queue)] == ["ann@example.com"]
    assert push(queue, ann, external_id="new@example.com") == WriteBackCounts(synced=1)
    assert [row.address for row in orphans(queue)] == ["ann@example.com"]


def test_a_late_push_to_the_address_of_today_leaves_nothing_behind(queue: Queue) -> None:
    ann, late = stalled(queue)
    push(queue, ann, external_id="ann@example.com")
    answer(queue, late, SYNCED, external_id="ann@example.com")
    queue.write_back(late.lease_id)
    assert orphans(queue) == []


@pytest.mark.parametrize(("kind", "status"), REFUSED)
def test_a_late_refusal_is_marked_and_changes_nothing(queue: Queue, kind: OutcomeKind, status: int) -> None:
    ann, late = stalled(queue)
    push(queue, ann)
    before = contact(queue.database, ann), mechanics(queue.database, ann)
    assert wakes(queue, late, kind, status) == FENCED
    assert (contact(queue.database, ann), mechanics(queue.database, ann)) == before
    assert sorted(made.applied for made in attempts(queue.database, ann)) == ["applied", "fenced"]


@pytest.mark.parametrize(("kind", "status"), UNKNOWN)
def test_a_late_push_that_may_have_landed_is_repaired_like_a_success(
    queue: Queue, kind: OutcomeKind, status: int | None
) -> None:
    ann, late = stalled(queue)
    push(queue, ann)
    assert wakes(queue, late, kind, status) == FENCED
    assert pair(queue.database, ann) == ("Queued", "Queued")


@pytest.mark.parametrize("meanwhile", ["at rest", "in flight"])
def test_a_late_push_to_an_address_that_is_anothers_by_now_has_that_one_pushed_again(
    queue: Queue, meanwhile: str
) -> None:
    ann, late = stalled(queue)
    sql(queue.database, "UPDATE contacts SET email = 'moved@example.com'")
    push(queue, ann)
    heir = insert(queue.database, "Ann@Example.com ")
    third = insert(queue.database, "third@example.com")
    push(queue, third)
    batch = claim(queue, heir)
    if meanwhile == "at rest":
        answer(queue, batch)
        queue.write_back(batch.lease_id)
    answer(queue, late, external_id="ann@example.com")
    assert queue.write_back(late.lease_id) == FENCED
    if meanwhile == "in flight":
        answer(queue, batch)
        assert queue.write_back(batch.lease_id) == WriteBackCounts(edited=1)
    assert pair(queue.database, heir)[1] == "Queued"
    assert pair(queue.database, ann) == ("Queued", "Queued")
    assert pair(queue.database, third) == ("Complete", "Complete")


@pytest.mark.parametrize(
    ("sync", "processing"),
    [("New", None), ("Skipped", None), ("Selected", "Queued"), ("Complete", "Queued"), ("Queued", "Error")],
)
def test_a_late_success_leaves_what_nobody_wants_and_what_is_pushed_anyway(
    queue: Queue, sync: str, processing: str | None
) -> None:
    ann, late = stalled(queue)
    sql(
        queue.database,
        "UPDATE contacts SET brevo_sync_status = CAST(:sync AS crm_sync_status), "
        "brevo_processing_status = CAST(:processing AS crm_processing_status)",
        sync=sync,
        processing=processing,
    )
    assert wakes(queue, late) == FENCED
    assert pair(queue.database, ann) == (sync, processing)


def test_a_late_success_is_acted_on_once_however_often_it_is_written_back(queue: Queue) -> None:
    ann, late = stalled(queue)
    push(queue, ann)
    assert wakes(queue, late) == FENCED
    push(queue, ann)
    assert queue.write_back(late.lease_id) == WriteBackCounts()
    assert queue.reap() == WriteBackCounts()
    assert pair(queue.database, ann) == ("Complete", "Complete")


def test_the_answer_of_a_worker_that_woke_and_died_is_fenced_by_the_reaper(queue: Queue) -> None:
    ann, late = stalled(queue)
    push(queue, ann)
    answer(queue, late)
    assert queue.reap() == FENCED
    assert pair(queue.database, ann) == ("Queued", "Queued")


def test_a_late_success_is_not_lost_when_the_other_lease_had_taken_a_contact_at_rest(queue: Queue) -> None:
    """A claim may take contacts at rest, whatever pairs were chosen; they go back there when it is released."""
    ann, late = stalled(queue)
    for end in ("release", "reap"):
        queue.select([ann])
        second = claim(queue, ann)
        sql(
            queue.database,
            "UPDATE crm_sync SET prior_sync_status = 'Complete', prior_processing_status = 'Complete'",
        )
        if end == "release":
            wakes(queue, late)
            queue.release(second.lease_id, "paused")
        else:
            leases_end(queue.database)
            sql(queue.database, "UPDATE crm_sync SET claimed_fingerprint = NULL")
            queue.reap()
        assert pair(queue.database, ann) == ("Queued", "Queued"), end


def test_a_late_push_waits_for_whoever_holds_the_heir_of_its_address_locked(queue: Queue) -> None:
    ann, late = stalled(queue)
    sql(queue.database, "UPDATE contacts SET email = 'moved@example.com'")
    push(queue, ann)
    heir = insert(queue.database, "ann@example.com")
    push(queue, heir)
    answer(queue, late, external_id="ann@example.com")
    with holding(queue.database, "SELECT FROM contacts WHERE id = :id FOR UPDATE", id=heir):
        assert queue.write_back(late.lease_id) == WriteBackCounts()
    assert pair(queue.database, heir) == ("Complete", "Complete")
    assert queue.reap() == FENCED
    assert (pair(queue.database, heir), pair(queue.database, ann)) == (("Queued", "Queued"), ("Queued", "Queued"))
