"""What holds at every step (I1: when all is quiet): one function per invariant, each yields what breaks it.

A step is one action of one actor, with a look at the database before and after it; nothing here asks the product.
Rule 6 is the one way in which an answer may touch what is not its own: a fenced push that may have landed
queues again whom it may have overwritten.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from uuid import UUID

from crm_pipeline_tests.promises.look import Action, Key, Look, Row, address
from crm_pipeline_tests.promises.memory import Memory, payload

MAX_RETRIES = 3
DELAYS = [timedelta(minutes=minutes) for minutes in (5, 10, 20)]
ALONE_AT = 2
PUSHES = ("claim", "claim_again")


@dataclass(frozen=True)
class Moment:
    """One step; `result` is what the action returned, None while it is still going on."""

    memory: Memory
    before: Look
    action: Action
    after: Look
    result: Any
    locked: frozenset[UUID]
    """Contacts that a person's open transaction had locked."""
    interrupts: bool
    """It ran inside somebody's open transaction, whose locked contacts it must skip."""

    def both(self) -> Iterator[tuple[Key, Row, Row]]:
        """Each contact that was there before and after: (key, before, after)."""
        for key, row in self.before.rows.items():
            if key in self.after.rows:
                yield key, row, self.after.rows[key]

    def newly(self, key: Key, *applied: str) -> list[tuple[UUID, str]]:
        """Answers (lease, outcome) of this contact that the step marked as `applied`."""
        return [
            (lease_id, attempt.outcome)
            for (lease_id, of), attempt in self.after.journal.items()
            if of == key
            and attempt.applied in applied
            and (before := self.before.journal.get((lease_id, key))) is not None
            and before.applied == "pending"
        ]

    def entitled(self, row: Row) -> bool:
        """Did the actor own this contact, or end a lease that was over or whose run is?"""
        action = self.action
        if row.lease_id is None:
            return False
        if action.verb in ("write_back", "release"):
            return row.lease_id == action.lease_id
        return (action.verb == "reap" and row.lease_over) or (
            action.verb == "give_back" and row.run_id == action.run_id
        )

    def by_rule_6(self, key: Key, row: Row, now: Row) -> bool:
        """Is this change, and nothing else, what a fenced push makes that may have landed, at this address?"""
        fenced = self.newly(key, "fenced")
        own = any(outcome in ("synced", "failed") and lease != row.lease_id for lease, outcome in fenced)
        if not own and not self._anothers_landed_at(key, row):
            return False
        if self.entitled(row):  # a reap ends the lease that is over, then looks for late answers
            return row.sync in ("Complete", "Error") and now.pair == ("Queued", "Queued")
        if row.lease_id is not None:
            return now == replace(row, claimed_fingerprint=None)
        went_to = {self.after.journal[lease, key].external_id for lease, _ in fenced}
        if own and row.external_id is None and now.external_id in went_to:
            row = replace(row, external_id=now.external_id)  # from now on it is looked for there
        if row.sync in ("Complete", "Error") and row.processing != "Queued":
            return now == replace(row, sync="Queued", processing="Queued")
        return now == row

    def _anothers_landed_at(self, key: Key, row: Row) -> bool:
        """It went to this address, or may have renamed what the CRM had there."""
        return any(
            of != key and of[1] == key[1] and row.email_key in self._known_as(of) and self.newly(of, "fenced")
            for (_, of), attempt in self.after.journal.items()
            if attempt.applied == "fenced" and attempt.outcome in ("synced", "failed")
        )

    def _known_as(self, key: Key) -> set[str | None]:
        journalled = {attempt.external_id for (_, of), attempt in self.after.journal.items() if of == key}
        return journalled | {row.known_as for row in (self.before.rows.get(key),) if row is not None}


def i1_no_loss(before: Look, after: Look) -> Iterator[str]:
    """every eligible contact ends Complete, Error or Skipped once failures stop and some worker runs"""
    for key, row in after.rows.items():
        if row.lease_id is not None:
            yield f"{key} is still under a lease"
        elif row.unwanted and not before.rows[key].unwanted and row.sync != "Skipped":
            yield f"{key} was wanted, and is {row.pair}"
        elif not row.unwanted and not row.rests:
            yield f"{key} ended as {row.pair}"
    for (lease_id, key), attempt in after.journal.items():
        if attempt.applied == "pending":
            yield f"the answer of {key} under {lease_id} was never applied"


