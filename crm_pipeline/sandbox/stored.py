"""Contacts as a CRM keeps them, now or some seconds ago."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Protocol

VERSIONS_REMEMBERED = 10_000


@dataclass(frozen=True, slots=True)
class StoredContact:
    """A contact as the CRM keeps it. It is never changed: a change makes a new one."""

    id: int
    email: str
    """As it is compared, in lower case as a rule; empty for a contact that has a phone number alone."""
    attributes: Mapping[str, Any]
    lists: tuple[int, ...]
    identifiers: Mapping[str, str]
    """By which it is found, e.g. {"email": "ann@example.com", "SMS": "33612345678"}: each is unique in an account."""
    extra: Mapping[str, Any]
    """What this CRM alone keeps, such as an opt-out."""
    created_at: datetime
    modified_at: datetime


class Readable(Protocol):
    """Contacts at some time."""

    def contacts(self) -> list[StoredContact]:
        """All contacts, the last changed first."""

    def find(self, kind: str, value: str) -> StoredContact | None:
        """By one of its identifiers."""

    def get(self, contact_id: int) -> StoredContact | None:
        """By its number."""


class Earlier:
    """Contacts at a time that is over."""

    def __init__(self, contacts: Iterable[StoredContact]) -> None:
        self._contacts = {contact.id: contact for contact in contacts}

    def contacts(self) -> list[StoredContact]:
        """All contacts, the last changed first."""
        return sorted(self._contacts.values(), key=lambda contact: contact.modified_at, reverse=True)

    def find(self, kind: str, value: str) -> StoredContact | None:
        """By one of its identifiers."""
        having = (contact for contact in self._contacts.values() if contact.identifiers.get(kind) == value)
        return next(having, None)

    def get(self, contact_id: int) -> StoredContact | None:
        """By its number."""
        return self._contacts.get(contact_id)


class StoredContacts:
    """The contacts of one account. Only the server's loop changes them; any thread may read."""

    def __init__(self) -> None:
        self.revision = 0
        """Goes up with each change of what is kept."""
        self._contacts: dict[int, StoredContact] = {}  # the last changed at the end
        self._owners: dict[tuple[str, str], int] = {}
        self._versions: deque[tuple[float, int, StoredContact | None]] = deque(maxlen=VERSIONS_REMEMBERED)
        self._last_id = 0
        self._lock = threading.RLock()

    def contact(self, address: str) -> StoredContact | None:
        """By its address, in whatever case."""
        return self.find("email", address) or self.find("email", address.lower())

    def find(self, kind: str, value: str) -> StoredContact | None:
        """By one of its identifiers."""
        with self._lock:
            return self._contacts.get(self._owners.get((kind, value), 0))

    def get(self, contact_id: int) -> StoredContact | None:
        """By its number."""
        with self._lock:
            return self._contacts.get(contact_id)

    def contacts(self) -> list[StoredContact]:
        """All contacts, the last changed first."""
        with self._lock:
            return list(reversed(self._contacts.values()))

    def as_seen(self, seconds_ago: float) -> Readable:
        """The contacts as they were so long ago, for whoever reads from a copy that lags behind."""
        if seconds_ago <= 0:
            return self
        since = time.monotonic() - seconds_ago
        with self._lock:
            contacts: dict[int, StoredContact | None] = dict(self._contacts)
            contacts.update({number: before for at, number, before in reversed(self._versions) if at > since})
        return Earlier(contact for contact in contacts.values() if contact is not None)

    def new_contact(self) -> StoredContact:
        """An empty contact with the next number; `save` keeps it."""
        now = datetime.now(UTC)
        return StoredContact(self._last_id + 1, "", {}, (), {}, {}, now, now)

    def save(self, contact: StoredContact) -> StoredContact:
        """Keep a new or changed contact, modified now. Its identifiers must not be another contact's."""
        contact = replace(contact, modified_at=datetime.now(UTC))
        owned = [(kind, value) for kind, value in contact.identifiers.items()]
        with self._lock:
            taken = [key for key in owned if self._owners.get(key, contact.id) != contact.id]
            assert not taken, f"another contact has {[kind for kind, _ in taken]}"
            self._replace(contact)
        return contact

    def join(self, contact: StoredContact, number: int) -> bool:
        """Put a contact into a list; False when it is there."""
        if number in contact.lists:
            return False
        self.save(replace(contact, lists=(*contact.lists, number)))
        return True

    def leave(self, contact: StoredContact, number: int) -> bool:
        """Take a contact out of a list; False when it is not there."""
        if number not in contact.lists:
            return False
        self.save(replace(contact, lists=tuple(one for one in contact.lists if one != number)))
        return True

    def remove(self, contact: StoredContact) -> None:
        """Delete a contact."""
        with self._lock:
            self._versions.append((time.monotonic(), contact.id, self._contacts.get(contact.id)))
            self._forget(contact.id)
            self.revision += 1

    def forget_contacts(self) -> None:
        """All of them, numbers included."""
        with self._lock:
            for kept in (self._contacts, self._owners, self._versions):
                kept.clear()
            self._last_id = 0
            self.revision += 1

    def _replace(self, contact: StoredContact) -> None:
        self._versions.append((time.monotonic(), contact.id, self._contacts.get(contact.id)))
        self._forget(contact.id)
        self._put(contact)

    def _put(self, contact: StoredContact) -> None:
        self._contacts[contact.id] = contact
        self._owners.update(dict.fromkeys(contact.identifiers.items(), contact.id))
        self._last_id = max(self._last_id, contact.id)
        self.revision += 1

    def _forget(self, contact_id: int) -> None:
        former = self._contacts.pop(contact_id, None)
        if former is not None:
            for key in former.identifiers.items():
                del self._owners[key]
