"""The start of a run: what is due now, in batches."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from crm_pipeline.contacts.queue import Queue
from crm_pipeline.model import WriteBackCounts
from crm_pipeline.push.batches import into_batches

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Found:
    """What a run found: batches of contact ids, and what it repaired before."""

    batches: list[list[UUID]]
    reaped: WriteBackCounts
    taken_back: int
    promoted: int

    @property
    def contacts(self) -> int:
        """Contacts in all batches."""
        return sum(map(len, self.batches))


def find_due(queue: Queue, most: int, batch_size: Callable[[int], int], take_back_always: bool = False) -> Found:
    """Reap, take back, promote, then list at most `most` due contacts in batches of `batch_size(listed)`."""
    reaped = queue.reap()
    taken_back = queue.take_back(take_back_always)
    promoted = queue.promote()
    due = queue.list_due(most)
    return Found(into_batches(due, batch_size(len(due))), reaped, taken_back, promoted)
