"""One CRM's account at the sandbox: what it keeps, what it was asked, and what goes wrong on purpose."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from crm_pipeline.sandbox.faults import Faults

REQUESTS_REMEMBERED = 100_000


@dataclass(frozen=True, slots=True)
class StoredContact:
    """A contact as the CRM keeps it. It is never changed: a change makes a new one."""

    id: int
    email: str
    """In lower case; empty for a contact that has a phone number alone."""
    attributes: Mapping[str, Any]
    lists: tuple[int, ...]
    identifiers: Mapping[str, str]
    """By which it is found, e.g. {"email": "ann@example.com", "SMS": "33612345678"}: each is unique in an account."""
    extra: Mapping[str, Any]
    """What this CRM alone keeps, such as an opt-out."""
    created_at: datetime
    modified_at: datetime


class Account:
    """One account. Only the server's loop changes its contacts; any thread may read, and set key and faults."""

    def __init__(self, name: str, title: str, url: str, api_key: str | None) -> None:
        self.name = name
        self.title = title
        self.url = url
        """Base URL of the API, as a client is given it."""
        self.api_key = api_key
        """The key that is asked for; None: any."""
        self.faults = Faults()
        self.lists: dict[int, str] = {}
        """Names of lists by number."""
        self.fields: dict[str, dict[str, Any]] = {}
        """Definitions of the contacts' attributes by name, as the CRM describes them."""
        self.revision = 0
        """Goes up with each change of what is kept."""
        self._contacts: dict[int, StoredContact] = {}  # the last changed at the end
        self._owners: dict[tuple[str, str], int] = {}
        self._last_id = 0
        self._received: deque[tuple[float, str]] = deque(maxlen=REQUESTS_REMEMBERED)
        self._received_count = 0
        self._lock = threading.Lock()

    @property
    def received(self) -> list[tuple[float, str]]:
        """(monotonic time, address as sent) of each push that arrived, answered well or not, in order of arrival.

        The last 100,000. A push that names no address at all has an empty one.
        """
        with self._lock:
            return list(self._received)

    @property
    def received_count(self) -> int:
        """How many pushes arrived since the start."""
        return self._received_count

    def note(self, addresses: Iterable[str]) -> None:
        """A push arrived."""
        now = time.monotonic()
        with self._lock:
            for address in addresses:
                self._received.append((now, address))
                self._received_count += 1

    def contact(self, address: str) -> StoredContact | None:
        """By its address, in whatever case."""
        return self.find("email", address.lower())

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
            self._forget(contact.id)
            self._put(contact)
        return contact

    def remove(self, contact: StoredContact) -> None:
        """Delete a contact."""
        with self._lock:
            self._forget(contact.id)
            self.revision += 1

    def add_list(self, name: str) -> int:
        """A new list; its number."""
        with self._lock:
            number = max(self.lists, default=0) + 1
            self.lists[number] = name
            self.revision += 1
        return number

    def add_field(self, name: str, definition: dict[str, Any]) -> None:
        """A new attribute."""
        with self._lock:
            self.fields[name] = definition
            self.revision += 1

    def state(self) -> dict[str, Any]:
        """What must survive a restart, as JSON takes it."""
        with self._lock:
            return {
                "last_id": self._last_id,
                "lists": list(self.lists.items()),
                "fields": self.fields,
                "contacts": [
                    {
                        **{name: getattr(contact, name) for name in _AS_THEY_ARE},
                        "created_at": contact.created_at.isoformat(),
                        "modified_at": contact.modified_at.isoformat(),
                    }
                    for contact in self._contacts.values()
                ],
            }

    def restore(self, state: dict[str, Any]) -> None:
        """Take over an earlier `state()`. Raises KeyError, TypeError, ValueError or AttributeError when it is none."""
        with self._lock:
            self.lists = {int(number): str(name) for number, name in state["lists"]}
            self.fields = {str(name): dict(definition) for name, definition in state["fields"].items()}
            for kept in state["contacts"]:
                times = {name: datetime.fromisoformat(kept[name]) for name in ("created_at", "modified_at")}
                self._put(StoredContact(**{**kept, "lists": tuple(kept["lists"]), **times}))
            self._last_id = int(state["last_id"])

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


_AS_THEY_ARE = ("id", "email", "attributes", "lists", "identifiers", "extra")
