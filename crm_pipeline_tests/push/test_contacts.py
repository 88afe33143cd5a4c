"""What becomes of single contacts in a batch: refused, not pushable, deleted, twins."""

from __future__ import annotations

from dataclasses import replace

import pytest

from crm_pipeline.database.engine import Database
from crm_pipeline.sandbox.account import Account
from crm_pipeline.sandbox.mishaps import Shares
from crm_pipeline_tests.push.pushing import Pushing
from crm_pipeline_tests.support.contacts import attempts, contact, insert, insert_many, mechanics, pair, pairs, sql

REFUSED = (400, {"code": "invalid_parameter", "message": "Invalid phone number"})


def test_a_refusal_is_retried_by_default(database: Database, account: Account, sync: Pushing) -> None:
    ann = insert(database, "not an address")
    sync.push_and_write_back()
    row = contact(database, ann)
    assert pair(database, ann) == ("Queued", "Error")
    assert (row.retry_count, row.brevo_processing_error) == (1, "Invalid email address (invalid_parameter, HTTP 400)")
    assert row.next_retry_at is not None


@pytest.mark.parametrize("status", [400, 422])
def test_a_refusal_goes_straight_to_error_when_refusals_are_not_retried(
    database: Database, account: Account, sync: Pushing, status: int
) -> None:
    ann = insert(database, "ann@example.com")
    account.faults.answer = lambda _: (status, REFUSED[1])
    result = sync.another(retry_rejected=False, lease=sync.lease).push_and_write_back()
    row = contact(database, ann)
    assert dict(result.outcomes) == {"rejected": 1}
    assert pair(database, ann) == ("Error", "Error")
    assert row.brevo_processing_error == f"Invalid phone number (invalid_parameter, HTTP {status})"
    assert row.next_retry_at is None


@pytest.mark.parametrize("status", [404, 409, 425, 500])
def test_what_is_no_clear_refusal_is_retried_even_then(
    database: Database, account: Account, sync: Pushing, status: int
) -> None:
    ann = insert(database, "ann@example.com")
    account.faults.answer = lambda _: (status, {"code": "x", "message": "no"})
    sync.another(retry_rejected=False, lease=sync.lease).push_and_write_back()
    assert pair(database, ann) == ("Queued", "Error")


@pytest.mark.parametrize("email", ["", "  "])
def test_a_contact_without_an_address_is_rejected_without_a_request(
    database: Database, account: Account, sync: Pushing, email: str
) -> None:
    nobody = insert(database, email)
    ann = insert(database, "ann@example.com")
    result = sync.push_and_write_back()
    assert [address for _, address in account.received] == ["ann@example.com"]
    assert dict(result.outcomes) == {"rejected": 1, "synced": 1}
    assert (pair(database, nobody), pair(database, ann)) == (("Error", "Error"), ("Complete", "Complete"))
    row = contact(database, nobody)
    assert (row.brevo_processing_error, row.next_retry_at, row.retry_count) == ("No e-mail address", None, 0)
    (attempt,) = attempts(database, nobody)
    assert (attempt.outcome, attempt.code, attempt.http_status) == ("rejected", "not_pushable", None)


def test_a_field_that_is_too_long_is_named_and_nothing_is_sent(
    database: Database, account: Account, sync: Pushing
) -> None:
    ann = insert(database, "ann@example.com", source_url="x" * 1_100_000)
    sync.push_and_write_back()
    assert pair(database, ann) == ("Error", "Error")
    assert contact(database, ann).brevo_processing_error == "Field too long: SOURCE_URL has 1100000 characters"
    assert account.received == []


def test_a_contact_that_is_deleted_while_its_answer_is_out_disturbs_nobody(
    database: Database, account: Account, sync: Pushing
) -> None:
    insert_many(database, 5)
    gone = insert(database, "gone@example.com")
    with account.faults.hold(lambda address: address == "gone@example.com") as hold, sync.pushing() as pushed:
        hold.wait_for(1)
        sql(database, "DELETE FROM contacts WHERE id = :id", id=gone)
        hold.release()
    assert pushed.result().claimed == 6
    sync.queue.write_back(sync.lease)
    assert pairs(database) == {"Complete/Complete": 5}
    assert attempts(database, gone) == []
    assert sync.leases() == 0


