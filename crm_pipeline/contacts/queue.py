"""Every event of the state machine as a method; each statement stands in `transitions/`, one file per event.

Times are the database's clock. Locks are taken in one order: contacts, crm_sync, crm_attempts, by id.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from crm_pipeline.contacts.columns import CrmColumns
from crm_pipeline.contacts.statements import Statements
from crm_pipeline.database.engine import Database
from crm_pipeline.model import Batch, Contact, JournalEntry, QueuedContact, WriteBackCounts

ALONE_AT_CRASHES = 2
GIVE_UP_AT_CRASHES = 5
WRITE_BACK_TRIES = 3
LEASES_AT_ONCE = 1000
INTERVENTIONS = ("fenced", "overruled", "edited")
EVENTS_OF_OUTCOME = {
    "synced": ("synced",),
    "failed": ("failed", "given_up"),
    "blocked": ("blocked",),
    "rejected": ("rejected",),
    "skipped": ("skipped",),
}


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Waits after a failed push: `delay_minutes`, then each `factor` times the one before; `max_retries` in all."""

    max_retries: int = 3
    delay_minutes: float = 5
    factor: float = 2


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

    def select(self, ids: Sequence[UUID]) -> int:
        """any -> Selected/Queued. Returns how many contacts there were."""
        return len(self.database.run(lambda connection: self._ids(connection, "select", ids=_texts(ids))))

    def unselect(self, ids: Sequence[UUID]) -> int:
        """any -> New/NULL. Returns how many contacts there were."""
        return len(self.database.run(lambda connection: self._ids(connection, "unselect", ids=_texts(ids))))

    # -- the start of a run --------------------------------------------------------------------------------------------

    def due_now(self) -> DueNow:
        """Is anything due, promotable, or under a lease that is over? The sensor's question; reads only."""
        row = self.database.run(
            lambda connection: connection.execute(self.statements("due_now", "queries"), {"crm": self.crm}).one()
        )
        return DueNow(*row)

    def left_behind(self) -> bool:
        """Is there a Processing status without a lease? Scans the table."""

        def scan(connection: Connection) -> bool:
            connection.execute(self.statements("allow_scan", "queries"))
            return bool(connection.execute(self.statements("left_behind", "queries"), {"crm": self.crm}).scalar_one())

        return self.database.run(scan)

    def holds_lease(self, run_id: str) -> bool:
        """Does this run hold a lease that is not over?"""
        key = {"crm": self.crm, "run_id": run_id}
        return self.database.run(
            lambda connection: bool(connection.execute(self.statements("holds_lease", "queries"), key).scalar_one())
        )

    def promote(self) -> int:
        """Backoff over, or a wish written with one column -> due. Returns how many."""

        def some(connection: Connection) -> int:
            self._lock_claims(connection)
            return len(self._ids(connection, "promote", limit=LEASES_AT_ONCE))

        return self._until_short(some)

    def take_back(self, always: bool = False) -> int:
        """Processing without a lease -> due. At most every 5 minutes, unless `always`. Returns how many."""

        def scan(connection: Connection) -> int:
            self._lock_claims(connection)
            connection.execute(self.statements("allow_scan", "queries"))
            return len(self._ids(connection, "take_back", always=always))

        return self.database.run(scan)

    def list_due(self, limit: int) -> list[QueuedContact]:
        """What is due, oldest change first. Takes no lock: two runs may list the same ids."""
        rows = self.database.run(
            lambda connection: connection.execute(self.statements("list_due"), {"crm": self.crm, "limit": limit}).all()
        )
        return [QueuedContact(row.id, row.email_key, row.crashes) for row in rows]

    # -- a batch -------------------------------------------------------------------------------------------------------

    def claim(self, ids: Sequence[UUID], lease_id: UUID, run_id: str, lease_seconds: float) -> Batch:
        """Take what is still due of `ids` under a lease, in one short transaction.

        Called again with the same lease (a repeated step, a lost answer to COMMIT) it returns what is still under that
        lease and not journalled, and claims nothing new.
        """
        started = time.monotonic()

        def work(connection: Connection) -> list[Any]:
            lease = {"crm": self.crm, "lease_id": str(lease_id)}
            self._lock_claims(connection)
            if connection.execute(self.statements("was_claimed", "queries"), lease).scalar_one():
                return list(connection.execute(self.statements("still_claimed", "queries"), lease).all())
            claim = {"ids": _texts(ids), "run_id": run_id, "lease_seconds": lease_seconds, "alone_at": ALONE_AT_CRASHES}
            return list(connection.execute(self.statements("claim"), lease | claim).all())

        rows = self.database.run(work)
        seconds_left = min((row.seconds_left for row in rows), default=lease_seconds)
        contacts = [_contact(row) for row in sorted(rows, key=lambda row: row.id)]
        return Batch(lease_id, contacts, seconds_left - (time.monotonic() - started))

    def journal(self, lease_id: UUID, run_id: str, entries: Sequence[JournalEntry]) -> int:
        """Append outcomes to `crm_attempts`; returns how many were new. Deleted contacts are skipped."""
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
            "codes": [outcome.code for outcome in outcomes],
            "errors": [outcome.error for outcome in outcomes],
            "external_ids": [outcome.external_id for outcome in outcomes],
            "request_ids": [outcome.request_id for outcome in outcomes],
            "notes": [outcome.note for outcome in outcomes],
        }
        return self.database.run(
            lambda connection: len(connection.execute(self.statements("journal", "queries"), values).all())
        )

    # -- the end of a lease --------------------------------------------------------------------------------------------

    def write_back(self, lease_id: UUID) -> WriteBackCounts:
        """Turn this lease's journalled answers into statuses. What others hold locked is left to the reaper."""
        total = WriteBackCounts()
        for _ in range(WRITE_BACK_TRIES):
            done, pending = self.database.run(lambda connection: self._write_back(connection, lease_id))
            total += done
            if not pending:
                break
        return total

    def release(self, lease_id: UUID, reason: str) -> WriteBackCounts:
        """Apply what was journalled under this lease; give the rest back to its prior statuses, no attempt counted."""
        applied = self.write_back(lease_id)
        return applied + self._end_leases("lock_lease", {"lease_id": str(lease_id)}, reason, crashed=False)

    def reap(self) -> WriteBackCounts:
        """End leases that are over: apply what was journalled; for the rest crashes + 1. Many may reap at once."""
        reaped = self._end_leases("lock_expired", {}, "the lease was over: the process died or hung", crashed=True)
        for lease_id in self.database.run(
            lambda connection: (
                connection.execute(self.statements("strays", "queries"), {"crm": self.crm}).scalars().all()
            )
        ):
            reaped += self.write_back(lease_id)
        return reaped

    def give_back(self, run_id: str, reason: str, crashed: bool) -> WriteBackCounts:
        """The same at once for all leases of one run that is over. Idempotent; a worker that still lives is fenced."""
        return self._end_leases("lock_run", {"run_id": run_id}, reason, crashed)

    # -- parts ---------------------------------------------------------------------------------------------------------

    def _write_back(self, connection: Connection, lease_id: UUID) -> tuple[WriteBackCounts, bool]:
        lease = {"crm": self.crm, "lease_id": str(lease_id)}
        answers = connection.execute(self.statements("lock_journalled"), lease).all()
        counts = self._apply(connection, answers)
        if answers:
            return counts, answers[0].pending > len(answers)
        return counts, bool(connection.execute(self.statements("is_pending", "queries"), lease).scalar_one())

    def _apply(self, connection: Connection, answers: Sequence[Any]) -> WriteBackCounts:
        """Apply pending answers (id, outcome) of contacts that this transaction has locked."""
        if not answers:
            return WriteBackCounts()
        values = {
            "crm": self.crm,
            "attempts": [answer.id for answer in answers],
            "max_retries": self.retries.max_retries,
            "delay_minutes": self.retries.delay_minutes,
            "delay_factor": self.retries.factor,
        }
        kinds = {answer.outcome for answer in answers}
        events = [*INTERVENTIONS, *(event for kind in sorted(kinds) for event in EVENTS_OF_OUTCOME[kind])]
        return WriteBackCounts(**{event: len(self._ids(connection, event, **values)) for event in events})

    def _end_leases(self, lock: str, which: dict[str, Any], reason: str, crashed: bool) -> WriteBackCounts:
        total = WriteBackCounts()

        def some(connection: Connection) -> tuple[WriteBackCounts, int]:
            locked = connection.execute(self.statements(lock), {"crm": self.crm, "limit": LEASES_AT_ONCE} | which).all()
            contact_ids, lease_ids = [row.contact_id for row in locked], [row.lease_id for row in locked]
            if not locked:
                return WriteBackCounts(), 0
            pairs = {"contact_ids": _texts(contact_ids), "lease_ids": _texts(lease_ids)}
            answers = connection.execute(self.statements("journalled", "queries"), {"crm": self.crm} | pairs).all()
            counts = self._apply(connection, answers)
            held = pairs | {"target": self.target, "note": reason}
            if crashed:
                limit = {"give_up_at": GIVE_UP_AT_CRASHES}
                poisoned = len(self._ids(connection, "poisoned", **held, **limit))
                counts += WriteBackCounts(crashed=poisoned + len(self._ids(connection, "crashed", **held, **limit)))
            else:
                counts += WriteBackCounts(released=len(self._ids(connection, "released", **held)))
            return counts, len(locked)

        while True:
            counts, locked = self.database.run(some)
            total += counts
            if locked < LEASES_AT_ONCE:
                return total

    def _until_short(self, some: Callable[[Connection], int]) -> int:
        total = 0
        while True:
            done = self.database.run(some)
            total += done
            if done < LEASES_AT_ONCE:
                return total

    def _lock_claims(self, connection: Connection) -> None:
        connection.execute(self.statements("lock_claims", "queries"), {"crm": self.crm})

    def _ids(self, connection: Connection, event: str, **values: Any) -> Sequence[UUID]:
        return connection.execute(self.statements(event), {"crm": self.crm} | values).scalars().all()


def _texts(ids: Sequence[UUID]) -> list[str]:
    return [str(an_id) for an_id in ids]


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
        attempt=row.attempt,
    )
