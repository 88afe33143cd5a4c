"""due -> Processing/Processing: what a claim takes, what it leaves, and with which retries it starts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest

from crm_pipeline.contacts.answers import RetryPolicy
from crm_pipeline.contacts.queue import ALONE_AT_CRASHES, Queue
from crm_pipeline.database.engine import Database
from crm_pipeline.model import OutcomeKind
from crm_pipeline_tests.conftest import BREVO
from crm_pipeline_tests.contacts.races import holding, meanwhile, until_waiting
from crm_pipeline_tests.contacts.steps import answer, backoffs_end, claim, leases_end, next_run, push
from crm_pipeline_tests.support.contacts import attempts, contact, insert, mechanics, pair, sql

FAILED = OutcomeKind.FAILED


def ids_of(queue: Queue, *ids: UUID) -> list[UUID]:
    """The ids that a claim of these contacts takes."""
    return [taken.id for taken in claim(queue, *ids).contacts]


def test_a_claimed_contact_is_in_flight_under_a_lease_that_remembers_what_was(queue: Queue) -> None:
    ann = insert(queue.database, " Ann@Example.com ", "Error", "Queued", name="Ann", brevo_contact_id="7")
    batch = claim(queue, ann, run_id="run 1")
    (taken,) = batch.contacts
    assert (taken.email, taken.name, taken.external_id, taken.attempt) == (" Ann@Example.com ", "Ann", "7", 1)
    assert pair(queue.database, ann) == ("Processing", "Processing")
    row = mechanics(queue.database, ann)
    assert (row.lease_id, row.run_id) == (batch.lease_id, "run 1")
    assert (row.prior_sync_status, row.prior_processing_status) == ("Error", "Queued")
    assert (row.email_key, len(row.claimed_fingerprint)) == ("ann@example.com", 64)


def test_a_claim_reads_further_columns_that_are_mapped(queue: Queue) -> None:
    sql(queue.database, "ALTER TABLE contacts ADD COLUMN company text, ADD COLUMN staff int, ADD COLUMN since date")
    ann = insert(queue.database, "ann@example.com", company="Acme", staff=12, since="2020-02-03")
    columns = replace(BREVO, further=("company", "staff", "since"), mapping="ab12")
    (taken,) = claim(Queue(queue.database, columns, RetryPolicy()), ann).contacts
    assert taken.further == {"company": "Acme", "staff": 12, "since": "2020-02-03"}


@pytest.mark.parametrize("changes", [{"further": ("company",)}, {"mapping": "ab12"}, {"mapping": "ab13"}])
def test_a_push_under_another_mapping_is_queued_again(queue: Queue, changes: dict[str, Any]) -> None:
    sql(queue.database, "ALTER TABLE contacts ADD COLUMN company text")
    ann = insert(queue.database, "ann@example.com")
    batch = claim(queue, ann)
    answer(queue, batch)
    other = Queue(queue.database, replace(BREVO, **changes), RetryPolicy())
    assert other.write_back(batch.lease_id).edited == 1


def test_an_edit_of_a_further_column_during_the_push_is_seen(queue: Queue) -> None:
    sql(queue.database, "ALTER TABLE contacts ADD COLUMN company text")
    queue = Queue(queue.database, replace(BREVO, further=("company",)), RetryPolicy())
    ann = insert(queue.database, "ann@example.com")
    batch = claim(queue, ann)
    answer(queue, batch)
    sql(queue.database, "UPDATE contacts SET company = 'Acme'")
    assert queue.write_back(batch.lease_id).edited == 1


@pytest.mark.parametrize(
    ("twin", "in_use"),
    [
        ({"email": " Old@Example.com\t"}, True),
        ({"email": "old@example.com", "brevo_sync_status": "New"}, True),
        ({"email": "third@example.com"}, False),
    ],
)
def test_a_claim_knows_whether_the_former_address_is_another_contacts_today(
    queue: Queue, twin: dict[str, Any], in_use: bool
) -> None:
    other = insert(queue.database, "old@example.com")
    push(queue, other)
    assignments = ", ".join(f"{column} = :{column}" for column in twin).replace(
        ":brevo_sync_status", "CAST(:brevo_sync_status AS crm_sync_status)"
    )
    sql(queue.database, f"UPDATE contacts SET {assignments}", **twin)
    ann = insert(queue.database, "new@example.com", brevo_contact_id="Old@example.com")
    (taken,) = claim(queue, ann).contacts
    assert taken.former_address_in_use is in_use


def test_a_former_address_is_in_use_by_nobody_when_it_is_the_present_one_or_no_address(queue: Queue) -> None:
    push(queue, insert(queue.database, "old@example.com"))
    for known_as in ("OLD@example.com", "4711", None):
        twin = insert(queue.database, "old@example.com", brevo_contact_id=known_as)
        (taken,) = claim(queue, twin).contacts
        assert taken.former_address_in_use is False
        sql(queue.database, "UPDATE crm_sync SET lease_id = NULL, leased_until = NULL")


def test_a_lease_lasts_as_long_as_was_asked_by_the_databases_clock(queue: Queue) -> None:
    ann = insert(queue.database, "ann@example.com")
    batch = queue.claim([ann], uuid4(), "run", 150)
    (row,) = sql(
        queue.database,
        "SELECT extract(epoch FROM leased_until - clock_timestamp())::float AS left FROM crm_sync",
    )
    assert 140 < row.left <= 150
    assert 140 < batch.seconds_left <= 150, "never more than there is"


def test_a_claim_gives_its_contacts_by_id_whatever_order_was_asked_for(queue: Queue) -> None:
    ids = sorted(insert(queue.database, f"{n}@example.com") for n in range(20))
    assert ids_of(queue, *reversed(ids)) == ids


def test_a_claim_does_not_touch_updated_at(queue: Queue) -> None:
    ann = insert(queue.database, "ann@example.com", updated_at="2020-01-01 00:00:00+00")
    claim(queue, ann)
    assert contact(queue.database, ann).updated_at.year == 2020


def test_what_is_no_longer_due_or_deleted_since_it_was_listed_is_left_out(queue: Queue) -> None:
    ann, bob, cas = (insert(queue.database, f"{name}@example.com") for name in ("ann", "bob", "cas"))
    queue.unselect([ann])
    sql(queue.database, "DELETE FROM contacts WHERE id = :id", id=bob)
    assert ids_of(queue, ann, bob, cas, uuid4()) == [cas]
    assert pair(queue.database, ann) == ("New", None)


def test_a_contact_under_a_live_lease_is_refused_although_a_person_selected_it_again(queue: Queue) -> None:
    ann = insert(queue.database, "ann@example.com")
    batch = claim(queue, ann)
    queue.select([ann])
    assert ids_of(queue, ann) == []
    assert mechanics(queue.database, ann).lease_id == batch.lease_id


def test_a_lease_that_is_over_is_reaped_before_its_contact_is_claimed(queue: Queue) -> None:
    ann = insert(queue.database, "ann@example.com")
    claim(queue, ann)
    queue.select([ann])
    leases_end(queue.database)
    assert ids_of(queue, ann) == [], "a claim over it would strand its journalled answer"
    queue.reap()
    assert ids_of(queue, ann) == [ann]


def test_a_contact_that_somebody_has_locked_is_skipped_without_waiting(queue: Queue) -> None:
    ann, bob = insert(queue.database, "ann@example.com"), insert(queue.database, "bob@example.com")
    with holding(queue.database, "SELECT 1 FROM contacts WHERE id = :id FOR UPDATE", id=ann):
        assert ids_of(queue, ann, bob) == [bob]
    assert pair(queue.database, ann) == ("Selected", "Queued")


@pytest.mark.parametrize("twin", ["ANN@example.com", " ann@example.com", "ann@example.com\n", "\tann@example.com\xa0"])
def test_two_contacts_with_one_address_are_never_in_flight_together(queue: Queue, twin: str) -> None:
    first, second = insert(queue.database, "ann@example.com"), insert(queue.database, twin)
    other = insert(queue.database, "bob@example.com")
    batch = claim(queue, first)
    assert next_run(queue) == [other]
    assert ids_of(queue, second, other) == [other], "its twin stops none of the batch"
    answer(queue, batch)
    queue.write_back(batch.lease_id)
    assert ids_of(queue, second) == [second]


def test_of_twins_in_one_batch_one_is_claimed(queue: Queue) -> None:
    twins = [insert(queue.database, "ann@example.com"), insert(queue.database, "Ann@Example.com")]
    assert len(ids_of(queue, *twins)) == 1


def test_the_address_at_the_claim_is_what_stays_in_flight(queue: Queue) -> None:
    ann, bob = insert(queue.database, "ann@example.com"), insert(queue.database, "bob@example.com")
    claim(queue, ann)
    sql(queue.database, "UPDATE contacts SET email = 'new@example.com' WHERE id = :id", id=ann)
    sql(queue.database, "UPDATE contacts SET email = 'ann@example.com' WHERE id = :id", id=bob)
    assert ids_of(queue, bob) == []


def test_contacts_without_an_address_are_no_twins(queue: Queue) -> None:
    sql(queue.database, "ALTER TABLE contacts ALTER email DROP NOT NULL")
    ids = [insert(queue.database, email) for email in ("", "  ", "\n", None)]  # type: ignore[arg-type]
    batch = claim(queue, *ids)
    assert {taken.id for taken in batch.contacts} == set(ids)
    assert {taken.email for taken in batch.contacts} == {"", "  ", "\n"}, "a missing one is an empty one"


@pytest.mark.parametrize(("sync", "attempt"), [("Selected", 1), ("Complete", 1), ("Error", 1), ("Queued", 3)])
def test_a_person_who_asks_again_gives_fresh_retries_and_queued_queued_keeps_its_own(
    queue: Queue, sync: str, attempt: int
) -> None:
    ann = insert(queue.database, "ann@example.com")
    for _ in range(2):
        assert push(queue, ann, kind=FAILED).failed == 1
        backoffs_end(queue.database)
        queue.promote()
    sql(queue.database, "UPDATE contacts SET brevo_sync_status = CAST(:sync AS crm_sync_status)", sync=sync)
    (taken,) = claim(queue, ann).contacts
    assert taken.attempt == attempt
    assert mechanics(queue.database, ann).retry_count == attempt - 1


@pytest.mark.parametrize(
    ("retry_count", "failed_crm", "attempt"), [(2, "brevo", 3), (2, "hubspot", 1), (None, "brevo", 1), (-1, "brevo", 1)]
)
def test_a_first_claim_goes_on_with_the_retries_that_the_application_counted(
    queue: Queue, retry_count: int | None, failed_crm: str, attempt: int
) -> None:
    sql(queue.database, "ALTER TABLE contacts ALTER retry_count DROP NOT NULL")
    ann = insert(
        queue.database, "ann@example.com", "Queued", "Queued", retry_count=retry_count, last_failed_crm=failed_crm
    )
    bob = insert(queue.database, "bob@example.com")
    assert {taken.id: taken.attempt for taken in claim(queue, ann, bob).contacts} == {ann: attempt, bob: 1}


def test_a_second_claim_under_the_same_lease_goes_on_and_takes_nothing_new(queue: Queue) -> None:
    ann, bob, cas = (insert(queue.database, f"{name}@example.com") for name in ("ann", "bob", "cas"))
    batch = claim(queue, ann, bob)
    answered, left = batch.contacts
    answer(queue, replace(batch, contacts=[answered]))
    again = claim(queue, ann, bob, cas, lease_id=batch.lease_id)
    assert again.contacts == [left]
    assert again.seconds_left <= 600, "the lease is not made longer"
    assert pair(queue.database, cas) == ("Selected", "Queued")


def test_a_second_claim_under_a_lease_that_was_ended_takes_nothing(queue: Queue) -> None:
    ann = insert(queue.database, "ann@example.com")
    batch = claim(queue, ann)
    queue.release(batch.lease_id, "paused")
    assert claim(queue, ann, lease_id=batch.lease_id).contacts == []
    assert pair(queue.database, ann) == ("Selected", "Queued")


@pytest.mark.parametrize("status", ["brevo_sync_status = 'New'", "brevo_processing_status = NULL"])
def test_a_second_claim_under_the_same_lease_leaves_what_a_person_wrote_meanwhile(queue: Queue, status: str) -> None:
    ann, bob = insert(queue.database, "ann@example.com"), insert(queue.database, "bob@example.com")
    batch = claim(queue, ann, bob)
    sql(queue.database, f"UPDATE contacts SET {status} WHERE id = :id", id=ann)
    assert [taken.id for taken in claim(queue, ann, bob, lease_id=batch.lease_id).contacts] == [bob]


def test_a_contact_whose_process_died_twice_is_claimed_alone(queue: Queue) -> None:
    ann, bob = insert(queue.database, "ann@example.com"), insert(queue.database, "bob@example.com")
    for _ in range(ALONE_AT_CRASHES):
        assert ids_of(queue, ann, insert(queue.database, f"{uuid4()}@example.com"))
        leases_end(queue.database)
        queue.reap()
    assert ids_of(queue, ann, bob) == [bob]
    assert ids_of(queue, ann) == [ann]


def test_a_claim_takes_at_most_what_is_listed_oldest_change_first(queue: Queue) -> None:
    ids = [insert(queue.database, f"{n}@example.com", updated_at=f"2020-01-{31 - n} 00:00:00+00") for n in range(10)]
    assert next_run(queue, 3) == list(reversed(ids))[:3]


def test_claims_of_one_crm_wait_for_each_other_by_whatever_search_path_they_find_the_table(queue: Queue) -> None:
    database = queue.database
    sql(database, "CREATE SCHEMA app")
    other = Database(database.url.update_query_dict({"options": "-csearch_path=app,public"}))
    ann = insert(database, "ann@example.com")
    with (
        holding(database, queue.statements.sql("lock_claims", "queries"), crm="brevo") as first,
        meanwhile(lambda: claim(Queue(other, BREVO, RetryPolicy(), "api.example.com"), ann)) as second,
    ):
        until_waiting(database)
        first.rollback()
        assert len(second.result().contacts) == 1
    other.dispose()


def test_claims_of_another_crm_do_not_wait(queue: Queue) -> None:
    ann = insert(queue.database, "ann@example.com")
    with holding(queue.database, queue.statements.sql("lock_claims", "queries"), crm="hubspot"):
        assert ids_of(queue, ann) == [ann]
    assert attempts(queue.database, ann) == []
