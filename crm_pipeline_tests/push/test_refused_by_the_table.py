"""Rows that the application's table refuses, by a constraint or a trigger, hold up nobody else, however many."""

from __future__ import annotations

import logging

import pytest

from crm_pipeline.contacts import ledger
from crm_pipeline.contacts.counts import run_summary
from crm_pipeline.database.engine import Database
from crm_pipeline.errors import DatabaseFailure
from crm_pipeline.sandbox.account import Account
from crm_pipeline_tests.push.pushing import RUN, Pushing, whole_run
from crm_pipeline_tests.support.contacts import attempts, contact, insert, insert_many, mechanics, pair, pairs, sql

ONE_EACH = "ALTER TABLE contacts ADD CONSTRAINT one_each UNIQUE (brevo_contact_id)"
NONE_YET = "ALTER TABLE contacts ADD CONSTRAINT none_yet CHECK (brevo_contact_id IS NULL) NOT VALID"
AN_ADDRESS = "ALTER TABLE contacts ADD CONSTRAINT an_address CHECK (email LIKE '%@%') NOT VALID"
NOBODY_TOUCHES = """
    CREATE FUNCTION keep_archived() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF OLD.name = 'Archived' THEN RAISE 'Ann Lee, 12 Rose Lane, is archived'{using}; END IF;
        RETURN NEW;
    END $$;
    CREATE TRIGGER keep_archived BEFORE UPDATE ON contacts FOR EACH ROW EXECUTE FUNCTION keep_archived()
"""
TOUCHES_NOBODY = "DROP TRIGGER keep_archived ON contacts"


def leases_end(database: Database) -> None:
    sql(database, "UPDATE crm_sync SET leased_until = now() - interval '1 minute' WHERE lease_id IS NOT NULL")


def archive(database: Database, using: str = "") -> None:
    """From now on the table refuses every change of those that are archived."""
    sql(database, NOBODY_TOUCHES.replace("{using}", using))


def taken(database: Database, name: str) -> str:
    """An address whose id at the CRM another contact has, which nobody wants there."""
    insert(database, f"other-{name}@example.com", "New", None, brevo_contact_id=f"{name}@example.com")
    return f"{name}@example.com"


# -- answers -----------------------------------------------------------------------------------------------------------


def test_an_answer_that_the_table_takes_of_others_and_not_of_this_contact_is_its_own_error(
    sync: Pushing, database: Database
) -> None:
    sql(database, ONE_EACH)
    ann = insert(database, taken(database, "ann"))
    insert_many(database, 5)
    sync.push()
    sql(database, "UPDATE crm_attempts SET id = DEFAULT WHERE contact_id = :id", id=ann)  # the last of its batch
    sync.queue.write_back(sync.lease)
    assert pairs(database) == {"Complete/Complete": 5, "Error/Error": 1, "New/NULL": 1}
    error = contact(database, ann).brevo_processing_error
    assert error.startswith("The table contacts refused what the CRM answered: duplicate key value violates")
    (attempt,) = attempts(database, ann)
    assert (attempt.outcome, attempt.applied, attempt.note) == ("rejected", "applied", "was synced")
    assert attempt.external_id == "ann@example.com", "what is at the CRM is known"
    assert sync.leases() == 0


def test_an_answer_too_long_for_the_table_turns_no_later_run_red(
    sync: Pushing, database: Database, account: Account
) -> None:
    sql(database, "ALTER TABLE contacts ALTER COLUMN brevo_contact_id TYPE varchar(30)")
    long = [insert(database, f"{letter * 30}@example.com") for letter in "ab"]
    insert_many(database, 5)
    account.faults.answer = lambda address: (502, "<html>bad gateway</html>") if len(address) > 20 else None
    sync.push()  # and the process dies before it writes back
    leases_end(database)
    sync.queue.reap()
    assert pairs(database) == {"Processing/Processing": 2, "Complete/Complete": 5}
    account.faults.answer = lambda address: (502, "") if address == "short@example.com" else None
    insert(database, "short@example.com")
    whole_run(sync.another())
    sync.queue.reap()
    for contact_id in long:
        assert pair(database, contact_id) == ("Error", "Error")
        assert "a value is too long for its column" in contact(database, contact_id).brevo_processing_error
        assert attempts(database, contact_id)[0].note.startswith("was failed: ")


def test_when_each_answer_is_refused_none_is_turned_down_and_what_was_answered_counts_once_that_is_mended(
    sync: Pushing, database: Database
) -> None:
    insert_many(database, 3)
    sql(database, NONE_YET)
    sync.push()
    with pytest.raises(DatabaseFailure, match="none_yet"):
        sync.queue.write_back(sync.lease)
    leases_end(database)
    sync.queue.reap()
    assert pairs(database) == {"Processing/Processing": 3}
    assert {entry.state for entry in ledger.look(sync.queue, 0, paused=False).lost} == {"lease over"}
    sql(database, "ALTER TABLE contacts DROP CONSTRAINT none_yet")
    assert sync.queue.reap().synced == 3


