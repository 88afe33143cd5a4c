"""Races, each a story with a winner and a loser: who came first holds a row, who came second waits for it or skips it.

What freezes a statement in the middle of its transaction is a row that somebody else holds: a journal row, the
mechanics of a contact, a journal's insert that is not committed yet.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Connection, event, text

from crm_pipeline.contacts.queue import Queue
from crm_pipeline.database.engine import Database
from crm_pipeline.model import Batch, WriteBackCounts
from crm_pipeline_tests.contacts.races import holding, meanwhile, until_waiting
from crm_pipeline_tests.contacts.steps import answer, claim, leases_end, next_run, push
from crm_pipeline_tests.support.contacts import attempts, contact, insert, mechanics, pair, sql

NOTHING = WriteBackCounts()
SYNCED, FENCED, CRASHED = WriteBackCounts(synced=1), WriteBackCounts(fenced=1), WriteBackCounts(crashed=1)
WRITE = "UPDATE contacts SET brevo_sync_status = 'New', brevo_processing_status = NULL WHERE id = :id"
DELETE = "DELETE FROM contacts WHERE id = :id"


def state(database: Database, contact_id: UUID) -> tuple[Any, ...]:
    """All three tables of one contact: (statuses, leased, crashes, [(outcome, applied), ...])."""
    own = mechanics(database, contact_id)
    journal = [(row.outcome, row.applied) for row in attempts(database, contact_id)]
    return "/".join(map(str, pair(database, contact_id))), own.lease_id is not None, own.crashes, journal


def held_journal_row(queue: Queue, batch: Batch) -> Any:
    """Whoever writes this answer back has locked its contact, and then waits here."""
    statement = "SELECT 1 FROM crm_attempts WHERE lease_id = :lease FOR UPDATE"
    return holding(queue.database, statement, lease=batch.lease_id)


@contextmanager
def unfinished_journal(queue: Queue, batch: Batch) -> Iterator[Connection]:
    """The worker's answer is inserted, but not committed yet: whoever ends this lease waits for its fate."""
    (taken,) = batch.contacts
    statement = (
        "INSERT INTO crm_attempts (crm, contact_id, run_id, lease_id, attempt, target, started_at, outcome) "
        "VALUES ('brevo', :id, 'a run', :lease, 1, 'api.example.com', now(), 'synced')"
    )
    with holding(queue.database, statement, id=taken.id, lease=batch.lease_id) as worker:
        yield worker


def claimed(queue: Queue, answered: bool = True) -> tuple[UUID, Batch]:
    ann = insert(queue.database, "ann@example.com")
    batch = claim(queue, ann)
    if answered:
        answer(queue, batch)
    return ann, batch


def test_a_write_back_that_holds_the_contact_wins_over_the_reaper(queue: Queue) -> None:
    ann, batch = claimed(queue)
    leases_end(queue.database)
    with held_journal_row(queue, batch) as row, meanwhile(lambda: queue.write_back(batch.lease_id)) as winner:
        until_waiting(queue.database)
        assert queue.reap() == NOTHING
        row.rollback()
        assert winner.result() == SYNCED
    assert state(queue.database, ann) == ("Complete/Complete", False, 0, [("synced", "applied")])


def test_a_reaper_that_holds_the_contact_wins_over_its_write_back(queue: Queue) -> None:
    ann, batch = claimed(queue)
    leases_end(queue.database)
    with held_journal_row(queue, batch) as row, meanwhile(queue.reap) as winner:
        until_waiting(queue.database)
        assert queue.write_back(batch.lease_id) == NOTHING
        row.rollback()
        assert winner.result() == SYNCED, "the reaper applies what was journalled"
    assert queue.write_back(batch.lease_id) == NOTHING
    assert state(queue.database, ann) == ("Complete/Complete", False, 0, [("synced", "applied")])


def test_of_two_reapers_one_ends_the_lease_and_counts_one_crash(queue: Queue) -> None:
    ann, batch = claimed(queue, answered=False)
    leases_end(queue.database)
    with unfinished_journal(queue, batch) as worker, meanwhile(queue.reap) as winner:
        until_waiting(queue.database)
        assert queue.reap() == NOTHING
        worker.rollback()
        assert winner.result() == CRASHED
    assert queue.reap() == NOTHING
    assert state(queue.database, ann) == ("Selected/Queued", False, 1, [("released", "applied")])