def i2_one_owner(moment: Moment) -> Iterator[str]:
    """never two workers with an unexpired lease for which the owner predicate is true"""
    for worker in moment.memory.workers:
        for key in worker.held if not worker.over else ():
            row = moment.after.rows.get(key)
            if row is not None and row.lease_id != worker.lease_id:
                yield f"{key} is taken from its living owner by {moment.action.verb}"


def i3_a_former_owner_changes_nothing(moment: Moment) -> Iterator[str]:
    """a write-back by a non-owner changes 0 rows, at any time, in any order, any number of times"""
    if moment.action.verb not in ("write_back", "release", "reap", "give_back"):
        return
    for key, row, now in moment.both():
        if now != row and not moment.entitled(row) and not moment.by_rule_6(key, row, now):
            yield f"{moment.action.verb} turned {key} from {row} into {now}"


def i4_a_lease_and_processing_go_together(moment: Moment) -> Iterator[str]:
    """lease_id and leased_until are set together; Processing implies a lease, unless a user acted"""
    for key, row in moment.after.rows.items():
        if (row.lease_id is None) != (row.leased_until is None):
            yield f"{key} has half a lease"
        if key not in moment.memory.touched and row.in_flight != (row.lease_id is not None):
            yield f"{key} is {row.pair} with lease {row.lease_id}"
        if key not in moment.memory.touched and not row.in_flight and "Processing" in row.pair:
            yield f"{key} is {row.pair}, and no person wrote that"


def i5_rest_is_left_by_a_person_or_rule_6(moment: Moment) -> Iterator[str]:
    """Complete, Error, Skipped and New at rest are left only by a person or by rule 6, never by claim, reaper or late
    write-back"""
    if moment.action.person:
        return
    for key, row, now in moment.both():
        if (row.rests or row.unwanted) and now.pair != row.pair and not moment.by_rule_6(key, row, now):
            yield f"{moment.action.verb} moved {key} from {row.pair} to {now.pair}"


def i6_complete_was_accepted(moment: Moment) -> Iterator[str]:
    """Complete implies that the CRM accepted synced_fingerprint, which was the contact's fingerprint at write-back"""
    memory = moment.memory
    for key, row in moment.after.rows.items():
        sent = memory.meaning.get(row.synced_fingerprint or "")
        claimed = moment.action.verb == "claim" and row.lease_id == moment.action.lease_id
        if claimed and memory.meaning.get(row.claimed_fingerprint or "") != row.payload:
            yield f"the fingerprint of {key} stands for other data"
        if not row.synced or key in memory.by_hand:
            continue
        if sent is None or sent not in memory.ever[key]:
            yield f"{key} is {row.pair}, but the CRM never accepted what synced_fingerprint stands for"
        was = moment.before.rows.get(key)
        if was is not None and not was.synced and not moment.action.person and sent != row.payload:
            yield f"{key} became {row.pair} by data that are not the contact's"


def i7_convergence(moment: Moment) -> Iterator[str]:
    """every Complete contact is in the CRM under its address, with its data, no answer on its way and no undetected
    late push given"""
    memory = moment.memory
    late = {of for of, attempt in moment.after.journal.items() if attempt.applied == "pending"}
    late |= {(worker.lease_id, key) for worker in memory.workers for key in worker.late}
    on_their_way = {key for _, key in late}.union(*(memory.robbed[of] for of in late))
    for key, row in moment.after.rows.items():
        if not row.synced or key in on_their_way | memory.by_hand | memory.edited_at_rest | memory.unseen:
            continue
        to, last = row.address, memory.last.get(key)
        if last is None or last.payload != row.payload or to is None:
            yield f"{key} is Complete as {row.payload}, but the CRM took {last and last.payload} last"
        elif (record := memory.records.get((key[1], to))) is None:
            yield f"{key} is Complete as {row.payload}, but the CRM has nobody under this address"
        elif len(memory.owners[to]) == 1 and record.payload != row.payload:
            yield f"{key} is Complete as {row.payload}, but the CRM holds {record.payload}"


