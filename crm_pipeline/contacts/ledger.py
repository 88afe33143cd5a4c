"""Does every contact that somebody wants have a next step, and is it taken in time?

    unknown      a status that is not in the table             a person must look
    unclear      Complete/Error, which no event makes          a person must look, or `heal`
    due          at the head of what is due                    pushed by the next run
    wish         written with one column                       promoted by the next run
    overdue      its wait is over                              promoted by the next run
    lease over   its process died                              taken back by the next run
    left behind  Processing without a lease                    taken back by a run, every 5 minutes
    refused      the table refuses that it is claimed          a person must look; it is tried every 5 minutes
    half wanted  New or Skipped with Queued                    never pushed: a warning

Everything else is at rest, waits for its time, or is being pushed. Of what is due the first are watched: each run takes
many more, so one that stays at the head is stuck, and one further back comes to the head.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection

from crm_pipeline.contacts.queue import Queue
from crm_pipeline.redaction import mask_email

WATCHED = 100
LARGEST_LIST = 10_000
_ARE_THEY = "are the schedule and the daemon running? Do the runs' logs say why?"
NEXT_STEPS = {
    "unknown": "A status that the pipeline does not know: correct it.",
    "unclear": "No event makes this pair: `crm-pipeline ledger heal` queues it, or correct it.",
    "due": "Its turn came, and no run took it: are the schedule and the daemon running?",
    "wish": "No run took up this wish: are the schedule and the daemon running?",
    "overdue": f"Its wait is over, and no run took it up: {_ARE_THEY}",
    "lease over": f"Its process died, and no run took it back: {_ARE_THEY}",
    "left behind": "Processing without a lease, and no run took it back: `crm-pipeline ledger heal` does.",
    "refused": "The table contacts refuses that it is claimed, as `contacts why` says: mend it, or what refuses.",
    "half wanted": "Nobody wants it, although it is Queued: write Selected and Queued, or New and NULL.",
}
INTERVALS = {"unknown": 0, "unclear": 0, "refused": 0, "half wanted": 0, "overdue": 2, "lease over": 2}
"""Intervals between runs for which a state may last; 3 for the others."""
AWAITED = ("due", "wish", "overdue", "lease over", "left behind")
"""What the next run ends: while the CRM is paused there is none."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One contact without a next step, or whose next step is overdue."""

    contact_id: UUID
    masked_email: str
    statuses: str
    """`Complete / Error`."""
    state: str
    since: datetime
    """When it was first seen so."""

    @property
    def what_to_do(self) -> str:
        """A sentence for a person."""
        return NEXT_STEPS[self.state]


@dataclass(frozen=True, slots=True)
class Ledger:
    """`lost`: something is wrong with each. `warnings`: nobody wants them, and somebody may have meant to."""

    lost: Sequence[Entry]
    warnings: Sequence[Entry]


def look(queue: Queue, interval_minutes: float, paused: bool) -> Ledger:
    """Look at all contacts, and remember since when each that is not at rest is in its state. Scans the table once.

    `interval_minutes` lie between two runs. While the CRM is `paused` there is none, and what waits for one is excused.
    """
    due = [(contact.id, "due") for contact in queue.list_due(WATCHED)]

    def work(connection: Connection) -> list[Entry]:
        connection.execute(queue.statements("allow_scan", "queries"))
        values = {"crm": queue.crm, "limit": LARGEST_LIST}
        seen = dict(due)
        for name in ("ledger_late", "ledger_scan"):
            limit = {"limit": WATCHED} if name == "ledger_late" else {}
            seen |= {row.id: row.state for row in connection.execute(queue.statements(name, "queries"), values | limit)}
        note = {"ids": [str(contact_id) for contact_id in seen], "states": list(seen.values())}
        excused = {"paused": paused, "awaited": list(AWAITED)}
        connection.execute(queue.statements("ledger_note", "queries"), {"crm": queue.crm} | note | excused)
        rows = connection.execute(queue.statements("ledger_rows", "queries"), {"crm": queue.crm})
        return [
            Entry(
                row.contact_id,
                mask_email(row.email),
                f"{row.sync_status} / {row.processing_status or 'NULL'}",
                row.state,
                row.since,
            )
            for row in rows
            if row.seconds >= INTERVALS.get(row.state, 3) * interval_minutes * 60
        ]

    entries = queue.database.run(work)
    return Ledger(
        [entry for entry in entries if entry.state != "half wanted"],
        [entry for entry in entries if entry.state == "half wanted"],
    )


@dataclass(frozen=True, slots=True)
class Healed:
    """What `heal` did, in contacts."""

    queued: int
    """Had a pair that no event makes."""
    reaped: int
    taken_back: int
    promoted: int


def heal(queue: Queue) -> Healed:
    """Mend what is safe to mend: queue unclear pairs, and do what each run begins with. Unknown labels are left."""

    def unclear(connection: Connection) -> list[UUID]:
        connection.execute(queue.statements("allow_scan", "queries"))
        values = {"crm": queue.crm, "limit": LARGEST_LIST}
        rows = connection.execute(queue.statements("ledger_scan", "queries"), values)
        return [row.id for row in rows if row.state == "unclear"]

    queued = queue.heal(queue.database.run(unclear))
    reaped = queue.reap()
    return Healed(queued, reaped.crashed, queue.take_back(always=True), queue.promote())
