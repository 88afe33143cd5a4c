"""promote: a backoff that is over, and a wish that was written with one column, become due."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from crm_pipeline.contacts.queue import AT_ONCE, Queue
from crm_pipeline.contacts.statuses import PAIRS, Meaning
from crm_pipeline.model import OutcomeKind
from crm_pipeline_tests.contacts.races import holding
from crm_pipeline_tests.contacts.steps import backoffs_end, claim, push
from crm_pipeline_tests.support.contacts import contact, insert, mechanics, pair, pairs, sql

PAST, TO_COME = -timedelta(hours=1), timedelta(hours=1)
WISHES = [found for found, meaning in PAIRS.items() if meaning in (Meaning.WISH, Meaning.WAITING)]


@pytest.fixture
def now(queue: Queue) -> datetime:
    found: datetime = sql(queue.database, "SELECT now() AS now")[0].now
    return found


def waiting(queue: Queue, **columns: Any) -> UUID:
    return insert(queue.database, "ann@example.com", "Queued", "Error", **columns)


def test_a_failed_push_is_promoted_with_its_retries_when_its_time_is_past(queue: Queue) -> None:
    ann = insert(queue.database, "ann@example.com")
    push(queue, ann, kind=OutcomeKind.FAILED, error="no")
    assert queue.promote() == 0
    assert not queue.due_now()
    backoffs_end(queue.database)
    assert queue.due_now().backoff_over
    assert queue.promote() == 1
    assert pair(queue.database, ann) == ("Queued", "Queued")
    assert contact(queue.database, ann).next_retry_at is mechanics(queue.database, ann).next_retry_at is None
    assert contact(queue.database, ann).brevo_processing_error == "no", "until the next answer"
    assert [taken.attempt for taken in claim(queue, ann).contacts] == [2]


def test_a_time_that_a_person_brought_forward_in_contacts_counts(queue: Queue, now: datetime) -> None:
    ann = insert(queue.database, "ann@example.com")
    push(queue, ann, kind=OutcomeKind.FAILED, error="no")
    sql(queue.database, "UPDATE contacts SET next_retry_at = :past", past=now + PAST)
    assert queue.promote() == 1
    assert pair(queue.database, ann) == ("Queued", "Queued")


def test_a_wait_that_the_application_wrote_is_kept_until_its_time(queue: Queue, now: datetime) -> None:
    ann = waiting(queue, last_failed_crm="brevo", next_retry_at=now + TO_COME, retry_count=2)
    assert queue.promote() == 0
    assert pair(queue.database, ann) == ("Queued", "Error")
    backoffs_end(queue.database)
    assert queue.promote() == 1
    assert pair(queue.database, ann) == ("Queued", "Queued")
    assert [taken.attempt for taken in claim(queue, ann).contacts] == [3]


@pytest.mark.parametrize("when", [PAST, TO_COME, None])
def test_another_crms_time_is_no_time_of_this_one(queue: Queue, now: datetime, when: timedelta | None) -> None:
    theirs = None if when is None else now + when
    ann = waiting(queue, last_failed_crm="hubspot", next_retry_at=theirs)
    assert queue.promote() == 1
    assert pair(queue.database, ann) == ("Selected", "Queued"), "no time is known: a fresh start"
    assert contact(queue.database, ann).next_retry_at == theirs


@pytest.mark.parametrize(("sync", "processing"), WISHES)
def test_a_wish_written_with_one_column_starts_afresh(queue: Queue, sync: str, processing: str | None) -> None:
    ann = insert(queue.database, "ann@example.com", sync, processing, retry_count=2, last_failed_crm="brevo")
    assert queue.due_now().backoff_over
    assert queue.promote() == 1
    assert pair(queue.database, ann) == ("Selected", "Queued")
    assert [taken.attempt for taken in claim(queue, ann).contacts] == [1]


def test_a_contact_under_a_lease_is_not_promoted(queue: Queue) -> None:
    ann = insert(queue.database, "ann@example.com")
    claim(queue, ann)
    sql(queue.database, "UPDATE contacts SET brevo_sync_status = 'Selected', brevo_processing_status = NULL")
    assert not queue.due_now()
    assert queue.promote() == 0


def test_a_contact_that_somebody_has_locked_is_promoted_next_time(queue: Queue) -> None:
    ann = insert(queue.database, "ann@example.com", "Selected", None)
    with holding(queue.database, "SELECT 1 FROM contacts WHERE id = :id FOR UPDATE", id=ann):
        assert queue.promote() == 0
    assert queue.promote() == 1


def test_more_wishes_than_one_transaction_takes_are_all_promoted_and_waits_between_them_left(queue: Queue) -> None:
    count = 2 * AT_ONCE + 1
    sql(
        queue.database,
        "INSERT INTO contacts (email, brevo_sync_status, brevo_processing_status, last_failed_crm, next_retry_at) "
        "SELECT n || '@example.com', CASE n % 2 WHEN 0 THEN 'Selected' ELSE 'Queued' END::crm_sync_status, "
        "CASE n % 2 WHEN 1 THEN 'Error' END::crm_processing_status, 'brevo', now() + interval '1 hour' "
        "FROM generate_series(1, 2 * :count) n",
        count=count,
    )
    assert queue.promote() == count
    assert pairs(queue.database) == {"Selected/Queued": count, "Queued/Error": count}
    assert queue.promote() == 0
