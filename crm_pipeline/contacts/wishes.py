"""What a person wants in several CRMs at once: all of it in one transaction, or nothing."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from crm_pipeline.contacts.queue import Queue
from crm_pipeline.contacts.which import Which


def select(queues: Sequence[Queue], ids: Sequence[UUID], which: Which | None = None) -> list[int]:
    """any -> Selected/Queued in each CRM; of a choice, what is in it. Returns how many contacts each CRM had of them.

    The queues share a database. The first statement locks the contacts, by id; the next find them locked.
    """
    return queues[0].database.run(lambda connection: [queue.select_within(connection, ids, which) for queue in queues])


def unselect(queues: Sequence[Queue], ids: Sequence[UUID]) -> list[int]:
    """any -> New/NULL in each CRM. Returns how many contacts each CRM had of them."""
    return queues[0].database.run(lambda connection: [queue.unselect_within(connection, ids) for queue in queues])