def i8_attempts_are_counted_once(moment: Moment) -> Iterator[str]:
    """retry_count <= maximum; raised by exactly one per counted failure; untouched by release and reap; crashes is
    raised only by the reaper"""
    for key, row, now in moment.both():
        own = [outcome for lease_id, outcome in moment.newly(key, "applied") if lease_id == row.lease_id]
        overruled = any(lease_id == row.lease_id for lease_id, _ in moment.newly(key, "overruled"))
        change = now.retry_count - row.retry_count
        first_claim = moment.action.verb == "claim" and row.shared_retry_count == now.retry_count
        claimed = now.lease_id not in (None, row.lease_id)
        if now.retry_count > MAX_RETRIES:
            yield f"{key} has {now.retry_count} retries"
        if change > 0 and not (change == 1 and own == ["failed"]) and not first_claim:
            yield f"{moment.action.verb} raised the retries of {key} by {change} for {own}"
        if change != 1 and own == ["failed"] and row.retry_count < MAX_RETRIES:
            yield f"a counted failure of {key} changed its retries by {change}"
        asked_again = claimed and row.pair != ("Queued", "Queued")
        if change < 0 and (now.retry_count or not (asked_again or own == ["synced"] or (overruled and row.in_flight))):
            yield f"{moment.action.verb} took {-change} retries from {key}"
        crashed = moment.action.crashed and moment.entitled(row) and (row.lease_id, key) not in moment.before.journal
        if now.crashes > row.crashes and not (crashed and now.crashes == row.crashes + 1):
            yield f"{moment.action.verb} raised the crashes of {key} from {row.crashes} to {now.crashes}"
        if crashed and now.lease_id is None and now.crashes == row.crashes:
            yield f"a crash of {key} was not counted"
        if now.crashes < row.crashes and (now.crashes or not (own or overruled)):
            yield f"{moment.action.verb} forgot {row.crashes} crashes of {key}"


def i9_a_refusal_is_final(moment: Moment) -> Iterator[str]:
    """a permanent rejection (retry of refusals off) causes exactly one push per fingerprint"""
    crm = moment.action.crm
    if crm is None or moment.action.verb not in PUSHES or moment.result is None:
        return
    for contact in moment.result.contacts:
        if moment.memory.refused.get((contact.id, crm)) == payload(contact):
            yield f"{contact.id} is claimed again with the data that were refused"


def i10_no_attempt_is_lost_to_an_outage(moment: Moment) -> Iterator[str]:
    """429, breaker and shutdown never consume attempts; a 429 storm moves nobody to Error"""
    gives_back = moment.action.verb in ("release", "give_back") and not moment.action.crashed
    for key, row, now in moment.both():
        if gives_back and moment.entitled(row) and (row.lease_id, key) not in moment.before.journal:
            if now.lease_id == row.lease_id:
                continue  # somebody had it locked: the reaper's
            pair = row.prior if row.in_flight else row.pair
            if (now.pair, now.retry_count, now.crashes, now.next_retry_at) != (
                pair,
                row.retry_count,
                row.crashes,
                row.next_retry_at,
            ):
                yield f"{moment.action.verb} turned {key} from {row} into {now}"
        blocked = (row.lease_id, "blocked") in moment.newly(key, "applied")
        if blocked and (now.pair != ("Queued", "Error") or now.retry_count != row.retry_count):
            yield f"an answer that was the account's fault turned {key} from {row} into {now}"


def i13_backoff_follows_the_schedule(moment: Moment) -> Iterator[str]:
    """next_retry_at is in the future and follows the schedule"""
    for key, row, now in moment.both():
        failed = (row.lease_id, "failed") in moment.newly(key, "applied")
        if failed and now.pair == ("Queued", "Error"):
            wait = DELAYS[row.retry_count]
            if now.next_retry_at is None or not (
                timedelta(0) <= moment.after.now + wait - now.next_retry_at < timedelta(seconds=30)
            ):
                yield f"{key} failed for the {row.retry_count + 1}. time and waits until {now.next_retry_at}"
        waits = row.next_retry_at is not None and row.next_retry_at > moment.after.now
        if waits and (row.pair, now.pair) == (("Queued", "Error"), ("Queued", "Queued")) and not moment.action.person:
            yield f"{key} was promoted before its time"


