"""One CRM's account at the sandbox: what it keeps, what it was asked, and what goes wrong on purpose."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any

from crm_pipeline.sandbox.faults import Faults
from crm_pipeline.sandbox.quota import Limits, Quota
from crm_pipeline.sandbox.record import Record
from crm_pipeline.sandbox.stored import StoredContact, StoredContacts

REQUESTS_REMEMBERED = 100_000
NO_LIMITS = Limits()


class Account(StoredContacts):
    """One account. Only the server's loop changes its contacts; any thread may read, and set all that is public."""

    def __init__(
        self, name: str, title: str, url: str, api_key: str | None, documented: Limits = NO_LIMITS, switches: Any = None
    ) -> None:
        super().__init__()
        self.name = name
        self.title = title
        self.url = url
        """Base URL of the API, as a client is given it."""
        self.api_key = api_key
        """The key that is asked for; None: any."""
        self.faults = Faults()
        self.quota = Quota(documented)
        self.switches = switches
        """A dataclass of the CRM's own: what its documentation leaves open."""
        self.record = Record()
        self.lists: dict[int, str] = {}
        """Names of lists by number."""
        self.fields: dict[str, dict[str, Any]] = {}
        """Definitions of the contacts' attributes by name, as the CRM describes them."""
        self.extra: dict[str, Any] = {}
        """What this CRM alone keeps beside contacts, as JSON takes it. It is changed within `changing()`."""
        self._last_list = 0
        self._received: deque[tuple[float, str]] = deque(maxlen=REQUESTS_REMEMBERED)
        self._received_count = 0

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

    def add_list(self, name: str) -> int:
        """A new list; its number."""
        with self._lock:
            self._last_list = number = max([self._last_list, *self.lists]) + 1
            self.lists[number] = name
            self.revision += 1
        return number

    def remove_list(self, number: int) -> None:
        """Delete a list; its contacts stay, unmodified but for it."""
        with self._lock:
            del self.lists[number]
            for contact in [contact for contact in self._contacts.values() if number in contact.lists]:
                self._contacts[contact.id] = replace(contact, lists=tuple(n for n in contact.lists if n != number))
            self.revision += 1

    def add_field(self, name: str, definition: dict[str, Any]) -> None:
        """A new attribute, or a new definition of one."""
        with self._lock:
            self.fields[name] = definition
            self.revision += 1

    def remove_field(self, name: str) -> None:
        """Delete an attribute; contacts lose its values."""
        with self._lock:
            del self.fields[name]
            for contact in [contact for contact in self._contacts.values() if name in contact.attributes]:
                self._replace(
                    replace(
                        contact,
                        attributes={kept: value for kept, value in contact.attributes.items() if kept != name},
                        identifiers={kind: value for kind, value in contact.identifiers.items() if kind != name},
                    )
                )
            self.revision += 1

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Around each change in `lists`, `extra` or `switches` that is to survive a restart."""
        with self._lock:
            yield
            self.revision += 1

    def empty(self, seed: Callable[[Account], None]) -> None:
        """Begin anew: without contacts, as a new account is; what was asked is forgotten."""
        with self._lock:
            self.forget_contacts()
            for kept in (self.lists, self.fields, self.extra):
                kept.clear()
            self._received.clear()
            self._last_list = self._received_count = 0
        self.record.clear()
        seed(self)

    def state(self) -> dict[str, Any]:
        """What must survive a restart, as JSON takes it."""
        with self._lock:
            return {
                "last_id": self._last_id,
                "last_list": self._last_list,
                "extra": deepcopy(self.extra),
                "switches": asdict(self.switches) if self.switches is not None else {},
                "lists": list(self.lists.items()),
                "fields": dict(self.fields),
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
            # Older files have none of these.
            self._last_list = int(state.get("last_list", 0))
            self.extra = dict(state.get("extra", {}))
            for name, value in dict(state.get("switches", {})).items():
                setattr(self.switches, name, value)


_AS_THEY_ARE = ("id", "email", "attributes", "lists", "identifiers", "extra")
