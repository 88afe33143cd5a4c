"""Each guard of the statements matters: its story ends well with it, and goes wrong as said without it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from crm_pipeline.contacts.queue import Queue
from crm_pipeline.contacts.statements import Statements
from crm_pipeline_tests.conftest import BREVO
from crm_pipeline_tests.contacts import scenarios as story
from crm_pipeline_tests.contacts.scenarios import BARRIER

OUTCOMES = ("synced", "failed", "given_up", "blocked", "rejected", "skipped", "overruled", "edited")
FRAGMENTS = BREVO.fragments()
DUE, IN_FLIGHT, NO_TWIN = FRAGMENTS["due"], FRAGMENTS["in_flight"], FRAGMENTS["no_twin_in_flight"]


@dataclass(frozen=True)
class Change:
    """`old` becomes `new` in the statements of these names; it must be there."""

    names: tuple[str, ...]
    old: str
    new: str


class Changed(Statements):
    """The real statements, but for these changes."""

    def __init__(self, *changes: Change) -> None:
        super().__init__(BREVO)
        self._changes = changes

    def sql(self, name: str, folder: str = "transitions") -> str:
        statement = super().sql(name, folder)
        for change in self._changes:
            if name in change.names:
                assert change.old in statement, f"{name} has no {change.old!r}"
                statement = statement.replace(change.old, change.new)
        return statement


def waits(name: str, first: str) -> Change:
    """The statement waits at the barrier, its snapshot already taken. `first` is how its first part begins."""
    barrier = f"WITH barrier AS MATERIALIZED (SELECT count(pg_advisory_xact_lock_shared({BARRIER})) AS passed), "
    return Change((name,), f"WITH {first}\n    SELECT", f"{barrier}{first}\n    SELECT (SELECT passed FROM barrier),")


@dataclass(frozen=True)
class Guard:
    """`removed` takes it out; `waits` makes the race, with the guard and without it."""

    scenario: Callable[[Queue, Queue], None]
    breaks: str
    removed: tuple[Change, ...]
    waits: tuple[Change, ...] = ()


GUARDS = {
    "the lease in the write-back": Guard(
        story.a_former_owners_answer_decides_nothing,
        "a former owner ended another's lease",
        (
            Change(OUTCOMES, "AND s.lease_id IS NOT DISTINCT FROM a.lease_id", ""),
            Change(("fenced",), "s.lease_id IS DISTINCT FROM a.lease_id", "false"),
        ),
    ),
    "the second look of the reaper": Guard(
        story.a_reaper_with_an_old_view_takes_no_new_lease,
        "a live lease was reaped",
        (Change(("lock_expired",), "WHERE s.leased_until < clock_timestamp()", "WHERE true"),),
        (waits("lock_expired", "contact AS MATERIALIZED ("),),
    ),
    "the locks before the write-back": Guard(
        story.no_lease_changes_hands_while_its_answer_is_written_back,
        "a former owner ended another's lease",
        (
            Change(("lock_journalled",), "FOR NO KEY UPDATE OF c SKIP LOCKED", ""),
            Change(("lock_journalled",), "FOR NO KEY UPDATE OF s SKIP LOCKED", ""),
        ),
        (waits("failed", "own AS MATERIALIZED ("),),
    ),
    "the fingerprint": Guard(
        story.an_edit_during_the_push_reaches_the_crm,
        "the CRM keeps data that were edited",
        (Change(("edited",), "AND s.claimed_fingerprint IS DISTINCT FROM", "AND false AND '' IS DISTINCT FROM"),),
    ),
    "a fenced success queues again": Guard(
        story.a_late_push_is_overwritten_after_the_contact_was_completed,
        "the CRM keeps the data of the late push",
        (Change(("fenced",), "c.id = touched.contact_id AND touched.lease_id IS NULL", "false"),),
    ),
    "a fenced success has the other lease queue again": Guard(
        story.a_late_push_is_overwritten_after_it_met_another_lease,
        "the CRM keeps the data of the late push",
        (Change(("fenced",), "touched.lease_id IS NOT NULL", "false"),),
    ),
    "the claim refuses a live lease": Guard(
        story.a_contact_is_in_flight_once,
        "two workers push one contact",
        (
            Change(("claim",), "        AND s.lease_id IS NULL\n", ""),
            Change(("claim",), "    WHERE s.lease_id IS NULL\n", ""),
        ),
    ),
    "the wanted statuses": Guard(
        story.nothing_is_pushed_that_nobody_wants,
        "pushed what nobody wants",
        (Change(("claim",), DUE, "c.brevo_processing_status = 'Queued'"),),
    ),
    "one address in flight": Guard(
        story.a_twin_in_flight_costs_its_neighbours_nothing,
        "a twin in flight failed the whole batch",
        (Change(("claim",), NO_TWIN, "true"),),
    ),
    "one contact per address": Guard(
        story.two_twins_in_one_batch_cost_it_nothing,
        "twins failed the whole batch",
        (Change(("claim",), "DISTINCT ON (coalesce(email_key, id::text)) *", "*"),),
    ),
    "the claim lock": Guard(
        story.two_claims_of_twins_at_once_cost_neither_anything,
        "a claim of a twin failed the whole batch",
        (Change(("lock_claims",), "SELECT pg_advisory_xact_lock(", "SELECT ("),),
        (waits("claim", "picked AS MATERIALIZED (  -- else the planner may run it twice and lock more"),),
    ),
    "still in flight at the write-back": Guard(
        story.what_a_person_wrote_during_the_push_is_left,
        "a person's word was overwritten",
        (
            Change(("synced",), f"AND {IN_FLIGHT}", ""),
            Change(("overruled",), f"({IN_FLIGHT}) IS NOT TRUE", "false"),
        ),
    ),
    "journalled contacts are not claimed again": Guard(
        story.a_repeated_step_pushes_no_contact_twice,
        "a repeated step pushes what it had pushed",
        (Change(("still_claimed",), "AND NOT EXISTS", "AND true OR EXISTS"),),
    ),
    "a lease is claimed once": Guard(
        story.a_repeated_step_takes_nothing_under_a_lease_that_was_ended,
        "an ended lease was taken up again",
        (Change(("was_claimed",), "a.lease_id = CAST(:lease_id AS uuid)", "false"),),
    ),
    "alone after two crashes": Guard(
        story.a_contact_that_kills_its_process_takes_no_other_down,
        "a killer shares a batch",
        (Change(("claim",), "coalesce(s.crashes, 0) < :alone_at", "true"),),
    ),
    "left behind is without a lease": Guard(
        story.what_is_pushed_is_not_taken_for_left_behind,
        "taken back while it is pushed",
        (Change(("left_behind", "take_back"), "s.lease_id IS NOT NULL", "false"),),
    ),
    "the reaper applies what was journalled": Guard(
        story.an_answer_that_came_before_the_crash_counts,
        "what the CRM took is pushed again",
        (
            Change(("journalled",), "a.applied = 'pending'", "false"),
            Change(("crashed",), "crm_attempts a WHERE a.lease_id = s.lease_id", "crm_attempts a WHERE false"),
        ),
    ),
    "a late answer replaces the release": Guard(
        story.a_late_answer_is_seen_although_its_lease_was_ended,
        "nobody saw the late push",
        (Change(("journal",), "WHERE crm_attempts.outcome = 'released'", "WHERE false"),),
    ),
}


@pytest.mark.parametrize("guard", GUARDS.values(), ids=GUARDS)
def test_with_its_guard_the_promise_holds(queue: Queue, guard: Guard) -> None:
    queue.statements = Changed(*guard.waits)
    guard.scenario(queue, Queue(queue.database, BREVO, queue.retries, queue.target))


@pytest.mark.parametrize("guard", GUARDS.values(), ids=GUARDS)
def test_without_its_guard_the_promise_breaks(queue: Queue, guard: Guard) -> None:
    queue.statements = Changed(*guard.waits, *guard.removed)
    with pytest.raises(AssertionError, match=guard.breaks):
        guard.scenario(queue, Queue(queue.database, BREVO, queue.retries, queue.target))
