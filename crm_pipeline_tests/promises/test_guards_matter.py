"""Each guard of the statements matters: with one removed, a fixed sequence of actions breaks the invariant it upholds.

The same sequences break nothing while the guards are in place.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import UUID

import pytest
from sqlalchemy import text

from crm_pipeline.contacts.queue import Queue
from crm_pipeline.contacts.statements import Statements
from crm_pipeline.database.engine import Database
from crm_pipeline_tests.conftest import BREVO
from crm_pipeline_tests.promises.look import Action
from crm_pipeline_tests.promises.memory import Worker
from crm_pipeline_tests.promises.world import World, real_queue, world_of
from crm_pipeline_tests.support.contacts import sql

BARRIER = 7
OF_OUTCOMES = ("synced", "failed", "given_up", "blocked", "rejected", "skipped", "overruled", "edited")
FRAGMENTS = BREVO.fragments()


def finish(world: World, worker: Worker | None) -> None:
    assert worker is not None
    world.push(worker)
    world.journal(worker)
    world.write_back(worker)


def overtaken(world: World) -> tuple[Worker, Worker]:
    """A worker hangs with its contact until the lease is over; the contact is edited and claimed by another."""
    contact = world.add()
    former = world.start()
    assert former is not None
    world.stall(former)
    world.edit(contact, name="Ann Newer")
    world.begin_run()
    owner = world.start()
    assert owner is not None
    return former, owner


def a_former_owner_answers_while_another_pushes(world: World) -> None:
    former, owner = overtaken(world)
    finish(world, former)
    finish(world, owner)
    world.quiet()


def a_reaper_passes_while_a_worker_lives(world: World) -> None:
    world.add()
    worker = world.start()
    world.reap()
    finish(world, worker)


def a_reaper_acts_on_what_it_saw_before_the_contact_was_claimed_again(world: World) -> None:
    world.add()
    former = world.start()
    assert former is not None
    world.stall(former)
    with slow_reaper(world):
        world.give_back(former)
        owner = world.start()
    world.judge(Action("reap", "brevo", crashed=True))
    finish(world, owner)


def a_contact_is_edited_while_in_flight(world: World) -> None:
    contact = world.add()
    worker = world.start()
    world.edit(contact, name="Ann Newer")
    finish(world, worker)
    world.quiet()


def a_contact_is_edited_before_a_repeated_step_and_edited_back_after_it(world: World) -> None:
    contact = world.add()
    former = world.start()
    assert former is not None
    world.edit(contact, name="Ann Newer")
    worker = world.claim_again(former)
    world.edit(contact, name=None)
    finish(world, worker)
    world.quiet()


def a_late_push_overwrites_newer_data(world: World) -> None:
    former, owner = overtaken(world)
    finish(world, owner)
    finish(world, former)
    world.quiet()


def a_late_push_overwrites_what_another_has_just_pushed(world: World) -> None:
    former, owner = overtaken(world)
    world.push(owner)
    finish(world, former)
    world.journal(owner)
    world.write_back(owner)
    world.quiet()


def a_worker_pushes_late_journals_and_dies(world: World) -> None:
    former, owner = overtaken(world)
    finish(world, owner)
    world.push(former)
    world.journal(former)
    world.kill(former)
    world.quiet()


def a_contact_in_flight_is_readdressed_selected_and_claimed(world: World) -> None:
    contact = world.add()
    worker = world.start()
    world.edit(contact, ask="brevo", email="other@example.com")
    world.claim([contact])
    finish(world, worker)
    world.quiet()


def a_contact_is_listed_and_then_no_longer_wanted(world: World) -> None:
    contact = world.add()
    world.write(contact, sync="New")
    world.claim([contact])
    world.quiet()


def two_contacts_with_one_address_are_claimed_by_two(world: World) -> None:
    first, second = world.add("ann@example.com"), world.add(" Ann@Example.com")
    world.claim([first])
    world.claim([second])
    world.quiet()


def two_contacts_with_one_address_are_claimed_at_once(world: World) -> None:
    world.claim([world.add("ann@example.com"), world.add(" Ann@Example.com")])
    world.quiet()


def moved(world: World) -> tuple[UUID, UUID]:
    """A contact that the CRM knows under its former address, and who has that address today."""
    contact = world.add("ann@example.com")
    finish(world, world.start())
    world.edit(contact, ask="brevo", email="ann.moved@example.com")
    return contact, world.add("ann@example.com")


def a_contact_takes_over_the_former_address_of_one_in_flight(world: World) -> None:
    contact, heir = moved(world)
    former = world.claim([contact])
    world.claim([heir])
    finish(world, former)
    world.quiet()


def a_contact_moves_while_who_took_over_its_former_address_is_in_flight(world: World) -> None:
    contact, heir = moved(world)
    owner = world.claim([heir])
    world.claim([contact])
    finish(world, owner)
    world.quiet()


def a_contact_and_who_took_over_its_former_address_are_claimed_at_once(world: World) -> None:
    world.claim(moved(world))
    world.quiet()


def a_late_renaming_takes_away_what_another_has_just_pushed(world: World) -> None:
    contact, heir = moved(world)
    former = world.claim([contact])
    assert former is not None
    world.stall(former)
    world.reap()
    finish(world, world.claim([heir]))
    finish(world, former)
    world.quiet()


@dataclass(frozen=True)
class Guard:
    """`removed`: (statements, their text, what stands there without the guard); `breaks`: the invariant that fails."""

    sequence: Callable[[World], None]
    breaks: str
    removed: tuple[tuple[tuple[str, ...], str, str], ...]
    also: str = "SELECT 1"
    """SQL that takes away the database's own last resort."""
    slow: bool = False
    """The reaper waits, its snapshot taken."""


