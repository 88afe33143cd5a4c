"""What a person wants in several CRMs at once: all of it, or nothing."""

from __future__ import annotations

import pytest

from crm_pipeline.contacts.answers import RetryPolicy
from crm_pipeline.contacts.columns import CrmColumns
from crm_pipeline.contacts.queue import Queue
from crm_pipeline.contacts.which import Which
from crm_pipeline.contacts.wishes import select, unselect
from crm_pipeline.database.engine import Database
from crm_pipeline.errors import DatabaseFailure
from crm_pipeline_tests.support.contacts import contact, insert, sql


@pytest.fixture
def queues(database: Database, queue: Queue) -> list[Queue]:
    return [queue, Queue(database, CrmColumns("hubspot", "hubspot_contact_id"), RetryPolicy())]


def statuses(database: Database, contact_id: object) -> tuple[object, ...]:
    row = contact(database, contact_id)  # type: ignore[arg-type]
    return (
        row.brevo_sync_status,
        row.brevo_processing_status,
        row.hubspot_sync_status,
        row.hubspot_processing_status,
    )


def test_a_contact_is_selected_for_several_crms_and_unselected_again(queues: list[Queue], database: Database) -> None:
    ann = insert(database, "ann@example.com", "New", None)
    assert select(queues, [ann]) == [1, 1]
    assert statuses(database, ann) == ("Selected", "Queued", "Selected", "Queued")
    assert unselect(queues, [ann]) == [1, 1]
    assert statuses(database, ann) == ("New", None, "New", None)


def test_of_a_choice_each_crm_has_its_own(queues: list[Queue], database: Database) -> None:
    ann = insert(database, "ann@example.com", "Error", "Error", hubspot_sync_status="Complete")
    assert select(queues, [ann], Which.FAILED) == [1, 0]
    assert statuses(database, ann) == ("Selected", "Queued", "Complete", None)


@pytest.mark.parametrize("event", [select, unselect])
def test_when_one_crm_fails_the_others_are_left_as_they_were(
    queues: list[Queue], database: Database, event: object
) -> None:
    ann = insert(database, "ann@example.com", "Error", "Error")
    before = statuses(database, ann)
    sql(database, "ALTER TABLE contacts RENAME COLUMN hubspot_processing_status TO gone")
    with pytest.raises(DatabaseFailure):
        event(queues, [ann])  # type: ignore[operator]
    sql(database, "ALTER TABLE contacts RENAME COLUMN gone TO hubspot_processing_status")
    assert statuses(database, ann) == before
