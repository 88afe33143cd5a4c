"""What is due, put into batches."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from crm_pipeline.contacts.queue import ALONE_AT_CRASHES
from crm_pipeline.model import QueuedContact

MOST_ALONE = 20


def into_batches(due: Sequence[QueuedContact], size: int) -> list[list[UUID]]:
    """Batches of at most `size` ids, in the order given.

    A batch never holds one address twice (twins go to later batches, where the first may be done), and a contact whose
    process has died twice makes a batch of its own, at most 20 a run, so that it cannot take others down with it.
    """
    alone = [[contact.id] for contact in due if contact.crashes >= ALONE_AT_CRASHES][:MOST_ALONE]
    batches: list[list[UUID]] = []
    first_with_room = 0
    next_for: dict[str, int] = {}
    for contact in due:
        if contact.crashes >= ALONE_AT_CRASHES:
            continue
        while first_with_room < len(batches) and len(batches[first_with_room]) >= size:
            first_with_room += 1
        at = max(first_with_room, next_for.get(contact.email_key or "", 0))
        while at < len(batches) and len(batches[at]) >= size:
            at += 1
        if at >= len(batches):
            at = len(batches)
            batches.append([])
        batches[at].append(contact.id)
        if contact.email_key:
            next_for[contact.email_key] = at + 1
    return batches + alone
