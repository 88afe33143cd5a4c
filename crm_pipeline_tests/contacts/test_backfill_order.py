"""The first contact of a day decides, after an outage, whether the others are sent."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from crm_pipeline.contacts.queue import Queue
from crm_pipeline.contacts.which import Which
from crm_pipeline.push.due import find_day
from crm_pipeline_tests.support.contacts import insert, sql

TODAY = datetime.now(UTC).date()


def batches(queue: Queue) -> list[list[UUID]]:
    return find_day(queue, Which.EVERYONE, TODAY, lambda _: 10).batches


def test_a_day_is_not_always_led_by_the_same_contact(queue: Queue) -> None:
    for n in range(25):
        insert(queue.database, f"{n}@example.com", "Complete", "Complete")
    found = [batches(queue) for _ in range(20)]
    assert len({first[0] for (first, *_) in found}) > 1
    assert {tuple(map(len, each)) for each in found} == {(10, 10, 5)}
    assert len({frozenset(an_id for batch in each for an_id in batch) for each in found}) == 1


def test_a_day_is_led_by_a_contact_without_an_error_while_there_is_one(queue: Queue) -> None:
    for n in range(25):
        insert(queue.database, f"{n}@example.com", "Error", "Error", brevo_processing_error="no")
    well = insert(queue.database, "well@example.com", "Complete", "Complete")
    assert batches(queue)[0][0] == well
    sql(queue.database, "UPDATE contacts SET brevo_processing_error = 'no'")
    assert len({batches(queue)[0][0] for _ in range(20)}) > 1