def i14_claims_are_fair(moment: Moment) -> Iterator[str]:
    """claims are ordered, <= n rows, disjoint; no due contact waits for ever while later ones proceed"""
    action, result = moment.action, moment.result
    if result is None or action.crm is None:
        return
    rows = moment.before.of(action.crm)
    leased = {row.email_key for row in rows.values() if row.lease_id is not None and row.email_key}
    known = {row.known_as for row in rows.values() if row.lease_id is not None and row.known_as}
    free = {
        key[0]: row
        for key, row in rows.items()
        if row.due and row.lease_id is None and row.address not in leased | known and row.former not in leased
    }
    if action.verb == "list":
        expected = sorted(free, key=lambda contact: (free[contact].updated_at, contact))
        if [queued.id for queued in result] != expected:
            yield f"listed {[queued.id for queued in result]} instead of {expected}"
    repeated = any(row.lease_id == action.lease_id for row in rows.values())  # the first COMMIT's answer was lost
    if action.verb == "claim" and not repeated:
        may = [
            contact
            for contact in sorted(set(action.asked) & free.keys() - moment.locked)
            if free[contact].crashes < ALONE_AT or len(action.asked) == 1
        ]
        may = [
            contact
            for contact in may
            if not any(_share(free[contact], free[other]) for other in may if other < contact)
        ]
        addresses = [free[contact].address for contact in may]
        expected = [
            contact for at, contact in enumerate(may) if addresses[at] is None or addresses[at] not in addresses[:at]
        ]
        taken = sorted(key[0] for key, row in moment.after.rows.items() if row.lease_id == action.lease_id)
        wrong = not set(taken) <= free.keys() if moment.interrupts else taken != expected
        if wrong or taken != [contact.id for contact in result.contacts]:
            yield f"claimed {taken}, got {[contact.id for contact in result.contacts]} instead of {expected}"
        for contact in result.contacts:
            if payload(contact) != moment.after.rows[contact.id, action.crm].payload:
                yield f"{contact.id} was claimed with old data"


def _share(one: Row, other: Row) -> bool:
    """Has one of them today the address under which the CRM knows the other?"""
    shared = ((one.former, other.address), (other.former, one.address))
    return any(former is not None and former == today for former, today in shared)


def i15_an_outage_stays_with_its_crm(moment: Moment) -> Iterator[str]:
    """what happens to one CRM changes no status of another"""
    for key, row, now in moment.both():
        if moment.action.crm not in (None, key[1]) and now != row:
            yield f"{moment.action.verb} for {moment.action.crm} turned {key} from {row} into {now}"


def i17_enqueue_twice_is_once(moment: Moment) -> Iterator[str]:
    """enqueue twice = once; two contacts with the same key are never in flight together, nor one with whoever has its
    former address"""
    if moment.action.verb == "select_again":
        for key, row, now in moment.both():
            if now != row and row.pair == ("Selected", "Queued"):
                yield f"selecting {key} again changed {row} into {now}"
    leased = {key: row for key, row in moment.after.rows.items() if row.lease_id is not None}
    in_flight = Counter((key[1], address(moment.memory.claimed[key][0])) for key in leased)
    for (crm, to), count in in_flight.items():
        if count > 1 and to is not None:
            yield f"{count} contacts with {to} are in flight to {crm}"
    for key, row in leased.items():
        own = address(moment.memory.claimed[key][0])
        if row.known_as not in (None, own) and in_flight[key[1], row.known_as]:
            yield f"{key} is in flight together with whoever has {row.known_as} now"


EVERY_STEP: tuple[Callable[[Moment], Iterator[str]], ...] = (
    i2_one_owner,
    i3_a_former_owner_changes_nothing,
    i4_a_lease_and_processing_go_together,
    i5_rest_is_left_by_a_person_or_rule_6,
    i6_complete_was_accepted,
    i7_convergence,
    i8_attempts_are_counted_once,
    i9_a_refusal_is_final,
    i10_no_attempt_is_lost_to_an_outage,
    i13_backoff_follows_the_schedule,
    i14_claims_are_fair,
    i15_an_outage_stays_with_its_crm,
    i17_enqueue_twice_is_once,
)


def check(moment: Moment) -> None:
    """Raise AssertionError, with numbers and sentences, when a step broke an invariant."""
    demand({invariant: invariant(moment) for invariant in EVERY_STEP})


def demand(complaints: Mapping[Callable[..., Iterator[str]], Iterable[str]]) -> None:
    """Raise AssertionError when there is any complaint, naming all invariants that broke."""
    broken = {invariant: found for invariant, made in complaints.items() if (found := list(made))}
    assert not broken, "; ".join(f"{_sentence(invariant)}: {', '.join(found)}" for invariant, found in broken.items())


def _sentence(invariant: Callable[..., Iterator[str]]) -> str:
    return f"{invariant.__name__.partition('_')[0].upper()}: {' '.join((invariant.__doc__ or '').split())}"
