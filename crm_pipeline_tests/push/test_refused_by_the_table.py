"""A row that the application's table refuses, by a constraint or a trigger, holds up nobody else."""

from __future__ import annotations

import logging

import pytest

from crm_pipeline.contacts.counts import run_summary
from crm_pipeline.database.engine import Database
from crm_pipeline.errors import DatabaseFailure
from crm_pipeline.sandbox.account import Account
from crm_pipeline_tests.push.pushing import RUN, Pushing, whole_run
from crm_pipeline_tests.support.contacts import attempts, contact, insert, insert_many, mechanics, pair, pairs, sql

ONE_EACH = "ALTER TABLE contacts ADD CONSTRAINT one_each UNIQUE (brevo_contact_id)"
AN_ADDRESS = "ALTER TABLE contacts ADD CONSTRAINT an_address CHECK (email LIKE '%@%') NOT VALID"
NOBODY_TOUCHES = """
    CREATE FUNCTION keep_archived() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF OLD.name = 'Archived' THEN RAISE 'Ann Lee, 12 Rose Lane, is archived'; END IF;
        RETURN NEW;
    END $$;
    CREATE TRIGGER keep_archived BEFORE UPDATE ON contacts FOR EACH ROW EXECUTE FUNCTION keep_archived()
"""


def leases_end(database: Database) -> None:
    sql(database, "UPDATE crm_sync SET leased_until = now() - interval '1 minute' WHERE lease_id IS NOT NULL")


def test_an_answer_that_the_table_refuses_is_the_contacts_own_error_and_the_others_are_complete(
    sync: Pushing, database: Database
) -> None:
    sql(database, ONE_EACH)
    insert(database, "other@example.com", "New", None, brevo_contact_id="ann@example.com")
    ann = insert(database, "ann@example.com")
    insert_many(database, 5)
    sync.push_and_write_back()
    assert pairs(database) == {"Complete/Complete": 5, "Error/Error": 1, "New/NULL": 1}
    error = contact(database, ann).brevo_processing_error
    assert error.startswith("The table contacts refused what the CRM answered: duplicate key value violates")
    (attempt,) = attempts(database, ann)
    assert (attempt.outcome, attempt.applied, attempt.note) == ("rejected", "applied", "synced at the CRM")
    assert sync.leases() == 0


def test_an_answer_too_long_for_the_table_turns_no_later_run_red(
    sync: Pushing, database: Database, account: Account
) -> None:
    sql(database, "ALTER TABLE contacts ALTER COLUMN brevo_contact_id TYPE varchar(30)")
    long = insert(database, f"{'x' * 30}@example.com")
    insert_many(database, 5)
    account.faults.answer = lambda address: (502, "<html>bad gateway</html>") if len(address) > 30 else None
    sync.push()  # and the process dies before it writes back
    leases_end(database)
    sync.queue.reap()
    assert pairs(database) == {"Complete/Complete": 5, "Error/Error": 1}
    assert "value too long" in contact(database, long).brevo_processing_error
    assert attempts(database, long)[0].note.startswith("failed at the CRM: ")


def test_when_each_answer_is_refused_none_is_turned_down_and_what_was_answered_counts_once_that_is_mended(
    sync: Pushing, database: Database
) -> None:
    insert_many(database, 3)
    sql(database, "ALTER TABLE contacts ADD CONSTRAINT none_yet CHECK (brevo_contact_id IS NULL)")
    sync.push()
    with pytest.raises(DatabaseFailure, match="none_yet"):
        sync.queue.write_back(sync.lease)
    assert pairs(database) == {"Processing/Processing": 3}
    sql(database, "ALTER TABLE contacts DROP CONSTRAINT none_yet")
    assert sync.queue.write_back(sync.lease).synced == 3


