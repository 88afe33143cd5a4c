"""Every event of the state machine as a method; each statement stands in `transitions/`, one file per event.

Times are the database's clock. Locks are taken in one order: contacts, crm_sync, crm_attempts, by id.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from crm_pipeline.contacts.answers import Answers, RetryPolicy
from crm_pipeline.contacts.columns import CrmColumns
from crm_pipeline.contacts.row_by_row import apart, at_once_or_apart, warn
from crm_pipeline.contacts.statements import Statements
from crm_pipeline.contacts.which import Which
from crm_pipeline.database.engine import Database, first_line
from crm_pipeline.model import Batch, Contact, JournalEntry, QueuedContact, WriteBackCounts
from crm_pipeline.redaction import storable

ALONE_AT_CRASHES = 2
GIVE_UP_AT_CRASHES = 5
TRIES = 3
PAUSE_BETWEEN_TRIES_SECONDS = 0.1
REFUSED_SECONDS = 300
"""How long a contact is left alone whose claim the application's table refused."""
AT_ONCE = 1000
"""Contacts that one transaction promotes, takes back or reaps at most."""


@dataclass(frozen=True, slots=True)
class DueNow:
    """Would a run find anything to do, and why?"""

    queued: bool
    backoff_over: bool
    lease_over: bool

    def __bool__(self) -> bool:
        return self.queued or self.backoff_over or self.lease_over


