"""What is due, put into batches."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from crm_pipeline.contacts.queue import ALONE_AT_CRASHES
from crm_pipeline.model import QueuedContact

MOST_ALONE = 20


def into_batches(due: Sequence[QueuedContact], size: int) -> list[list[UUID]]:
    """Batches of at most `size` ids, in the order given.

    A batch never holds one address twice (twins go to later batches, where the first may be done), nor a contact with
    whoever has its former address today. A contact whose process has died twice makes a batch of its own, at most 20 a
    run, so that it cannot take others down with it.
    """
    alone = [[contact.id] for contact in due if contact.crashes >= ALONE_AT_CRASHES][:MOST_ALONE]
    batches: list[list[UUID]] = []
    first_with_room = 0
    next_for: dict[str, int] = {}  # by address
    next_for_heir: dict[str, int] = {}  # by former address
    for contact in due:
        if contact.crashes >= ALONE_AT_CRASHES:
            continue
        while first_with_room < len(batches) and len(batches[first_with_room]) >= size:
            first_with_room += 1
        own, former = contact.email_key or "", contact.former_key or ""
        at = max(first_with_room, next_for.get(own, 0), next_for.get(former, 0), next_for_heir.get(own, 0))
        while at < len(batches) and len(batches[at]) >= size:
            at += 1
        if at >= len(batches):
            at = len(batches)
            batches.append([])
        batches[at].append(contact.id)
        if own:
            next_for[own] = at + 1
        if former:
            next_for_heir[former] = max(next_for_heir.get(former, 0), at + 1)
    return batches + alone
