"""An address that one contact gave up and another took over: the two are never in flight together.

The CRM knows the one under the address that the other has today. Whoever goes first must have ended before the other
begins, or a renaming takes away what the other has just pushed.
"""

from __future__ import annotations

from uuid import UUID

import pytest

from crm_pipeline.contacts.queue import Queue
from crm_pipeline.push.batches import into_batches
from crm_pipeline_tests.contacts.steps import answer, claim, leases_end, next_run, push
from crm_pipeline_tests.support.contacts import contact, insert, mechanics, pair, sql

INFO, SALES = "info@example.com", "sales@example.com"


def moved(queue: Queue, to: str = SALES, known_as: str = INFO) -> UUID:
    """A contact that the CRM knows under its former address, due under its new one."""
    return insert(queue.database, to, brevo_contact_id=known_as)


def taken(queue: Queue, *ids: UUID) -> list[UUID]:
    return [one.id for one in claim(queue, *ids).contacts]


@pytest.mark.parametrize("known_as", [INFO, " Info@Example.com\n"])
def test_who_has_the_former_address_of_one_in_flight_waits_until_that_one_is_done(queue: Queue, known_as: str) -> None:
    former, heir = moved(queue, known_as=known_as), insert(queue.database, " INFO@example.com")
    batch = claim(queue, former)
    assert next_run(queue) == []
    assert not queue.due_now()
    assert taken(queue, heir) == []
    answer(queue, batch, external_id=SALES)
    queue.write_back(batch.lease_id)
    assert taken(queue, heir) == [heir]


def test_whose_former_address_is_in_flight_waits_and_then_knows_that_it_is_anothers(queue: Queue) -> None:
    former, heir = moved(queue), insert(queue.database, INFO)
    batch = claim(queue, heir)
    assert next_run(queue) == []
    assert taken(queue, former) == []
    answer(queue, batch, external_id=INFO)
    queue.write_back(batch.lease_id)
    (one,) = claim(queue, former).contacts
    assert one.former_address_in_use


def test_of_one_batch_the_two_are_not_claimed_together(queue: Queue) -> None:
    for _ in range(10):  # the ids decide which of them is first
        former, heir, other = moved(queue), insert(queue.database, INFO), insert(queue.database, "other@example.com")
        assert set(taken(queue, former, heir, other)) == {min(former, heir), other}
        sql(queue.database, "DELETE FROM contacts")


def test_contacts_that_exchanged_their_addresses_are_claimed_one_after_the_other(queue: Queue) -> None:
    around = ["a@example.com", "b@example.com", "c@example.com"]
    due = {moved(queue, to=around[at - 1], known_as=around[at]) for at in range(3)}
    for _ in range(3):
        batch = claim(queue, *due)
        (one,) = batch.contacts
        answer(queue, batch, external_id=one.email)
        queue.write_back(batch.lease_id)
        due.remove(one.id)


def test_contacts_with_one_former_address_are_claimed_together(queue: Queue) -> None:
    """One renames it, the others find it gone."""
    due = [moved(queue, to=f"{n}@example.com") for n in range(5)]
    assert taken(queue, *due) == sorted(due)


def test_a_contact_that_its_crm_knows_under_its_present_address_waits_for_nobody(queue: Queue) -> None:
    due = [moved(queue, to=INFO), moved(queue, known_as="4711"), moved(queue, to="x@example.com", known_as="")]
    assert taken(queue, *due) == sorted(due)


def test_what_is_in_flight_to_another_crm_holds_up_nobody(queue: Queue) -> None:
    former, heir = moved(queue), insert(queue.database, INFO)
    claim(queue, former)
    sql(queue.database, "UPDATE crm_sync SET crm = 'hubspot'")
    assert taken(queue, heir) == [heir]


def test_the_two_are_listed_for_different_batches_of_one_run(queue: Queue) -> None:
    former, heir = moved(queue), insert(queue.database, INFO)
    other = insert(queue.database, "other@example.com")
    batches = into_batches(queue.list_due(10), 10)
    assert sorted(map(len, batches)) == [1, 2]
    assert {former, heir} not in [set(batch) - {other} for batch in batches]


def test_a_late_renaming_has_whoever_took_the_former_address_over_pushed_again(queue: Queue) -> None:
    former = insert(queue.database, INFO)
    push(queue, former, external_id=INFO)
    sql(queue.database, "UPDATE contacts SET email = :email", email=SALES)
    queue.select([former])
    late = claim(queue, former)
    leases_end(queue.database)
    queue.reap()
    heir = insert(queue.database, INFO)
    push(queue, heir, external_id=INFO)
    push(queue, former, external_id=SALES)
    third = insert(queue.database, "third@example.com")
    push(queue, third, external_id="third@example.com")
    answer(queue, late, external_id=SALES)
    assert queue.write_back(late.lease_id).fenced == 1
    assert pair(queue.database, heir) == ("Queued", "Queued"), "the late request may have renamed what it pushed"
    assert pair(queue.database, third) == ("Complete", "Complete")
    assert contact(queue.database, heir).brevo_contact_id == INFO
    assert mechanics(queue.database, heir).lease_id is None