def test_a_claim_that_holds_the_contact_wins_over_a_stale_write_back_which_is_fenced_later(queue: Queue) -> None:
    ann, stale = claimed(queue, answered=False)
    leases_end(queue.database)
    queue.reap()
    answer(queue, stale)
    statement = "SELECT 1 FROM crm_sync WHERE contact_id = :id FOR UPDATE"
    with holding(queue.database, statement, id=ann) as row, meanwhile(lambda: claim(queue, ann)) as winner:
        until_waiting(queue.database)
        assert queue.write_back(stale.lease_id) == NOTHING
        row.rollback()
        batch = winner.result()
    assert [taken.id for taken in batch.contacts] == [ann]
    assert state(queue.database, ann) == ("Processing/Processing", True, 1, [("synced", "pending")])
    assert queue.write_back(stale.lease_id) == FENCED
    assert state(queue.database, ann) == ("Processing/Processing", True, 1, [("synced", "fenced")])
    answer(queue, batch)
    assert queue.write_back(batch.lease_id) == WriteBackCounts(edited=1), "the late push may have come last"
    assert next_run(queue) == [ann]


def test_a_stale_write_back_that_holds_the_contact_wins_over_a_claim_which_skips_it(queue: Queue) -> None:
    ann, stale = claimed(queue, answered=False)
    leases_end(queue.database)
    queue.reap()
    answer(queue, stale)
    with held_journal_row(queue, stale) as row, meanwhile(lambda: queue.write_back(stale.lease_id)) as winner:
        until_waiting(queue.database)
        assert claim(queue, ann).contacts == []
        row.rollback()
        assert winner.result() == FENCED
    assert state(queue.database, ann) == ("Selected/Queued", False, 1, [("synced", "fenced")])
    assert push(queue, ann) == SYNCED


def test_of_two_claims_of_twins_one_takes_its_contact_and_the_other_batch_is_smaller(queue: Queue) -> None:
    database = queue.database
    ann, twin = insert(database, "ann@example.com"), insert(database, "Ann@Example.com ")
    bob, cas = insert(database, "bob@example.com"), insert(database, "cas@example.com")
    lock = queue.statements.sql("lock_claims", "queries")
    with (
        holding(database, lock, crm="brevo") as other_claim,
        meanwhile(lambda: claim(queue, ann, bob)) as first,
        meanwhile(lambda: claim(queue, twin, cas)) as second,
    ):
        until_waiting(database, 2)
        other_claim.rollback()
        taken = {one.id for batch in (first, second) for one in batch.result().contacts}
    assert taken in ({ann, bob, cas}, {twin, bob, cas})
    (left,) = {ann, twin} - taken
    assert pair(database, left) == ("Selected", "Queued")
    leased = sql(database, "SELECT email_key FROM crm_sync WHERE lease_id IS NOT NULL ORDER BY email_key")
    assert [row.email_key for row in leased] == ["ann@example.com", "bob@example.com", "cas@example.com"]
    assert sql(database, "SELECT 1 FROM crm_attempts") == []


def test_a_claim_wins_over_a_take_back_that_had_seen_its_contact_left_behind(queue: Queue) -> None:
    ann = insert(queue.database, "ann@example.com", "Processing", "Processing")
    lease = uuid4()
    lock = queue.statements.sql("lock_claims", "queries")
    with (
        holding(queue.database, lock, crm="brevo") as other_run,
        meanwhile(lambda: queue.take_back(always=True)) as loser,
    ):
        until_waiting(queue.database)
        other_run.execute(queue.statements("take_back"), {"crm": "brevo", "ids": [str(ann)]})
        values = {
            "crm": "brevo",
            "ids": [str(ann)],
            "lease_id": str(lease),
            "run_id": "other",
            "alone_at": 2,
            "is_alone": True,
        }
        other_run.execute(queue.statements("claim"), values | {"lease_seconds": 600})
        other_run.commit()
        assert loser.result() == 0
    assert state(queue.database, ann) == ("Processing/Processing", True, 0, [])
    assert mechanics(queue.database, ann).lease_id == lease


def test_a_take_back_wins_over_a_claim_that_waits_for_it(queue: Queue) -> None:
    ann = insert(queue.database, "ann@example.com", "Complete", "Processing")
    lock = queue.statements.sql("lock_claims", "queries")
    with holding(queue.database, lock, crm="brevo") as other_run, meanwhile(lambda: claim(queue, ann)) as second:
        until_waiting(queue.database)
        other_run.execute(queue.statements("take_back"), {"crm": "brevo", "ids": [str(ann)]})
        other_run.commit()
        assert len(second.result().contacts) == 1
    assert mechanics(queue.database, ann).prior_sync_status == "Complete"
    assert state(queue.database, ann) == ("Processing/Processing", True, 0, [])


