"""What is due, put into batches."""

from __future__ import annotations

from uuid import uuid4

from hypothesis import given, settings
from hypothesis import strategies as st

from crm_pipeline.model import QueuedContact
from crm_pipeline.push.batches import MOST_ALONE, into_batches

contacts = st.builds(
    QueuedContact,
    id=st.builds(uuid4),
    email_key=st.one_of(st.none(), st.sampled_from([f"{name}@example.com" for name in "abcdefgh"])),
    crashes=st.sampled_from([0, 0, 0, 0, 1, 2, 4]),
)


@settings(deadline=None)
@given(due=st.lists(contacts, max_size=80), size=st.integers(1, 12))
def test_a_batch_never_holds_one_address_twice_and_no_contact_is_dropped(due: list[QueuedContact], size: int) -> None:
    batches = into_batches(due, size)
    by_id = {contact.id: contact for contact in due}
    for batch in batches:
        keys = [by_id[an_id].email_key for an_id in batch if by_id[an_id].email_key]
        assert len(keys) == len(set(keys))
        assert 1 <= len(batch) <= size
        assert len(batch) == 1 or all(by_id[an_id].crashes < 2 for an_id in batch)
    listed = [an_id for batch in batches for an_id in batch]
    assert len(listed) == len(set(listed))
    healthy = {contact.id for contact in due if contact.crashes < 2}
    assert healthy <= set(listed)
    assert len(set(listed) - healthy) == min(MOST_ALONE, len(due) - len(healthy))


def test_batches_are_full_and_in_order() -> None:
    due = [QueuedContact(uuid4(), f"{i}@example.com", 0) for i in range(25)]
    batches = into_batches(due, 10)
    assert [len(batch) for batch in batches] == [10, 10, 5]
    assert [an_id for batch in batches for an_id in batch] == [contact.id for contact in due]