def test_two_that_are_refused_alone_in_their_batch_wait_until_the_table_takes_such_an_answer_of_somebody(
    sync: Pushing, database: Database
) -> None:
    sql(database, ONE_EACH)
    for name in ("ann", "bob"):
        insert(database, taken(database, name))
    with pytest.raises(DatabaseFailure, match="one_each"):
        sync.push_and_write_back()
    leases_end(database)
    insert_many(database, 1)
    whole_run(sync.another())
    sync.queue.reap()
    assert pairs(database) == {"Complete/Complete": 1, "Error/Error": 2, "New/NULL": 2}


def test_a_late_success_that_the_table_refuses_keeps_its_repair(sync: Pushing, database: Database) -> None:
    ann = insert(database, "ann@example.com")
    insert_many(database, 2)
    sync.push()
    sql(database, "UPDATE crm_sync SET lease_id = NULL, leased_until = NULL WHERE contact_id = :id", id=ann)
    sql(
        database,
        "UPDATE contacts SET brevo_sync_status = 'Complete', brevo_processing_status = 'Complete', name = 'Archived' "
        "WHERE id = :id",
        id=ann,
    )
    archive(database)
    sync.queue.write_back(sync.lease)
    assert attempts(database, ann)[0].applied == "pending"
    sql(database, TOUCHES_NOBODY)
    sync.queue.reap()
    assert pair(database, ann) == ("Queued", "Queued")


# -- claims ------------------------------------------------------------------------------------------------------------