def test_a_release_tries_again_when_a_person_was_just_writing_and_leaves_what_that_wrote(queue: Queue) -> None:
    ann, batch = claimed(queue, answered=False)
    with holding(queue.database, WRITE, id=ann) as person:

        def commit(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
            if statement.startswith("-- Is any contact under this lease?") and person.in_transaction():
                person.commit()

        event.listen(queue.database.engine, "after_cursor_execute", commit)
        assert queue.release(batch.lease_id, "paused") == WriteBackCounts(released=1)
        event.remove(queue.database.engine, "after_cursor_execute", commit)
    assert state(queue.database, ann) == ("New/None", False, 0, [("released", "overruled")])


def test_a_release_waits_for_no_person_and_leaves_the_rest_to_the_reaper(queue: Queue) -> None:
    ann, batch = claimed(queue, answered=False)
    with holding(queue.database, WRITE, id=ann):
        assert queue.release(batch.lease_id, "paused") == NOTHING
    assert state(queue.database, ann) == ("New/None", True, 0, [])
    leases_end(queue.database)
    assert queue.reap() == CRASHED
    assert state(queue.database, ann) == ("New/None", False, 1, [("released", "overruled")])


def test_a_person_who_writes_while_a_release_holds_the_contact_has_the_last_word(queue: Queue) -> None:
    ann, batch = claimed(queue, answered=False)
    with (
        unfinished_journal(queue, batch) as worker,
        meanwhile(lambda: queue.release(batch.lease_id, "paused")) as release,
    ):
        until_waiting(queue.database)
        with meanwhile(lambda: sql(queue.database, WRITE, id=ann)) as person:
            until_waiting(queue.database, 2)
            worker.rollback()
            assert release.result() == WriteBackCounts(released=1)
            person.result()
    assert state(queue.database, ann) == ("New/None", False, 0, [("released", "applied")])


def test_a_person_who_deletes_while_a_write_back_holds_the_contact_deletes_it_after(queue: Queue) -> None:
    ann, batch = claimed(queue)
    with held_journal_row(queue, batch) as row, meanwhile(lambda: queue.write_back(batch.lease_id)) as write_back:
        until_waiting(queue.database)
        with meanwhile(lambda: sql(queue.database, DELETE, id=ann)) as person:
            until_waiting(queue.database, 2)
            row.rollback()
            assert write_back.result() == SYNCED
            person.result()
    for table in ("contacts", "crm_sync", "crm_attempts"):
        assert sql(queue.database, f"SELECT 1 FROM {table}") == []


def test_a_delete_that_came_first_leaves_the_write_back_without_a_row(queue: Queue) -> None:
    ann, batch = claimed(queue)
    with holding(queue.database, DELETE, id=ann):
        assert queue.write_back(batch.lease_id) == NOTHING
    assert queue.write_back(batch.lease_id) == NOTHING
    for table in ("contacts", "crm_sync", "crm_attempts"):
        assert sql(queue.database, f"SELECT 1 FROM {table}") == []


def test_a_run_given_back_while_its_worker_journals_wins_and_the_answer_is_fenced(queue: Queue) -> None:
    ann, batch = claimed(queue, answered=False)
    with (
        unfinished_journal(queue, batch) as worker,
        meanwhile(lambda: queue.give_back("a run", "cancelled", crashed=False)) as winner,
    ):
        until_waiting(queue.database)
        worker.commit()
        winner.result()
    assert state(queue.database, ann) == ("Selected/Queued", False, 0, [("synced", "pending")])
    assert queue.write_back(batch.lease_id) == FENCED
    assert state(queue.database, ann) == ("Selected/Queued", False, 0, [("synced", "fenced")])
    assert next_run(queue) == [ann]


def test_a_living_workers_write_back_wins_over_the_giving_back_of_its_run(queue: Queue) -> None:
    ann, batch = claimed(queue)
    with held_journal_row(queue, batch) as row, meanwhile(lambda: queue.write_back(batch.lease_id)) as winner:
        until_waiting(queue.database)
        assert queue.give_back("a run", "cancelled", crashed=True) == NOTHING
        row.rollback()
        assert winner.result() == SYNCED
    assert queue.give_back("a run", "cancelled", crashed=True) == NOTHING
    assert state(queue.database, ann) == ("Complete/Complete", False, 0, [("synced", "applied")])


def test_a_person_who_selects_many_locks_them_by_id_so_that_no_two_wait_in_a_ring(queue: Queue) -> None:
    low, high = UUID(int=1), UUID(int=2)
    for contact_id in (high, low):  # as they lie in the table
        insert(queue.database, f"{contact_id}@example.com", id=contact_id)
    locked = "SELECT 1 FROM contacts WHERE id = :id FOR UPDATE"
    for act in (queue.select, queue.unselect):
        with (
            holding(queue.database, locked, id=low) as other,
            meanwhile(partial(act, [high, low])) as second,
        ):
            until_waiting(queue.database)
            other.execute(text(locked + " NOWAIT"), {"id": high})
            other.rollback()
            assert second.result() == 2
    assert contact(queue.database, low).brevo_sync_status == "New"
