"""A contact got another address, and another contact has its old one: in the end Brevo has both."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import pytest

from crm_pipeline.contacts.orphans import orphans
from crm_pipeline.database.engine import Database
from crm_pipeline.model import Answer, Contact
from crm_pipeline.push.batches import into_batches
from crm_pipeline.sandbox.account import Account
from crm_pipeline_tests.push.pushing import Pushing
from crm_pipeline_tests.support.contacts import insert, pair, pairs, sql

INFO, SALES = "info@example.com", "sales@example.com"
COMPLETE = ("Complete", "Complete")


def whole_run(sync: Pushing, size: int = 50) -> Counter[str]:
    """List what is due, push it batch by batch."""
    outcomes: Counter[str] = Counter()
    for ids in into_batches(sync.queue.list_due(1000), size):
        outcomes.update(one_batch(sync, ids))
    return outcomes


def one_batch(sync: Pushing, ids: Sequence[UUID]) -> dict[str, int]:
    batch = sync.another()
    result = batch.push(ids)
    batch.queue.write_back(batch.lease)
    return dict(result.outcomes)


def readdress(database: Database, contact: UUID, email: str) -> None:
    """A person changes the address and selects the contact, oldest change last."""
    sql(
        database,
        "UPDATE contacts SET email = :email, brevo_sync_status = 'Selected', brevo_processing_status = 'Queued' "
        "WHERE id = :id",
        email=email,
        id=contact,
    )


def test_one_batch_with_both_brings_both_to_brevo(database: Database, account: Account, sync: Pushing) -> None:
    moved = insert(database, INFO, name="Page One")
    one_batch(sync, [moved])
    readdress(database, moved, SALES)
    heir = insert(database, INFO, name="Page Two")
    assert one_batch(sync, [heir, moved]) == one_batch(sync, [heir, moved]) == {"synced": 1}
    assert pair(database, moved) == pair(database, heir) == COMPLETE
    assert {one.email: one.attributes["LASTNAME"] for one in account.contacts()} == {INFO: "Two", SALES: "One"}
    assert orphans(sync.queue) == []


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_whoever_is_pushed_first_both_are_in_brevo(
    database: Database, account: Account, sync: Pushing, order: tuple[int, int]
) -> None:
    moved = insert(database, INFO, name="Page One")
    one_batch(sync, [moved])
    (before,) = account.contacts()
    readdress(database, moved, SALES)
    both = [moved, insert(database, INFO, name="Page Two")]
    for at in order:
        assert one_batch(sync, [both[at]]) == {"synced": 1}
    names = {one.email: one.attributes["LASTNAME"] for one in account.contacts()}
    assert names == {INFO: "Two", SALES: "One"}
    renamed = account.get(before.id)
    assert renamed is not None
    assert renamed.email == (SALES if order == (0, 1) else INFO), "the first one has what Brevo had"
    assert orphans(sync.queue) == []


def test_a_run_that_lists_thirty_moves_and_takeovers_leaves_nobody_out(
    database: Database, account: Account, sync: Pushing
) -> None:
    for n in range(30):
        insert(database, f"old{n}@example.com")
    assert whole_run(sync) == {"synced": 30}
    sql(
        database,
        "WITH moved AS (UPDATE contacts SET email = 'new-' || email, updated_at = now(), "
        "brevo_sync_status = 'Selected', brevo_processing_status = 'Queued' RETURNING brevo_contact_id) "
        "INSERT INTO contacts (email, name, brevo_sync_status, brevo_processing_status) "
        "SELECT brevo_contact_id, 'successor', 'Selected', 'Queued' FROM moved",
    )
    assert whole_run(sync) == {"synced": 60}, "one run, in batches that keep the two apart"
    expected = {f"{prefix}old{n}@example.com" for n in range(30) for prefix in ("", "new-")}
    assert {one.email for one in account.contacts()} == expected
    assert pairs(database) == {"Complete/Complete": 60}


def test_who_takes_the_address_over_in_the_middle_of_the_renaming_waits_for_its_end(
    database: Database, account: Account, sync: Pushing, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = insert(database, INFO)
    one_batch(sync, [moved])
    readdress(database, moved, SALES)
    heirs: list[UUID] = []
    real = sync.crm.push

    def push(contacts: Sequence[Contact]) -> Answer:
        answer = real(contacts)
        if answer.then is not None and not heirs:  # its old address has been looked at, and not yet renamed
            heirs.append(insert(database, INFO))
            assert one_batch(sync, heirs) == {}
        return answer

    monkeypatch.setattr(sync.crm, "push", push)
    one_batch(sync, [moved])
    assert {one.email for one in account.contacts()} == {SALES}
    one_batch(sync, heirs)
    assert {one.email for one in account.contacts()} == {INFO, SALES}
    assert pairs(database) == {"Complete/Complete": 2}


def test_two_that_exchanged_their_addresses_are_both_in_brevo(
    database: Database, account: Account, sync: Pushing
) -> None:
    names: dict[str, Any] = {INFO: "Page One", SALES: "Page Two"}
    ids = [insert(database, email, name=name) for email, name in names.items()]
    whole_run(sync)
    readdress(database, ids[0], SALES)
    readdress(database, ids[1], INFO)
    assert whole_run(sync) == {"synced": 2}
    assert {one.email: one.attributes["LASTNAME"] for one in account.contacts()} == {INFO: "Two", SALES: "One"}
    assert orphans(sync.queue) == []
