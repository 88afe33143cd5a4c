"""The start of a run: what is due now, in batches."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from uuid import UUID

from crm_pipeline.contacts.chosen import list_day
from crm_pipeline.contacts.queue import Queue
from crm_pipeline.contacts.which import Which
from crm_pipeline.model import QueuedContact, WriteBackCounts
from crm_pipeline.push.batches import into_batches

logger = logging.getLogger(__name__)
MOST_OF_A_DAY = 200_000


@dataclass(frozen=True, slots=True)
class Found:
    """What a run found: batches of contact ids, and what it repaired before."""

    batches: list[list[UUID]]
    reaped: WriteBackCounts
    taken_back: int
    promoted: int
    left: int = 0
    """Contacts that were listed, and are more than one run takes."""

    @property
    def contacts(self) -> int:
        """Contacts in all batches."""
        return sum(map(len, self.batches))


def find_day(queue: Queue, which: Which, day: date, batch_size: Callable[[int], int]) -> Found:
    """Reap, take back, then list a backfill's choice of one day in batches; at most 200,000 contacts.

    Nothing is promoted: what waits for its retry is chosen as it is, and put back so when it is released.
    After an outage the first contact decides whether the others are sent, as in `find_due`.
    """
    reaped = queue.reap()
    taken_back = queue.take_back()
    batches: list[list[UUID]] = []
    left = 0
    for some in list_day(queue, which, day):
        if sum(map(len, batches)) + left >= MOST_OF_A_DAY:
            left += len(some)
            continue
        if not batches:
            some = _led_by_another(some)
        batches += (more := into_batches(some, batch_size(len(some))))
        left += len(some) - sum(map(len, more))
        logger.info("Listed %d contacts of %s", sum(map(len, batches)), day)  # a sign of life
    return Found(batches, reaped, taken_back, 0, left)


def find_due(
    queue: Queue, most: int, batch_size: Callable[[int], int], take_back_always: bool = False, probing: bool = False
) -> Found:
    """Reap, take back, promote, then list at most `most` due contacts in batches of `batch_size(listed)`.

    `probing`: the first contact decides whether the others are sent. One without an error is likelier to be taken, and
    it is not always the same one, for that may have a trouble of its own.
    """
    reaped = queue.reap()
    taken_back = queue.take_back(take_back_always)
    promoted = queue.promote()
    due = queue.list_due(most)
    if probing:
        random.shuffle(due)
        due.sort(key=lambda contact: contact.has_error)
    return Found(into_batches(due, batch_size(len(due))), reaped, taken_back, promoted)


def _led_by_another(contacts: list[QueuedContact]) -> list[QueuedContact]:
    """In the order given, but for the first: one without an error, and each time another."""
    places = list(range(len(contacts)))
    random.shuffle(places)
    first = min(places, key=lambda at: contacts[at].has_error, default=0)
    return [*contacts[first : first + 1], *contacts[:first], *contacts[first + 1 :]]