NO_INDEX = "DROP INDEX crm_sync_one_address_in_flight"
GUARDS = {
    "the lease in the write-back": Guard(
        a_former_owner_answers_while_another_pushes,
        "I3",
        (
            (OF_OUTCOMES, "AND s.lease_id IS NOT DISTINCT FROM a.lease_id", ""),
            (("fenced",), "s.lease_id IS DISTINCT FROM a.lease_id", "false"),
        ),
    ),
    "the reaper's look at the time": Guard(
        a_reaper_passes_while_a_worker_lives, "I2", ((("lock_expired",), "s.leased_until < clock_timestamp()", "true"),)
    ),
    "the reaper's second look at the time": Guard(
        a_reaper_acts_on_what_it_saw_before_the_contact_was_claimed_again,
        "I2",
        ((("lock_expired",), "WHERE s.leased_until < clock_timestamp()", "WHERE true"),),
        slow=True,
    ),
    "the fingerprint at write-back": Guard(
        a_contact_is_edited_while_in_flight,
        "I6",
        ((("edited",), "AND s.claimed_fingerprint IS DISTINCT FROM", "AND false AND '' IS DISTINCT FROM"),),
    ),
    "the fingerprint at a repeated step": Guard(
        a_contact_is_edited_before_a_repeated_step_and_edited_back_after_it,
        "I6",
        ((("still_claimed",), "SET claimed_fingerprint = NULL", "SET claimed_fingerprint = s.claimed_fingerprint"),),
    ),
    "a fenced success queues again": Guard(
        a_late_push_overwrites_newer_data,
        "I7",
        ((("fenced",), "c.id = touched.contact_id AND touched.lease_id IS NULL", "false"),),
    ),
    "a fenced success has the present lease queue again": Guard(
        a_late_push_overwrites_what_another_has_just_pushed,
        "I7",
        ((("fenced",), "touched.lease_id IS NOT NULL", "false"),),
    ),
    "a late answer takes the place of the release": Guard(
        a_late_push_overwrites_newer_data,
        "I7",
        ((("journal",), "WHERE crm_attempts.outcome = 'released'", "WHERE false"),),
    ),
    "the reaper looks for late answers": Guard(
        a_worker_pushes_late_journals_and_dies, "I1", ((("strays",), "a.applied = 'pending'", "false"),)
    ),
    "the claim refuses a live lease": Guard(
        a_contact_in_flight_is_readdressed_selected_and_claimed,
        "I2",
        ((("claim",), "AND s.lease_id IS NULL\n", "\n"), (("claim",), "WHERE s.lease_id IS NULL\n", "\n")),
    ),
    "the wanted statuses": Guard(
        a_contact_is_listed_and_then_no_longer_wanted,
        "I5",
        ((("claim",), FRAGMENTS["due"], f"(c.{BREVO.processing_status} = 'Queued')"),),
    ),
    "one address in flight": Guard(
        two_contacts_with_one_address_are_claimed_by_two,
        "I17",
        ((("claim",), FRAGMENTS["no_twin_in_flight"], "true"),),
        NO_INDEX,
    ),
    "one address in a batch": Guard(
        two_contacts_with_one_address_are_claimed_at_once,
        "I17",
        ((("claim",), "SELECT DISTINCT ON (coalesce(email_key, id::text)) *", "SELECT *"),),
        NO_INDEX,
    ),
    "the former addresses in flight": Guard(
        a_contact_takes_over_the_former_address_of_one_in_flight,
        "I17",
        ((("claim",), "WHERE held.id = twin.contact_id", "WHERE false"),),
    ),
    "the former address in flight": Guard(
        a_contact_moves_while_who_took_over_its_former_address_is_in_flight,
        "I17",
        ((("claim",), f"twin.email_key = {FRAGMENTS['former_key']}", "false"),),
    ),
    "the former addresses in a batch": Guard(
        a_contact_and_who_took_over_its_former_address_are_claimed_at_once,
        "I17",
        ((("claim",), "WHERE other.id < picked.id AND", "WHERE false AND"),),
    ),
    "a fenced renaming queues again who has the former address": Guard(
        a_late_renaming_takes_away_what_another_has_just_pushed,
        "I7",
        (
            (("fenced",), "WHERE c.id = late.contact_id", "WHERE false"),
            (("fenced",), "WHERE was.contact_id = late.contact_id", "WHERE false"),
        ),
    ),
}