class Queue:
    """One CRM's contacts. Methods raise DatabaseFailure when the database fails for longer than a few seconds."""

    def __init__(self, database: Database, columns: CrmColumns, retries: RetryPolicy, target: str = "") -> None:
        self.database = database
        self.crm = columns.crm
        self.statements = Statements(columns)
        self.retries = retries
        self.target = target

    # -- what a person wants -------------------------------------------------------------------------------------------

    def select(self, ids: Sequence[UUID], which: Which | None = None) -> int:
        """any -> Selected/Queued; of a choice, what still is in it. Returns how many contacts there were."""
        return self.database.run(lambda connection: self.select_within(connection, ids, which))

    def select_within(self, connection: Connection, ids: Sequence[UUID], which: Which | None = None) -> int:
        """The same within a transaction that has more to do."""
        return connection.execute(self.statements.choosing(which)("select"), {"ids": _texts(ids)}).rowcount

    def unselect(self, ids: Sequence[UUID]) -> int:
        """any -> New/NULL. Returns how many contacts there were."""
        return self.database.run(lambda connection: self.unselect_within(connection, ids))

    def unselect_within(self, connection: Connection, ids: Sequence[UUID]) -> int:
        """The same within a transaction that has more to do."""
        return connection.execute(self.statements("unselect"), {"crm": self.crm, "ids": _texts(ids)}).rowcount

    def heal(self, ids: Sequence[UUID]) -> int:
        """A pair that no event makes, of a contact that somebody wants -> Selected/Queued. Returns how many."""
        return len(self.database.run(lambda connection: self._ids(connection, "healed", ids=_texts(ids))))

    # -- the start of a run --------------------------------------------------------------------------------------------

    def due_now(self) -> DueNow:
        """Is anything due, promotable, or under a lease that is over? The sensor's question; reads only."""
        row = self.database.run(
            lambda connection: connection.execute(self.statements("due_now", "queries"), {"crm": self.crm}).one()
        )
        return DueNow(*row)

    def left_behind(self) -> bool:
        """Is there a Processing status without a lease? Scans the table."""
        return bool(self._left_behind(limit=1))

    def holds_lease(self, run_id: str) -> bool:
        """Does this run hold a lease that is not over?"""
        key = {"crm": self.crm, "run_id": run_id}
        return self.database.run(
            lambda connection: bool(connection.execute(self.statements("holds_lease", "queries"), key).scalar_one())
        )

    def promote(self) -> int:
        """Backoff over, or a wish written with one column -> due. Returns how many."""
        portion: dict[str, Any] = {"crm": self.crm, "limit": AT_ONCE, "after": None}

        def some(connection: Connection, each_apart: bool) -> tuple[int, Sequence[UUID]]:
            """How many were promoted, of whom."""
            self._lock_claims(connection)
            if not each_apart:
                ids = self._ids(connection, "promote", **portion, only=None)
                return len(ids), ids
            ids = connection.execute(self.statements("promotable", "queries"), portion).scalars().all()
            done, refused = apart(
                connection, ids, lambda one: len(self._ids(connection, "promote", **portion, only=str(one)))
            )
            warn("promoted", refused)
            return sum(done), ids

        promoted = 0
        while True:
            count, ids = at_once_or_apart(self.database, some)
            promoted += count
            if len(ids) < AT_ONCE:
                return promoted
            portion["after"] = str(max(ids))

    def take_back(self, always: bool = False) -> int:
        """Processing without a lease -> due. At most every 5 minutes, unless `always`. Returns how many.

        The scan locks nothing, so that neither claims nor the gate wait for it; only what it found is then locked.
        """
        turn = self.database.run(
            lambda connection: connection.execute(self.statements("take_turn", "queries"), {"crm": self.crm}).all()
        )
        if not (turn or always):
            return 0
        found = self._left_behind()
        return sum(self._take_back(found[start : start + AT_ONCE]) for start in range(0, len(found), AT_ONCE))

    def list_due(self, limit: int) -> list[QueuedContact]:
        """What is due, oldest change first. Takes no lock: two runs may list the same ids."""
        rows = self.database.run(
            lambda connection: connection.execute(
                self.statements("list_due", "queries"), {"crm": self.crm, "limit": limit}
            ).all()
        )
        return [QueuedContact(row.id, row.email_key, row.crashes, row.has_error, row.former_key) for row in rows]

    # -- a batch -------------------------------------------------------------------------------------------------------

    def claim(
        self, ids: Sequence[UUID], lease_id: UUID, run_id: str, lease_seconds: float, which: Which | None = None
    ) -> Batch:
        """Take what is still due of `ids` under a lease, in one short transaction.

        Called again with the same lease (a repeated step, a lost answer to COMMIT) it returns what is still under that
        lease, not journalled and written by nobody meanwhile, and claims nothing new. `which`: a backfill's choice, in
        the place of what is due; its retries are fresh ones.
        """
        started = time.monotonic()
        lease = {"crm": self.crm, "lease_id": str(lease_id)}
        terms = {"run_id": run_id, "lease_seconds": lease_seconds}
        terms |= lease | {"alone_at": ALONE_AT_CRASHES, "is_alone": len(ids) == 1}

        def take(connection: Connection, some: Sequence[UUID]) -> Sequence[Any]:
            return connection.execute(self.statements.choosing(which)("claim"), terms | {"ids": _texts(some)}).all()

        def work(connection: Connection, each_apart: bool) -> Sequence[Any]:
            self._lock_claims(connection)
            if connection.execute(self.statements("was_claimed", "queries"), lease).scalar_one():
                return connection.execute(self.statements("still_claimed", "queries"), lease).all()
            if not each_apart:
                return take(connection, ids)
            taken, refused = apart(connection, ids, lambda one: take(connection, [one]))
            warn("claimed", refused)
            if refused:
                self._leave_alone(connection, lease, refused)
            return [row for rows in taken for row in rows]

        rows = at_once_or_apart(self.database, work)
        seconds_left = min((row.seconds_left for row in rows), default=lease_seconds)
        contacts = [_contact(row) for row in sorted(rows, key=lambda row: row.id)]
        return Batch(lease_id, contacts, seconds_left - (time.monotonic() - started))

    def journal(self, lease_id: UUID, run_id: str, entries: Sequence[JournalEntry]) -> int:
        """Append outcomes to `crm_attempts`; returns how many were new. Deleted contacts are skipped.

        What a CRM answered may hold anything: NUL and lone surrogates are removed, an error is cut at 500 characters.
        """
        if not entries:
            return 0
        outcomes = [entry.outcome for entry in entries]
        values = {
            "crm": self.crm,
            "run_id": run_id,
            "lease_id": str(lease_id),
            "target": self.target,
            "contact_ids": _texts([entry.contact_id for entry in entries]),
            "ages": [entry.age_seconds for entry in entries],
            "durations": [outcome.duration_ms for outcome in outcomes],
            "outcomes": [outcome.kind.value for outcome in outcomes],
            "http_statuses": [outcome.http_status for outcome in outcomes],
            "codes": _storable([outcome.code for outcome in outcomes]),
            "errors": _storable([outcome.error for outcome in outcomes]),
            "external_ids": _storable([outcome.external_id for outcome in outcomes]),
            "request_ids": _storable([outcome.request_id for outcome in outcomes]),
            "notes": _storable([outcome.note for outcome in outcomes]),
            "left_behind": _storable([outcome.left_behind for outcome in outcomes]),
        }
        return self.database.run(
            lambda connection: len(connection.execute(self.statements("journal", "queries"), values).all())
        )

    # -- the end of a lease --------------------------------------------------------------------------------------------

    def write_back(self, lease_id: UUID) -> WriteBackCounts:
        """Turn this lease's journalled answers into statuses. What others hold locked is left to the reaper.

        Raises DatabaseFailure, too, where the application's table refuses each of them: they wait until that is mended.
        """
        return _tried(lambda: self._write_back(lease_id))

    def release(self, lease_id: UUID, reason: str) -> WriteBackCounts:
        """Apply what was journalled under this lease; give the rest back to its prior statuses, no attempt counted."""
        lease = {"lease_id": str(lease_id)}

        def rest() -> tuple[WriteBackCounts, bool]:
            counts = self._end_leases("lock_lease", lease, reason, crashed=False)
            return counts, self.database.run(
                lambda connection: bool(connection.execute(self.statements("is_held", "queries"), lease).scalar_one())
            )

        return self.write_back(lease_id) + _tried(rest)

    def reap(self) -> WriteBackCounts:
        """End leases that are over: apply what was journalled; for the rest crashes + 1. Many may reap at once."""
        reaped = self._end_leases("lock_expired", {}, "the lease was over: the process died or hung", crashed=True)
        for lease_id in self.database.run(
            lambda connection: (
                connection.execute(self.statements("strays", "queries"), {"crm": self.crm}).scalars().all()
            )
        ):
            reaped += self._write_back(lease_id)[0]
        return reaped

    def give_back(self, run_id: str, reason: str, crashed: bool) -> WriteBackCounts:
        """The same at once for all leases of one run that is over. Idempotent; a worker that still lives is fenced."""
        return self._end_leases("lock_run", {"run_id": run_id}, reason, crashed)

    # -- parts ---------------------------------------------------------------------------------------------------------

    @property
    def _answers(self) -> Answers:
        return Answers(self.statements, self.retries)

    def _write_back(self, lease_id: UUID) -> tuple[WriteBackCounts, bool]:
        """What was done, and whether answers are left that others hold locked."""
        lease = {"crm": self.crm, "lease_id": str(lease_id)}

        def work(connection: Connection, each_apart: bool) -> tuple[WriteBackCounts, bool]:
            answers = connection.execute(self.statements("lock_journalled", "queries"), lease).all()
            if each_apart:
                counts, refusal = self._answers.apply_apart(connection, answers)
                if refusal is not None:
                    raise refusal  # it may be no row's fault: a person must look
            else:
                counts = self._answers.apply(connection, answers)
            if answers:
                return counts, answers[0].pending > len(answers)
            return counts, bool(connection.execute(self.statements("is_pending", "queries"), lease).scalar_one())

        return at_once_or_apart(self.database, work)

    def _end_leases(self, lock: str, which: dict[str, Any], reason: str, crashed: bool) -> WriteBackCounts:
        def some(connection: Connection, each_apart: bool) -> tuple[WriteBackCounts, bool]:
            """What was done, and whether it is all: of more than one portion the next run does the rest."""
            values = {"crm": self.crm, "limit": AT_ONCE} | which
            locked = connection.execute(self.statements(lock, "queries"), values).all()
            if not each_apart:
                return self._end(connection, locked, reason, crashed), len(locked) < AT_ONCE
            done, refused = apart(connection, locked, lambda row: self._end(connection, [row], reason, crashed, True))
            warn("given back", [(row.contact_id, error) for row, error in refused])
            return sum(done, WriteBackCounts()), True

        total = WriteBackCounts()
        while True:
            counts, is_all = at_once_or_apart(self.database, some)
            total += counts
            if is_all:
                return total

    def _end(
        self, connection: Connection, locked: Sequence[Any], reason: str, crashed: bool, each_apart: bool = False
    ) -> WriteBackCounts:
        """Apply what was journalled for these contacts (contact_id, lease_id), and give back the others."""
        if not locked:
            return WriteBackCounts()
        held = {
            "contact_ids": _texts([row.contact_id for row in locked]),
            "lease_ids": _texts([row.lease_id for row in locked]),
        }
        answers = connection.execute(self.statements("journalled", "queries"), {"crm": self.crm} | held).all()
        if each_apart:
            counts, _ = self._answers.apply_apart(connection, answers)
        else:
            counts = self._answers.apply(connection, answers)
        values = held | {"target": self.target, "note": reason}
        if not crashed:
            return counts + WriteBackCounts(released=len(self._ids(connection, "released", **values)))
        limit = {"give_up_at": GIVE_UP_AT_CRASHES}
        poisoned = len(self._ids(connection, "poisoned", **values, **limit))
        return counts + WriteBackCounts(crashed=poisoned + len(self._ids(connection, "crashed", **values, **limit)))

    def _left_behind(self, limit: int | None = None) -> Sequence[UUID]:
        def scan(connection: Connection) -> Sequence[UUID]:
            connection.execute(self.statements("allow_scan", "queries"))
            values = {"crm": self.crm, "limit": limit}
            return connection.execute(self.statements("left_behind", "queries"), values).scalars().all()

        return self.database.run(scan)

    def _take_back(self, found: Sequence[UUID]) -> int:
        def some(connection: Connection, ids: Sequence[UUID]) -> int:
            return len(self._ids(connection, "take_back", ids=_texts(ids)))

        def work(connection: Connection, each_apart: bool) -> int:
            self._lock_claims(connection)
            if not each_apart:
                return some(connection, found)
            done, refused = apart(connection, found, lambda one: some(connection, [one]))
            warn("taken back", refused)
            return sum(done)

        return at_once_or_apart(self.database, work)

    def _leave_alone(
        self, connection: Connection, lease: dict[str, str], refused: Sequence[tuple[UUID, DBAPIError]]
    ) -> None:
        """For a while: contacts that the table refused to have claimed."""
        values = {
            "contact_ids": _texts([contact_id for contact_id, _ in refused]),
            "notes": [f"not claimed: {first_line(error)}" for _, error in refused],
            "seconds": REFUSED_SECONDS,
            "target": self.target,
        }
        connection.execute(self.statements("claim_refused", "queries"), lease | values)

    def _lock_claims(self, connection: Connection) -> None:
        connection.execute(self.statements("lock_claims", "queries"), {"crm": self.crm})

    def _ids(self, connection: Connection, event: str, **values: Any) -> Sequence[UUID]:
        return connection.execute(self.statements(event), {"crm": self.crm} | values).scalars().all()


def _texts(ids: Sequence[UUID]) -> list[str]:
    return [str(an_id) for an_id in ids]


def _storable(texts: Sequence[str | None]) -> list[str | None]:
    return [None if one is None else storable(one) for one in texts]


def _tried(some: Callable[[], tuple[WriteBackCounts, bool]]) -> WriteBackCounts:
    """Add up the counts of `some()`, called up to 3 times while it says that others hold a part locked."""
    total, locked = some()
    for _ in range(TRIES - 1):
        if not locked:
            break
        time.sleep(PAUSE_BETWEEN_TRIES_SECONDS)  # people's transactions are short
        counts, locked = some()
        total += counts
    return total


def _contact(row: Any) -> Contact:
    return Contact(
        id=row.id,
        email=row.email,
        name=row.name,
        phone_number=row.phone_number,
        email_type=row.email_type,
        has_gmail=row.has_gmail,
        source_url=row.source_url,
        domain_id=row.domain_id,
        page_id=row.page_id,
        external_id=row.external_id,
        former_address_in_use=row.former_address_in_use,
        tried_address=row.tried_address,
        further=json.loads(row.further, parse_float=Decimal, parse_int=Decimal),  # with all their digits
        attempt=row.attempt,
    )
