"""Stories that only a guard keeps from going wrong: each returns when its promise holds, or raises AssertionError.

`queue` is the one whose statements are judged; `others` do what other processes do, by the real statements.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import ExitStack

from crm_pipeline.contacts.answers import RetryPolicy
from crm_pipeline.contacts.queue import ALONE_AT_CRASHES, Queue
from crm_pipeline.errors import DatabaseFailure
from crm_pipeline.model import Batch, Contact, OutcomeKind
from crm_pipeline_tests.contacts.races import holding, meanwhile, until, until_waiting
from crm_pipeline_tests.contacts.steps import answer, claim, leases_end, next_run, push
from crm_pipeline_tests.support.contacts import insert, mechanics, pair, sql

UNIQUE_VIOLATION = "23505"
BARRIER = 4242
"""An advisory lock at which a statement with an old snapshot is made to wait."""
HOLD_BARRIER = f"SELECT pg_advisory_xact_lock({BARRIER})"


def a_former_owners_answer_decides_nothing(queue: Queue, others: Queue) -> None:
    ann = insert(queue.database, "ann@example.com")
    stale = claim(queue, ann)
    leases_end(queue.database)
    others.reap()
    batch = claim(others, ann)
    answer(queue, stale)
    queue.write_back(stale.lease_id)
    assert mechanics(queue.database, ann).lease_id == batch.lease_id, "a former owner ended another's lease"


def a_reaper_with_an_old_view_takes_no_new_lease(queue: Queue, others: Queue) -> None:
    ann = insert(queue.database, "ann@example.com")
    claim(others, ann)
    leases_end(queue.database)
    with holding(queue.database, HOLD_BARRIER) as barrier, meanwhile(queue.reap) as reaper:
        until_waiting(queue.database)
        assert others.reap().crashed == 1
        batch = claim(others, ann)
        barrier.rollback()
        reaper.result()
    assert mechanics(queue.database, ann).lease_id == batch.lease_id, "a live lease was reaped"


def no_lease_changes_hands_while_its_answer_is_written_back(queue: Queue, others: Queue) -> None:
    ann = insert(queue.database, "ann@example.com")
    batch = claim(queue, ann)
    answer(queue, batch, OutcomeKind.FAILED, error="no")
    leases_end(queue.database)
    at_once = Queue(queue.database, others.statements.columns, RetryPolicy(delay_minutes=0), others.target)
    with holding(queue.database, HOLD_BARRIER) as barrier, meanwhile(lambda: queue.write_back(batch.lease_id)) as first:
        until_waiting(queue.database)
        second = claim(at_once, *next_run(at_once))
        barrier.rollback()
        first.result()
    held = mechanics(queue.database, ann).lease_id
    assert held == (second.lease_id if second.contacts else None), "a former owner ended another's lease"


def an_edit_during_the_push_reaches_the_crm(queue: Queue, others: Queue) -> None:
    ann = insert(queue.database, "ann@example.com", name="Ann")
    batch = claim(queue, ann)
    sql(queue.database, "UPDATE contacts SET name = 'Bob'")
    answer(queue, batch)
    queue.write_back(batch.lease_id)
    assert next_run(others) == [ann], "the CRM keeps data that were edited"


def a_late_push_is_overwritten_after_the_contact_was_completed(queue: Queue, others: Queue) -> None:
    ann = insert(queue.database, "ann@example.com")
    late = claim(queue, ann)
    leases_end(queue.database)
    others.reap()
    push(others, ann)
    answer(queue, late)
    queue.write_back(late.lease_id)
    assert next_run(others) == [ann], "the CRM keeps the data of the late push"


def a_late_push_is_overwritten_after_it_met_another_lease(queue: Queue, others: Queue) -> None:
    ann = insert(queue.database, "ann@example.com")
    late = claim(queue, ann)
    leases_end(queue.database)
    others.reap()
    batch = claim(others, ann)
    answer(queue, late)
    queue.write_back(late.lease_id)
    answer(others, batch)
    others.write_back(batch.lease_id)
    assert next_run(others) == [ann], "the CRM keeps the data of the late push"


def a_contact_is_in_flight_once(queue: Queue, others: Queue) -> None:
    ann = insert(queue.database, "ann@example.com")
    claim(others, ann)
    sql(queue.database, "UPDATE contacts SET email = 'new@example.com'")
    others.select([ann])
    assert claim(queue, ann).contacts == [], "two workers push one contact"


def nothing_is_pushed_that_nobody_wants(queue: Queue, others: Queue) -> None:
    ann = insert(queue.database, "ann@example.com")
    listed = next_run(others)
    sql(queue.database, "UPDATE contacts SET brevo_sync_status = 'New' WHERE id = :id", id=ann)
    assert claim(queue, *listed).contacts == [], "pushed what nobody wants"


def a_twin_in_flight_costs_its_neighbours_nothing(queue: Queue, others: Queue) -> None:
    ann, twin = insert(queue.database, "ann@example.com"), insert(queue.database, "Ann@example.com")
    bob = insert(queue.database, "bob@example.com")
    claim(others, ann)
    taken = _unharmed(lambda: claim(queue, twin, bob).contacts)
    assert [one.id for one in taken] == [bob], "a twin in flight failed the whole batch"


def two_twins_in_one_batch_cost_it_nothing(queue: Queue, others: Queue) -> None:
    twins = insert(queue.database, "ann@example.com"), insert(queue.database, "Ann@example.com")
    assert len(_unharmed(lambda: claim(queue, *twins).contacts)) == 1, "twins failed the whole batch"


def two_claims_of_twins_at_once_cost_neither_anything(queue: Queue, others: Queue) -> None:
    ann, twin = insert(queue.database, "ann@example.com"), insert(queue.database, "Ann@example.com")
    with ExitStack() as stack:
        barrier = stack.enter_context(holding(queue.database, HOLD_BARRIER))
        first: Future[Batch] = stack.enter_context(meanwhile(lambda: claim(queue, ann)))
        until_waiting(queue.database)
        second: Future[Batch] = stack.enter_context(meanwhile(lambda: claim(others, twin)))
        until(lambda: second.done() or bool(_waiting_for_claims(queue)), "the second claim should wait or end")
        barrier.rollback()
        taken = _unharmed(lambda: [*first.result().contacts, *second.result().contacts])
    assert len(taken) == 1, "a claim of a twin failed the whole batch"


def what_a_person_wrote_during_the_push_is_left(queue: Queue, others: Queue) -> None:
    ann = insert(queue.database, "ann@example.com")
    batch = claim(queue, ann)
    others.unselect([ann])
    answer(queue, batch)
    queue.write_back(batch.lease_id)
    assert pair(queue.database, ann) == ("New", None), "a person's word was overwritten"


def a_repeated_step_pushes_no_contact_twice(queue: Queue, others: Queue) -> None:
    ann = insert(queue.database, "ann@example.com")
    batch = claim(queue, ann)
    answer(queue, batch)
    assert claim(queue, ann, lease_id=batch.lease_id).contacts == [], "a repeated step pushes what it had pushed"


def a_repeated_step_takes_nothing_under_a_lease_that_was_ended(queue: Queue, others: Queue) -> None:
    ann = insert(queue.database, "ann@example.com")
    batch = claim(queue, ann)
    others.release(batch.lease_id, "cancelled")
    assert claim(queue, ann, lease_id=batch.lease_id).contacts == [], "an ended lease was taken up again"


def a_contact_that_kills_its_process_takes_no_other_down(queue: Queue, others: Queue) -> None:
    ann, bob = insert(queue.database, "ann@example.com"), insert(queue.database, "bob@example.com")
    for _ in range(ALONE_AT_CRASHES):
        claim(others, ann)
        leases_end(queue.database)
        others.reap()
    assert [taken.id for taken in claim(queue, ann, bob).contacts] == [bob], "a killer shares a batch"


def what_is_pushed_is_not_taken_for_left_behind(queue: Queue, others: Queue) -> None:
    batch = claim(others, insert(queue.database, "ann@example.com"))
    queue.take_back(always=True)
    (taken,) = batch.contacts
    assert pair(queue.database, taken.id) == ("Processing", "Processing"), "taken back while it is pushed"


def an_answer_that_came_before_the_crash_counts(queue: Queue, others: Queue) -> None:
    ann = insert(queue.database, "ann@example.com")
    answer(others, claim(others, ann))
    leases_end(queue.database)
    queue.reap()
    assert pair(queue.database, ann) == ("Complete", "Complete"), "what the CRM took is pushed again"


def a_late_answer_is_seen_although_its_lease_was_ended(queue: Queue, others: Queue) -> None:
    ann = insert(queue.database, "ann@example.com")
    late = claim(others, ann)
    leases_end(queue.database)
    others.reap()
    push(others, ann)
    answer(queue, late)
    others.reap()
    assert next_run(others) == [ann], "nobody saw the late push"


def _unharmed(work: Callable[[], Sequence[Contact]]) -> Sequence[Contact]:
    """What was claimed; nothing, when the unique index had to stop it."""
    try:
        return work()
    except DatabaseFailure as failure:
        if failure.sqlstate != UNIQUE_VIOLATION:
            raise
        return []


def _waiting_for_claims(queue: Queue) -> list[object]:
    """Those that wait for the claim lock, not for the barrier."""
    return sql(
        queue.database,
        "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND objid <> :barrier "
        "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
        barrier=BARRIER,
    )