class Changed(Statements):
    """The real statements for Brevo, but for the guard, which must be there to be removed."""

    def __init__(self, guard: Guard, removed: bool) -> None:
        super().__init__(BREVO)
        self._slow = guard.slow
        self._removed = guard.removed if removed else ()

    def sql(self, name: str, folder: str = "transitions") -> str:
        statement = super().sql(name, folder)
        for names, old, new in self._removed:
            if name in names:
                assert old in statement, f"{name} has no {old!r}"
                statement = statement.replace(old, new)
        if name == "lock_expired" and self._slow:
            waits = f"WHERE (SELECT count(pg_advisory_xact_lock_shared({BARRIER}))) > 0 AND s.crm = :crm"
            assert "WHERE s.crm = :crm" in statement
            statement = "SET LOCAL lock_timeout = '60s';" + statement.replace("WHERE s.crm = :crm", waits)
        return statement


@contextmanager
def slow_reaper(world: World) -> Iterator[None]:
    """A reaper that has seen what it sees, and acts when the block ends."""
    reaper = threading.Thread(target=world.queue_of("brevo").reap)
    with world.database.engine.begin() as barrier:
        barrier.execute(text(f"SELECT pg_advisory_xact_lock({BARRIER})"))
        reaper.start()
        waiting = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = :barrier AND NOT granted")
        while not barrier.execute(waiting, {"barrier": BARRIER}).scalar_one():
            assert reaper.is_alive()
        yield
    reaper.join()


def run(database: Database, guard: Guard, removed: bool) -> None:
    def changed(interruptible: Database, crm: str) -> Queue:
        queue = real_queue(interruptible, crm)
        if crm == "brevo":
            queue.statements = Changed(guard, removed)
        return queue

    with world_of(database.url, changed) as world:
        if removed:
            sql(database, guard.also)
        guard.sequence(world)


@pytest.mark.parametrize("name", GUARDS)
def test_without_this_guard_an_invariant_breaks(database: Database, name: str) -> None:
    guard = GUARDS[name]
    with pytest.raises(AssertionError, match=rf"\b{guard.breaks}: "):
        run(database, guard, removed=True)


@pytest.mark.parametrize("name", GUARDS)
def test_with_this_guard_the_same_sequence_breaks_nothing(database: Database, name: str) -> None:
    run(database, GUARDS[name], removed=False)
