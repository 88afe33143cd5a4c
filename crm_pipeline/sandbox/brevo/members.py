"""Which contacts are in a list. https://developers.brevo.com/reference/add-contact-to-list"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from crm_pipeline.sandbox.account import Account
from crm_pipeline.sandbox.brevo import values
from crm_pipeline.sandbox.brevo.contacts import Contacts
from crm_pipeline.sandbox.brevo.errors import Refused
from crm_pipeline.sandbox.brevo.identifiers import EMAIL, EXT_ID, Identifiers
from crm_pipeline.sandbox.brevo.lists import Lists
from crm_pipeline.sandbox.brevo.processes import Processes
from crm_pipeline.sandbox.brevo.switches import Switches
from crm_pipeline.sandbox.calls import Call, Reply
from crm_pipeline.sandbox.stored import StoredContact

LARGEST_PAGE = 500
MOST_AT_ONCE = 150


class Members:
    """Of one account's lists."""

    def __init__(self, account: Account, lists: Lists, contacts: Contacts, processes: Processes) -> None:
        self._account = account
        self._lists = lists
        self._contacts = contacts
        self._processes = processes
        self._identifiers = Identifiers(account)

    def all(self, call: Call) -> Reply:
        """GET /contacts/lists/{number}/contacts."""
        return self._contacts.of_list(call, self._lists.named(call), LARGEST_PAGE)

    def add(self, call: Call) -> Reply:
        """POST /contacts/lists/{number}/contacts/add: 201 with who was added and who was not."""
        number = self._lists.named(call)
        return self._change(call, lambda contact: self._account.join(contact, number))

    def remove(self, call: Call) -> Reply:
        """POST /contacts/lists/{number}/contacts/remove: 201 likewise; with `all` a process does it."""
        number = self._lists.named(call)
        if values.json_object(call).get("all") is True:
            members = [contact for contact in self._account.contacts() if number in contact.lists]

            def work() -> dict[str, Any]:
                for contact in self._account.contacts():
                    self._account.leave(contact, number)
                return {}

            process = self._processes.start("IMPORTUSER", work)
            return Reply(201, {"contacts": {"success": [], "failure": [], "total": len(members), "processId": process}})
        return self._change(call, lambda contact: self._account.leave(contact, number))

    def _change(self, call: Call, change: Callable[[StoredContact], bool]) -> Reply:
        """`change` says whether it changed anything: a contact already in the list is a failure."""
        body = values.json_object(call)
        given = [name for name in ("emails", "ids", "extIds") if body.get(name)]
        if len(given) != 1:
            raise Refused(400, "invalid_parameter", "Exactly one of emails, ids and extIds should be passed")
        members = body[given[0]]
        if not isinstance(members, list):
            raise Refused(400, "invalid_parameter", f"{given[0]} should be a list")
        if len(members) > MOST_AT_ONCE:
            raise Refused(400, "out_of_range", f"Only {MOST_AT_ONCE} contacts can be passed")
        success: list[Any] = []
        failure: list[Any] = []
        for member in members:
            contact = self._member(given[0], member)
            (success if contact is not None and change(contact) else failure).append(member)
        if not success:
            switches: Switches = self._account.switches
            code = "invalid_parameter" if switches.failed_list_change == 400 else "document_not_found"
            raise Refused(switches.failed_list_change, code, "Contact already in list and/or does not exist")
        return Reply(201, {"contacts": {"success": success, "failure": failure}})

    def _member(self, kind: str, value: Any) -> StoredContact | None:
        match kind:
            case "ids":
                return self._account.get(value) if type(value) is int else None
            case "extIds":
                return self._account.find(EXT_ID, str(value))
        try:
            return self._account.find(EMAIL, self._identifiers.email(value))
        except Refused:
            return None
