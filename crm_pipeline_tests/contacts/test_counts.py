"""How much is due and waiting: wishes written with one column count as due, before any run has promoted them."""

from __future__ import annotations

from crm_pipeline.contacts.counts import depth
from crm_pipeline.contacts.queue import Queue
from crm_pipeline.contacts.statuses import PAIRS, Meaning
from crm_pipeline_tests.support.contacts import insert


def test_each_pair_is_counted_once_as_due_or_waiting_or_not_at_all(queue: Queue) -> None:
    for sync, processing in PAIRS:
        insert(queue.database, f"{sync}-{processing}@example.com", sync, processing)
    found = depth(queue)
    meanings = list(PAIRS.values())
    assert found.queued == meanings.count(Meaning.DUE) + meanings.count(Meaning.WISH)
    assert found.waiting == meanings.count(Meaning.WAITING) == 1


def test_an_empty_queue_has_no_age(queue: Queue) -> None:
    insert(queue.database, "ann@example.com", "Complete", "Complete")
    assert (depth(queue).queued, depth(queue).oldest_seconds) == (0, 0.0)


def test_the_age_is_that_of_the_oldest_change_among_what_is_due(queue: Queue) -> None:
    insert(queue.database, "ann@example.com", updated_at="2020-01-01 00:00:00+00")
    insert(queue.database, "bob@example.com")
    assert depth(queue).oldest_seconds > 86_400