def test_one_that_may_not_be_claimed_leaves_the_others_of_its_batch_alone_and_then_has_a_batch_of_its_own(
    sync: Pushing, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    bad = insert(database, "no-at-sign")
    insert_many(database, 5)
    sql(database, AN_ADDRESS)
    with caplog.at_level(logging.WARNING):
        whole_run(sync)
    assert pairs(database) == {"Complete/Complete": 5, "Selected/Queued": 1}
    assert f"Contact {bad} is not claimed" in caplog.text
    (attempt,) = attempts(database, bad)
    assert attempt.outcome == "released"
    assert attempt.note.startswith("not claimed: new row for relation")
    insert_many(database, 1, "later.example.com")
    whole_run(sync.another())
    assert len(attempts(database, bad)) == 1, "the same is noted once a day"
    assert mechanics(database, bad).crashes == 2
    assert next(queued.crashes for queued in sync.queue.list_due(10) if queued.id == bad) == 2
    assert pairs(database) == {"Complete/Complete": 6, "Selected/Queued": 1}


def test_a_run_that_met_nobody_else_has_claimed_nothing_so_that_the_sensor_waits_before_the_next(
    sync: Pushing, database: Database
) -> None:
    insert(database, "no-at-sign")
    sql(database, AN_ADDRESS)
    whole_run(sync)
    assert sync.queue.due_now().queued
    assert not run_summary(sync.queue, RUN).attempts


def test_one_that_may_not_be_promoted_or_given_back_leaves_the_others_alone(sync: Pushing, database: Database) -> None:
    archived = insert(database, "archived@example.com", "Queued", "Error")
    waiting = insert(database, "waiting@example.com", "Queued", "Error")
    held = insert(database, "held@example.com")
    killed = insert(database, "killed@example.com")
    sync.queue.claim([held, killed], sync.lease, "run-1", 600)
    sql(database, "UPDATE contacts SET name = 'Archived' WHERE id = ANY(:ids)", ids=[archived, held])
    sql(database, NOBODY_TOUCHES)
    leases_end(database)
    assert sync.queue.reap().crashed == 1
    assert sync.queue.promote() == 1
    assert pair(database, waiting) == ("Selected", "Queued")
    assert pair(database, killed) == ("Selected", "Queued")
    assert pair(database, archived) == ("Queued", "Error")
    assert pair(database, held) == ("Processing", "Processing")


def test_one_that_may_not_be_taken_back_leaves_the_others_alone(sync: Pushing, database: Database) -> None:
    archived = insert(database, "archived@example.com", "Processing", "Processing", name="Archived")
    left = insert(database, "left@example.com", "Processing", "Processing")
    sql(database, NOBODY_TOUCHES)
    assert sync.queue.take_back() == 1
    assert pair(database, left) == ("Queued", "Queued")
    assert pair(database, archived) == ("Processing", "Processing")


def test_what_a_trigger_says_is_not_repeated_for_it_may_name_anybody(
    sync: Pushing, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    archived = insert(database, "archived@example.com", name="Archived")
    insert_many(database, 2)
    sql(database, NOBODY_TOUCHES)
    with caplog.at_level(logging.WARNING):
        whole_run(sync)
    assert attempts(database, archived)[0].note == "not claimed: the function keep_archived raised an exception"
    assert "Rose Lane" not in caplog.text
    with pytest.raises(DatabaseFailure) as failure:
        sync.queue.select([archived])
    assert "Rose Lane" not in str(failure.value)


def test_a_constraint_that_is_looked_at_only_at_the_commit_refuses_its_row_alone_too(
    sync: Pushing, database: Database
) -> None:
    sql(database, f"{ONE_EACH} DEFERRABLE INITIALLY DEFERRED")
    insert(database, "other@example.com", "New", None, brevo_contact_id="ann@example.com")
    insert(database, "ann@example.com")
    insert_many(database, 2)
    sync.push_and_write_back()
    assert pairs(database) == {"Complete/Complete": 2, "Error/Error": 1, "New/NULL": 1}
