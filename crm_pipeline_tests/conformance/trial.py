"""A CRM on trial, and contacts to push to it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid5

from crm_pipeline.crms.protocol import Crm, CrmSpec
from crm_pipeline.model import Answer, Contact, News, Outcome
from crm_pipeline.sandbox.account import Account

KEY = "conformance-key-0123456789"
THREADS = 8
READ_SECONDS = 0.4
_NAMESPACE = UUID("11111111-1111-4111-8111-111111111111")


@dataclass(frozen=True)
class Trial:
    spec: CrmSpec
    crm: Crm
    account: Account

    def push(self, *contacts: Contact) -> Answer:
        return self.crm.push(contacts)

    def push_one(self, contact: Contact) -> tuple[Outcome, News]:
        answer = self.push(contact)
        return answer.outcomes[contact.id], answer.news

    def answering(self, status: int, body: Any = None, **headers: str) -> Trial:
        """The account answers every push so, and stores nothing."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.account.faults.answer = lambda _: (status, body, named)  # type: ignore[assignment,return-value]
        return self


def person(local: str, **columns: Any) -> Contact:
    """A contact whose id follows from its address."""
    return Contact(uuid5(_NAMESPACE, local), f"{local}@example.com", **columns)


def values(stored: Any) -> list[Any]:
    """All that the CRM keeps of a contact, at whatever depth."""
    return list(_values([stored.email, stored.attributes, stored.extra]))


def _values(kept: Any) -> Iterator[Any]:
    if isinstance(kept, dict):
        kept = list(kept.values())
    if isinstance(kept, list | tuple):
        for one in kept:
            yield from _values(one)
    else:
        yield kept