def test_a_contact_that_is_deleted_before_its_turn_is_sent_no_more_than_once_and_ends_nothing(
    database: Database, account: Account, sync: Pushing
) -> None:
    insert_many(database, 5)
    ids = sync.due()
    sql(database, "DELETE FROM contacts WHERE id = :id", id=ids[0])
    result = sync.push(ids)
    assert (result.listed, result.claimed, dict(result.outcomes)) == (5, 4, {"synced": 4})


def test_two_contacts_with_one_address_are_never_in_flight_together(
    database: Database, account: Account, sync: Pushing
) -> None:
    ids = [
        insert(database, email, name=email) for email in ("ann@example.com", " ANN@Example.com", "ann@example.com\t")
    ]
    with account.faults.hold() as hold, sync.pushing() as pushed:
        hold.wait_for(1)
        assert sync.another().push(ids).claimed == 0, "another run finds the address in flight"
        assert [address for _, address in account.received] == ["ann@example.com"]
        hold.release()
    assert pushed.result().claimed == 1
    sync.queue.write_back(sync.lease)
    for done in (2, 3):
        later = sync.another()
        assert later.push_and_write_back().claimed == 1
        assert pairs(database).get("Complete/Complete") == done
    assert [address for _, address in account.received] == ["ann@example.com"] * 3


def test_an_edit_while_the_answer_is_out_is_pushed_once_more(
    database: Database, account: Account, sync: Pushing
) -> None:
    ann = insert(database, "ann@example.com", name="Old")
    with account.faults.hold() as hold, sync.pushing():
        hold.wait_for(1)
        sql(database, "UPDATE contacts SET name = 'New' WHERE id = :id", id=ann)
        hold.release()
    sync.queue.write_back(sync.lease)
    assert pair(database, ann) == ("Selected", "Queued")
    sync.another().push_and_write_back()
    stored = account.contact("ann@example.com")
    assert stored is not None
    assert stored.attributes["FIRSTNAME"] == "New"


def test_hostile_text_reaches_the_crm_as_it_stands_in_the_database(
    database: Database, account: Account, sync: Pushing
) -> None:
    text = "Zoë 🎉 e\u0301 שלום \u202e '); DROP TABLE contacts; -- {{7*7}} \"\\ \U0010ffff x"
    insert(database, "ann@example.com", name=text, source_url=text)
    sync.push()
    stored = account.contact("ann@example.com")
    assert stored is not None
    assert stored.attributes["SOURCE_URL"] == text
    assert f"{stored.attributes['FIRSTNAME']} {stored.attributes['LASTNAME']}" == text


def test_a_retry_counts_on_from_the_attempts_before_it(database: Database, account: Account, sync: Pushing) -> None:
    ann = insert(database, "ann@example.com", "Queued", "Queued", retry_count=3, last_failed_crm="brevo")
    account.faults.answer = lambda _: REFUSED
    sync.push_and_write_back()
    assert pair(database, ann) == ("Error", "Error")
    assert contact(database, ann).brevo_processing_error.startswith("Max retries exceeded (3). Last error: Invalid")
    assert [attempt.attempt for attempt in attempts(database, ann)] == [4]
    assert mechanics(database, ann).retry_count == 3


def test_who_opted_out_after_a_push_whose_answer_was_lost_is_skipped_although_the_address_changed(
    database: Database, account: Account, sync: Pushing
) -> None:
    ann = insert(database, "ann@example.com")
    account.faults.shares = Shares(truncated=1)
    sync.push_and_write_back()
    assert pair(database, ann) == ("Queued", "Error")
    account.faults.clear()
    (stored,) = account.contacts()
    account.save(replace(stored, extra={"emailBlacklisted": True}))
    sql(database, "UPDATE contacts SET email = 'ann.lee@example.com', next_retry_at = now()")
    sql(database, "UPDATE crm_sync SET next_retry_at = now()")
    sync.queue.promote()
    sync.another().push_and_write_back()
    assert pair(database, ann) == ("Skipped", None)
    assert [stored.email for stored in account.contacts()] == ["ann@example.com"]


def test_what_the_account_does_not_keep_is_noted_in_the_attempt(
    database: Database, account: Account, sync: Pushing
) -> None:
    ann = insert(database, "ann@example.com", name="Ann Lee", source_url="https://example.com/")
    del account.fields["LASTNAME"]
    sync.parts.check(sync.stop)
    sync.push_and_write_back()
    (attempt,) = attempts(database, ann)
    assert attempt.note == "LASTNAME was not sent: Brevo has no such attribute in a type that fits"
