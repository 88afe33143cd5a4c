"""The write-back: each outcome becomes statuses, unless the contact was edited, written by a person or deleted."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from crm_pipeline.contacts.answers import RetryPolicy
from crm_pipeline.contacts.columns import SOURCE_COLUMNS
from crm_pipeline.contacts.queue import Queue
from crm_pipeline.contacts.statuses import PAIRS
from crm_pipeline.database.engine import Database
from crm_pipeline.model import OutcomeKind, ProcessingStatus, SyncStatus, WriteBackCounts
from crm_pipeline_tests.conftest import BREVO
from crm_pipeline_tests.contacts.steps import answer, backoffs_end, claim, leases_end, next_run, push
from crm_pipeline_tests.support.contacts import attempts, contact, insert, mechanics, pair, sql

SYNCED, FAILED, BLOCKED = OutcomeKind.SYNCED, OutcomeKind.FAILED, OutcomeKind.BLOCKED
REJECTED, SKIPPED = OutcomeKind.REJECTED, OutcomeKind.SKIPPED
HELD = (SyncStatus.PROCESSING, ProcessingStatus.PROCESSING)
PUSHED = [SYNCED, FAILED, BLOCKED, REJECTED, SKIPPED]


def minutes_to_wait(queue: Queue) -> tuple[timedelta, timedelta]:
    """From the write-back to the retry: by crm_sync and by contacts (`now()` of one transaction, so exact)."""
    (row,) = sql(
        queue.database,
        "SELECT s.next_retry_at - c.last_retry_at AS own, c.next_retry_at - c.last_retry_at AS shared "
        "FROM contacts c JOIN crm_sync s ON s.contact_id = c.id",
    )
    return row.own, row.shared


def test_synced_is_complete_complete_with_the_crms_id_and_nothing_left_to_do(queue: Queue) -> None:
    ann = insert(queue.database, "ann@example.com", brevo_processing_error="because")
    assert push(queue, ann, external_id="7") == WriteBackCounts(synced=1)
    row, own = contact(queue.database, ann), mechanics(queue.database, ann)
    assert pair(queue.database, ann) == ("Complete", "Complete")
    assert (row.brevo_contact_id, row.brevo_processing_error) == ("7", None)
    assert (row.retry_count, row.last_retry_at, row.next_retry_at, row.last_failed_crm) == (0, None, None, None)
    assert (own.retry_count, own.next_retry_at, own.lease_id, own.leased_until, own.run_id) == (0, *4 * [None])
    assert (own.prior_sync_status, own.prior_processing_status, own.claimed_fingerprint) == (None, None, None)
    assert (len(own.synced_fingerprint), own.target) == (64, "api.example.com")
    assert own.synced_at is not None


def test_an_answer_without_an_id_keeps_the_one_that_is_known(queue: Queue) -> None:
    ann = insert(queue.database, "ann@example.com", brevo_contact_id="7")
    push(queue, ann)
    assert contact(queue.database, ann).brevo_contact_id == "7"


def test_failures_wait_5_10_and_20_minutes_and_the_fourth_gives_up(queue: Queue) -> None:
    ann = insert(queue.database, "ann@example.com")
    for retry, minutes in enumerate((5, 10, 20), start=1):
        assert push(queue, ann, kind=FAILED, error=f"no {retry}") == WriteBackCounts(failed=1)
        row, own = contact(queue.database, ann), mechanics(queue.database, ann)
        assert pair(queue.database, ann) == ("Queued", "Error")
        assert minutes_to_wait(queue) == (timedelta(minutes=minutes), timedelta(minutes=minutes))
        assert (row.retry_count, own.retry_count) == (retry, retry)
        assert (row.last_failed_crm, row.brevo_processing_error) == ("brevo", f"no {retry}")
        assert next_run(queue) == []
        backoffs_end(queue.database)
        assert next_run(queue) == [ann]
    assert push(queue, ann, kind=FAILED, error="no 4") == WriteBackCounts(given_up=1)
    row, own = contact(queue.database, ann), mechanics(queue.database, ann)
    assert pair(queue.database, ann) == ("Error", "Error")
    assert row.brevo_processing_error == "Max retries exceeded (3). Last error: no 4"
    assert (row.retry_count, own.retry_count) == (3, 3), "the maximum"
    assert row.next_retry_at is own.next_retry_at is None
    assert [made.attempt for made in attempts(queue.database, ann)] == [1, 2, 3, 4]
    assert next_run(queue) == []


@pytest.mark.parametrize(
    ("policy", "minutes"),
    [(RetryPolicy(2, 5, 1), [5, 5]), (RetryPolicy(0), []), (RetryPolicy(2, 0.5, 3), [0.5, 1.5])],
)
def test_the_schedule_is_the_settings(queue: Queue, policy: RetryPolicy, minutes: list[float]) -> None:
    patient = Queue(queue.database, BREVO, policy, "api.example.com")
    ann = insert(queue.database, "ann@example.com")
    for wait in minutes:
        assert push(patient, ann, kind=FAILED, error="no").failed == 1
        assert minutes_to_wait(patient)[0] == timedelta(minutes=wait)
        backoffs_end(queue.database)
        patient.promote()
    assert push(patient, ann, kind=FAILED, error="no").given_up == 1


def test_the_last_error_of_what_is_given_up_is_cut_at_500_characters(queue: Queue) -> None:
    once = Queue(queue.database, BREVO, RetryPolicy(max_retries=0), "api.example.com")
    ann = insert(queue.database, "ann@example.com")
    push(once, ann, kind=FAILED, error="x" * 500)
    error = contact(queue.database, ann).brevo_processing_error
    assert len(error) == 500
    assert error.startswith("Max retries exceeded (0). Last error: xxx")


def test_blocked_waits_5_minutes_and_costs_no_attempt_however_often(queue: Queue) -> None:
    ann = insert(queue.database, "ann@example.com")
    push(queue, ann, kind=FAILED, error="no")
    for _ in range(5):
        backoffs_end(queue.database)
        queue.promote()
        assert push(queue, ann, kind=BLOCKED, error="the key is wrong") == WriteBackCounts(blocked=1)
        row, own = contact(queue.database, ann), mechanics(queue.database, ann)
        assert pair(queue.database, ann) == ("Queued", "Error")
        assert minutes_to_wait(queue) == (timedelta(minutes=5), timedelta(minutes=5))
        assert (row.retry_count, own.retry_count) == (1, 1)
        assert (row.last_failed_crm, row.brevo_processing_error) == ("brevo", "the key is wrong")


def test_rejected_is_an_error_at_once_until_a_person_asks_again(queue: Queue) -> None:
    ann = insert(queue.database, "")
    assert push(queue, ann, kind=REJECTED, error="it has no address") == WriteBackCounts(rejected=1)
    row = contact(queue.database, ann)
    assert pair(queue.database, ann) == ("Error", "Error")
    assert (row.brevo_processing_error, row.retry_count, row.next_retry_at) == ("it has no address", 0, None)
    backoffs_end(queue.database)
    assert next_run(queue) == []
    queue.select([ann])
    assert next_run(queue) == [ann]


def test_skipped_is_pushed_no_more_until_a_person_asks_again(queue: Queue) -> None:
    ann = insert(queue.database, "ann@example.com")
    push(queue, ann, kind=FAILED, error="no")
    queue.select([ann])
    assert push(queue, ann, kind=SKIPPED, error="opted out") == WriteBackCounts(skipped=1)
    row, own = contact(queue.database, ann), mechanics(queue.database, ann)
    assert pair(queue.database, ann) == ("Skipped", None)
    assert (row.brevo_processing_error, row.next_retry_at, own.next_retry_at) == ("opted out", None, None)
    assert row.retry_count == own.retry_count == 0, "the copy follows"
    assert next_run(queue) == []
    queue.select([ann])
    assert next_run(queue) == [ann]


@pytest.mark.parametrize("kind", PUSHED)
def test_a_contact_edited_during_its_push_is_queued_again(queue: Queue, kind: OutcomeKind) -> None:
    ann = insert(queue.database, "ann@example.com", brevo_processing_error="old")
    batch = claim(queue, ann)
    sql(queue.database, "UPDATE contacts SET name = 'Ann'")
    answer(queue, batch, kind, error="because", external_id="7")
    assert queue.write_back(batch.lease_id) == WriteBackCounts(edited=1)
    row, own = contact(queue.database, ann), mechanics(queue.database, ann)
    assert pair(queue.database, ann) == ("Selected", "Queued")
    assert row.brevo_processing_error is None
    assert row.brevo_contact_id == ("7" if kind in (SYNCED, FAILED) else None), "what the CRM got, or may have got"
    assert (own.synced_at is not None) == (kind is SYNCED)
    assert (own.lease_id, own.next_retry_at, row.next_retry_at) == (None, None, None)
    assert [(made.outcome, made.applied) for made in attempts(queue.database, ann)] == [(kind.value, "overruled")]
    assert [taken.attempt for taken in claim(queue, ann).contacts] == [1]


def test_an_edit_is_a_change_of_any_column_that_is_sent(queue: Queue) -> None:
    new = {
        "email_type": "'FREE'",
        "has_gmail": "true",
        "domain_id": "gen_random_uuid()",
        "page_id": "gen_random_uuid()",
    }
    edited = {column: insert(queue.database, f"{column}@example.com") for column in SOURCE_COLUMNS}
    other = insert(queue.database, "other@example.com")
    batch = claim(queue, *edited.values(), other)
    for column, contact_id in edited.items():
        value = new.get(column, "'new'")
        sql(queue.database, f"UPDATE contacts SET {column} = {value} WHERE id = :id", id=contact_id)
    sql(queue.database, "UPDATE contacts SET context = 'not sent', updated_at = now() WHERE id = :id", id=other)
    answer(queue, batch)
    assert queue.write_back(batch.lease_id) == WriteBackCounts(synced=1, edited=len(SOURCE_COLUMNS))
    assert pair(queue.database, other) == ("Complete", "Complete")


def test_an_edit_during_a_retry_leaves_no_old_time_and_count_in_the_shared_columns(queue: Queue) -> None:
    ann = insert(queue.database, "ann@example.com")
    push(queue, ann, kind=FAILED, error="no")
    queue.select([ann])
    batch = claim(queue, ann)
    sql(queue.database, "UPDATE contacts SET name = 'Ann'")
    answer(queue, batch)
    queue.write_back(batch.lease_id)
    row = contact(queue.database, ann)
    assert (row.retry_count, row.next_retry_at) == (0, None)


@pytest.mark.parametrize("kind", PUSHED)
def test_an_edit_that_was_taken_back_is_no_edit(queue: Queue, kind: OutcomeKind) -> None:
    ann = insert(queue.database, "ann@example.com", name="Ann")
    batch = claim(queue, ann)
    sql(queue.database, "UPDATE contacts SET name = 'Bob'")
    sql(queue.database, "UPDATE contacts SET name = 'Ann', context = 'not sent anywhere', updated_at = now()")
    answer(queue, batch, kind)
    assert queue.write_back(batch.lease_id) == WriteBackCounts(**{kind.value: 1})


@pytest.mark.parametrize("kind", PUSHED)
def test_what_a_person_wrote_during_a_push_in_one_column_or_both_is_left_as_written(
    queue: Queue, kind: OutcomeKind
) -> None:
    database = queue.database
    written = {insert(database, f"{sync}-{now}@example.com"): (sync, now) for sync, now in PAIRS if (sync, now) != HELD}
    batch = claim(queue, *written)
    for contact_id, (sync, processing) in written.items():
        sql(
            database,
            "UPDATE contacts SET name = 'edited too', brevo_sync_status = CAST(:sync AS crm_sync_status), "
            "brevo_processing_status = CAST(:processing AS crm_processing_status) WHERE id = :id",
            sync=sync.value,
            processing=processing and processing.value,
            id=contact_id,
        )
    answer(queue, batch, kind, error="because", external_id="7")
    assert queue.write_back(batch.lease_id) == WriteBackCounts(overruled=len(written))
    for contact_id, found in written.items():
        row, own = contact(database, contact_id), mechanics(database, contact_id)
        assert pair(database, contact_id) == found
        assert row.brevo_processing_error is None
        assert row.brevo_contact_id == ("7" if kind in (SYNCED, FAILED) else None), "what the CRM got, or may have got"
        assert (own.lease_id, own.retry_count, own.next_retry_at) == (None, 0, None)
        assert [made.applied for made in attempts(database, contact_id)] == ["overruled"]


def test_a_contact_deleted_during_its_push_is_0_rows_and_the_others_are_written_back(queue: Queue) -> None:
    ann, bob = insert(queue.database, "ann@example.com"), insert(queue.database, "bob@example.com")
    batch = claim(queue, ann, bob)
    answer(queue, batch)
    sql(queue.database, "DELETE FROM contacts WHERE id = :id", id=ann)
    assert queue.write_back(batch.lease_id) == WriteBackCounts(synced=1)
    assert pair(queue.database, bob) == ("Complete", "Complete")
    assert sql(queue.database, "SELECT 1 FROM crm_sync WHERE lease_id IS NOT NULL") == []


def test_a_batch_of_all_outcomes_is_written_back_at_once(queue: Queue) -> None:
    database = queue.database
    ids = {kind: insert(database, f"{kind}@example.com") for kind in PUSHED}
    batch = claim(queue, *ids.values())
    for kind, contact_id in ids.items():
        answer(queue, replace(batch, contacts=[taken for taken in batch.contacts if taken.id == contact_id]), kind)
    assert queue.write_back(batch.lease_id) == WriteBackCounts(1, 1, 0, 1, 1, 1)
    assert {kind: pair(database, contact_id) for kind, contact_id in ids.items()} == {
        SYNCED: ("Complete", "Complete"),
        FAILED: ("Queued", "Error"),
        BLOCKED: ("Queued", "Error"),
        REJECTED: ("Error", "Error"),
        SKIPPED: ("Skipped", None),
    }


@pytest.mark.parametrize("kind", PUSHED)
def test_a_second_write_back_changes_nothing(queue: Queue, kind: OutcomeKind) -> None:
    ann = insert(queue.database, "ann@example.com")
    batch = claim(queue, ann)
    answer(queue, batch, kind)
    queue.write_back(batch.lease_id)
    before = contact(queue.database, ann), mechanics(queue.database, ann), attempts(queue.database, ann)
    assert queue.write_back(batch.lease_id) == WriteBackCounts()
    assert (contact(queue.database, ann), mechanics(queue.database, ann), attempts(queue.database, ann)) == before


@pytest.mark.parametrize("kind", PUSHED)
def test_no_write_back_touches_updated_at(queue: Queue, kind: OutcomeKind) -> None:
    ann = insert(queue.database, "ann@example.com", updated_at="2020-01-01 00:00:00+00")
    push(queue, ann, kind=kind)
    assert contact(queue.database, ann).updated_at.year == 2020


@pytest.mark.parametrize("kind", PUSHED)
def test_a_write_back_forgets_the_crashes(queue: Queue, kind: OutcomeKind) -> None:
    ann = insert(queue.database, "ann@example.com")
    claim(queue, ann)
    leases_end(queue.database)
    queue.reap()
    assert mechanics(queue.database, ann).crashes == 1
    push(queue, ann, kind=kind)
    assert mechanics(queue.database, ann).crashes == 0


class LostAnswers(Database):
    """Each transaction commits, and its answer is lost: the work is repeated on a new connection."""

    lost = 0
    _repeating = False

    def _once(self, work: Any) -> Any:
        done = super()._once(work)
        self._repeating = not self._repeating
        if self._repeating:
            self.lost += 1
            raise OperationalError("COMMIT", None, Exception("gone"), connection_invalidated=True)
        return done


def test_a_lost_answer_to_any_commit_of_a_push_changes_nothing(database: Database) -> None:
    unlucky = LostAnswers(database.url)
    queue = Queue(unlucky, BREVO, RetryPolicy(), "api.example.com")
    ids = {kind: insert(database, f"{kind}@example.com") for kind in PUSHED}
    batch = claim(queue, *ids.values())
    assert {taken.id for taken in batch.contacts} == set(ids.values())
    for kind, contact_id in ids.items():
        answer(queue, replace(batch, contacts=[taken for taken in batch.contacts if taken.id == contact_id]), kind)
    queue.write_back(batch.lease_id)
    assert unlucky.lost == 1 + len(PUSHED) + 1, "claim, each journal and the write-back"
    assert [mechanics(database, ids[kind]).retry_count for kind in PUSHED] == [0, 1, 0, 0, 0]
    assert [len(attempts(database, contact_id)) for contact_id in ids.values()] == [1] * len(PUSHED)
    assert sql(database, "SELECT 1 FROM crm_attempts WHERE applied <> 'applied'") == []
    assert sql(database, "SELECT 1 FROM crm_sync WHERE lease_id IS NOT NULL") == []
    unlucky.dispose()