def test_those_that_may_not_be_claimed_leave_the_others_alone_and_are_left_alone_for_five_minutes(
    sync: Pushing, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    bad = [insert(database, f"no-at-sign-{number}") for number in range(2)]
    insert_many(database, 5)
    sql(database, AN_ADDRESS)
    with caplog.at_level(logging.WARNING):
        whole_run(sync)
    assert pairs(database) == {"Complete/Complete": 5, "Selected/Queued": 2}
    assert all(f"Contact {contact_id} is not claimed: new row for relation" in caplog.text for contact_id in bad)
    assert sync.queue.list_due(10) == []
    assert not sync.queue.due_now()
    sql(database, "UPDATE crm_sync SET refused_until = now() - interval '1 second'")
    assert {queued.id for queued in sync.queue.list_due(10)} == set(bad)
    whole_run(sync.another())
    for contact_id in bad:
        (attempt,) = attempts(database, contact_id)
        assert attempt.note.startswith("not claimed: new row for relation"), "noted once a day"
        assert mechanics(database, contact_id).crashes == 0


def test_those_that_may_not_be_claimed_are_named_by_the_ledger_until_somebody_mends_it(
    sync: Pushing, database: Database
) -> None:
    bad = insert(database, "no-at-sign")
    sql(database, AN_ADDRESS)
    whole_run(sync)
    assert [(entry.contact_id, entry.state) for entry in ledger.look(sync.queue, 5, paused=False).lost] == [
        (bad, "refused")
    ]
    sql(database, "ALTER TABLE contacts DROP CONSTRAINT an_address")
    sql(database, "UPDATE crm_sync SET refused_until = now() - interval '1 second'")
    sync.queue.claim([bad], sync.another().lease, RUN, 600)
    assert mechanics(database, bad).refused_until is None
    assert ledger.look(sync.queue, 5, paused=False).lost == []


def test_many_that_may_not_be_claimed_do_not_take_the_turn_of_the_others(sync: Pushing, database: Database) -> None:
    for number in range(12):
        insert(database, f"no-at-sign-{number}")
    sql(database, AN_ADDRESS)
    insert_many(database, 5)
    for _ in range(2):
        whole_run(sync.another(), limit=10)
    assert pairs(database) == {"Complete/Complete": 5, "Selected/Queued": 12}


def test_a_run_that_met_nobody_else_has_claimed_nothing(sync: Pushing, database: Database) -> None:
    insert(database, "no-at-sign")
    sql(database, AN_ADDRESS)
    whole_run(sync)
    assert not run_summary(sync.queue, RUN).attempts


def test_one_that_has_to_go_alone_does_so_too_when_a_batch_is_taken_apart(sync: Pushing, database: Database) -> None:
    killer, bad = insert(database, "killer@example.com"), insert(database, "no-at-sign")
    insert_many(database, 2)
    sql(database, "INSERT INTO crm_sync (contact_id, crm, crashes) VALUES (:id, 'brevo', 2)", id=killer)
    sql(database, AN_ADDRESS)
    others = [queued.id for queued in sync.queue.list_due(10) if queued.id != killer]
    batch = sync.queue.claim([killer, *others], sync.lease, RUN, 600)
    assert {taken.id for taken in batch.contacts} == set(others) - {bad}


# -- the start of a run ------------------------------------------------------------------------------------------------


def test_those_that_may_not_be_promoted_given_back_or_taken_back_leave_the_others_alone(
    sync: Pushing, database: Database
) -> None:
    waiting = [
        insert(database, f"{name}@waits.example.com", "Queued", "Error")
        for name in ("archived-1", "archived-2", "well")
    ]
    held = [insert(database, f"{name}@held.example.com") for name in ("archived-1", "archived-2", "well")]
    left = [
        insert(database, f"{n}@left.example.com", "Processing", "Processing")
        for n in ("archived-1", "archived-2", "well")
    ]
    sync.queue.claim(held, sync.lease, "run-1", 600)
    sql(database, "UPDATE contacts SET name = 'Archived' WHERE email LIKE 'archived%'")
    archive(database)
    leases_end(database)
    assert sync.queue.reap().crashed == 1
    assert sync.queue.promote() == 1
    assert sync.queue.take_back() == 1
    assert pair(database, waiting[2]) == pair(database, held[2]) == ("Selected", "Queued")
    assert pair(database, left[2]) == ("Queued", "Queued")
    insert_many(database, 5)
    whole_run(sync)
    assert pairs(database)["Complete/Complete"] == 5 + 3
    assert [pair(database, one) for one in waiting[:2]] == [("Queued", "Error")] * 2
    assert [pair(database, one) for one in (*held[:2], *left[:2])] == [("Processing", "Processing")] * 4


def test_who_waits_behind_a_refused_portion_is_promoted_too(
    sync: Pushing, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crm_pipeline.contacts.queue.AT_ONCE", 2)
    for number in range(7):
        name = "Archived" if number < 5 else "Well"
        insert(
            database, f"{number}@example.com", "Queued", "Error", name=name, id=f"{number:08d}-0000-4000-8000-{0:012d}"
        )
    archive(database)
    assert sync.queue.promote() == 2


# -- what is said ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "using", ["", " USING ERRCODE = 'check_violation'", " USING ERRCODE = 'A0001'", " USING ERRCODE = '45000'"]
)
def test_what_a_trigger_says_is_not_repeated_for_it_may_name_anybody(
    sync: Pushing, database: Database, caplog: pytest.LogCaptureFixture, using: str
) -> None:
    archived = insert(database, "archived@example.com", name="Archived")
    insert_many(database, 2)
    archive(database, using)
    with caplog.at_level(logging.WARNING):
        whole_run(sync)
    assert pairs(database) == {"Complete/Complete": 2, "Selected/Queued": 1}
    assert attempts(database, archived)[0].note.startswith(
        "not claimed: the function keep_archived raised an exception"
    )
    assert "Rose Lane" not in caplog.text
    with pytest.raises(DatabaseFailure) as failure:
        sync.queue.select([archived])
    assert "Rose Lane" not in str(failure.value)


def test_a_value_that_does_not_fit_is_not_repeated(database: Database) -> None:
    with pytest.raises(DatabaseFailure) as failure:
        sql(database, "UPDATE contacts SET retry_count = CAST('Ann Lee' AS integer)")
    assert "Ann Lee" not in str(failure.value)


# -- constraints that wait for the COMMIT ------------------------------------------------------------------------------


def test_a_constraint_that_is_looked_at_only_at_the_commit_refuses_its_row_alone_too(
    sync: Pushing, database: Database
) -> None:
    sql(database, f"{ONE_EACH} DEFERRABLE INITIALLY DEFERRED")
    insert(database, taken(database, "ann"))
    insert_many(database, 2)
    sync.push_and_write_back()
    assert pairs(database) == {"Complete/Complete": 2, "Error/Error": 1, "New/NULL": 1}


def test_a_constraint_that_the_applications_trigger_fulfils_before_the_commit_refuses_nothing(
    sync: Pushing, database: Database
) -> None:
    sql(database, "CREATE TABLE history (id uuid PRIMARY KEY)")
    sql(database, "ALTER TABLE contacts ADD history uuid REFERENCES history DEFERRABLE INITIALLY DEFERRED")
    sql(
        database,
        "CREATE FUNCTION history_first() RETURNS trigger LANGUAGE plpgsql AS "
        "$$BEGIN NEW.history := gen_random_uuid(); RETURN NEW; END$$;"
        "CREATE FUNCTION history_then() RETURNS trigger LANGUAGE plpgsql AS "
        "$$BEGIN INSERT INTO history VALUES (NEW.history); RETURN NULL; END$$;"
        "CREATE TRIGGER a BEFORE UPDATE ON contacts FOR EACH ROW EXECUTE FUNCTION history_first();"
        "CREATE TRIGGER z AFTER UPDATE ON contacts FOR EACH ROW EXECUTE FUNCTION history_then()",
    )
    insert(database, "no-at-sign")
    insert_many(database, 3)
    sql(database, AN_ADDRESS)
    whole_run(sync)
    assert pairs(database) == {"Complete/Complete": 3, "Selected/Queued": 1}
