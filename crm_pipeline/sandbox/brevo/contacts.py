"""The contacts' part of Brevo's API: https://developers.brevo.com/reference/create-contact and its neighbours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from crm_pipeline.sandbox.account import Account, StoredContact
from crm_pipeline.sandbox.brevo import values
from crm_pipeline.sandbox.brevo.errors import Refused, duplicate, not_found
from crm_pipeline.sandbox.calls import Call, Reply

PHONE_ATTRIBUTE = "SMS"
PAGE, LARGEST_PAGE = 50, 1000
OWNER = "owner@example.com"
"""The account's own address."""


class Contacts:
    """Upserts, reads and deletes contacts of one account."""

    def __init__(self, account: Account) -> None:
        self._account = account

    def upsert(self, call: Call) -> Reply:
        """POST /contacts: 201 with the new id, or an empty 204."""
        body = values.json_object(call)
        if not body:
            raise Refused(400, "missing_parameter", "No inputs in the body")
        attributes = values.fitting(body.get("attributes"), self._account.fields)
        phone = attributes.get(PHONE_ATTRIBUTE)
        if body.get("email") is None and phone is None:
            raise Refused(400, "missing_parameter", "Please provide Email or SMS attribute value to create user")
        identifiers = {}
        if body.get("email") is not None:
            identifiers["email"] = values.address(body["email"])
        if phone is not None:
            identifiers[PHONE_ATTRIBUTE] = values.phone(phone)
        lists = self._lists(body.get("listIds"))
        known = self._account.find(*next(iter(identifiers.items())))  # the address decides who is meant
        if known is None:
            return Reply(201, {"id": self._store(self._account.new_contact(), identifiers, attributes, lists, body).id})
        if body.get("updateEnabled") is not True:
            kinds = [kind for kind, value in identifiers.items() if self._account.find(kind, value)]
            raise duplicate("create", kinds)
        self._store(known, identifiers, attributes, lists, body)
        return Reply(204)

    def update(self, call: Call) -> Reply:
        """PUT /contacts/{identifier}: an empty 204. An `EMAIL` attribute changes the address."""
        contact = self._named(call)
        body = values.json_object(call)
        sent = body.get("attributes")
        attributes = values.fitting(sent, self._account.fields)
        identifiers = {}
        if isinstance(sent, dict) and sent.get("EMAIL") is not None:
            identifiers["email"] = values.address(sent["EMAIL"])
        if attributes.get(PHONE_ATTRIBUTE) is not None:
            identifiers[PHONE_ATTRIBUTE] = values.phone(attributes[PHONE_ATTRIBUTE])
        lists = self._lists(body.get("listIds"))
        if identifiers.get("email", contact.email) != contact.email:
            body = {"emailBlacklisted": False} | body  # a changed address lifts the blocklisting
        left = set(self._lists(body.get("unlinkListIds")))
        contact = replace(contact, lists=tuple(number for number in contact.lists if number not in left))
        self._store(contact, identifiers, attributes, lists, body)
        return Reply(204)

    def read(self, call: Call) -> Reply:
        """GET /contacts/{identifier}."""
        return Reply(200, _shown(self._named(call)) | {"statistics": {}})

    def delete(self, call: Call) -> Reply:
        """DELETE /contacts/{identifier}: an empty 204, or 405 for the account's own address."""
        contact = self._named(call)
        if contact.email == OWNER:
            raise Refused(405, "method_not_allowed", "The contact of the account's own address cannot be deleted")
        self._account.remove(contact)
        return Reply(204)

    def page(self, call: Call) -> Reply:
        """GET /contacts: the newest first."""
        contacts = sorted(self._account.contacts(), key=lambda contact: contact.id, reverse=True)
        limit, offset = paging(call, PAGE, LARGEST_PAGE)
        shown = [_shown(contact) for contact in contacts[offset : offset + limit]]
        return Reply(200, {"contacts": shown, "count": len(contacts)})

    def _store(
        self,
        contact: StoredContact,
        identifiers: Mapping[str, str],
        attributes: Mapping[str, Any],
        lists: Sequence[int],
        body: Mapping[str, Any],
    ) -> StoredContact:
        """Keep what was sent beside what was there before; raises Refused when an identifier is another contact's."""
        taken = [
            kind
            for kind, value in identifiers.items()
            if (owner := self._account.find(kind, value)) and owner.id != contact.id
        ]
        if taken:
            raise duplicate("update" if contact.identifiers else "create", taken)
        kept = dict(attributes)
        if PHONE_ATTRIBUTE in identifiers:
            kept[PHONE_ATTRIBUTE] = identifiers[PHONE_ATTRIBUTE]
        flags = {
            name: body[name] for name in ("emailBlacklisted", "smsBlacklisted") if isinstance(body.get(name), bool)
        }
        return self._account.save(
            replace(
                contact,
                email=identifiers.get("email", contact.email),
                identifiers={**contact.identifiers, **identifiers},
                attributes={**contact.attributes, **kept},
                lists=tuple(dict.fromkeys([*contact.lists, *lists])),
                extra={**contact.extra, **flags},
            )
        )

    def _lists(self, numbers: Any) -> list[int]:
        if numbers is None:
            return []
        if not isinstance(numbers, list) or not all(type(number) is int for number in numbers):
            raise Refused(400, "invalid_parameter", "List ids should be integers")
        if any(number not in self._account.lists for number in numbers):
            raise Refused(400, "invalid_parameter", "Some of the list ids do not exist")
        return numbers

    def _named(self, call: Call) -> StoredContact:
        identifier = call.path["identifier"]
        kind = call.query.get("identifierType")
        if kind not in (None, "email_id", "contact_id", "phone_id"):
            raise Refused(400, "invalid_parameter", "identifierType is invalid")
        found = None
        if kind == "contact_id" or (kind is None and identifier.isdecimal()):
            found = self._account.get(values.path_number(identifier))
        elif kind == "phone_id":
            found = self._account.find(PHONE_ATTRIBUTE, values.phone(identifier))
        else:
            found = self._account.contact(identifier)
        if found is None:
            raise not_found()
        return found


def paging(call: Call, limit: int, largest: int) -> tuple[int, int]:
    """`limit` and `offset` of a call that lists something; raises Refused."""
    try:
        wanted, offset = int(call.query.get("limit", limit)), int(call.query.get("offset", 0))
    except ValueError:
        raise Refused(400, "invalid_parameter", "limit and offset should be integers") from None
    if not 0 <= wanted <= largest or offset < 0:
        raise Refused(400, "out_of_range", f"Limit exceeds max value {largest}")
    return wanted, offset


def pushed_address(call: Call) -> list[str]:
    """Whom an upsert pushes, as it was sent; an empty address when it names none."""
    try:
        body = call.json
    except ValueError:
        body = None
    address = body.get("email") if isinstance(body, dict) else None
    return [address if isinstance(address, str) else ""]


def _shown(contact: StoredContact) -> dict[str, Any]:
    return {
        **({"email": contact.email} if contact.email else {}),
        "id": contact.id,
        "emailBlacklisted": bool(contact.extra.get("emailBlacklisted")),
        "smsBlacklisted": bool(contact.extra.get("smsBlacklisted")),
        "createdAt": _time(contact.created_at),
        "modifiedAt": _time(contact.modified_at),
        "listIds": list(contact.lists),
        "attributes": dict(contact.attributes),
    }


def _time(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
