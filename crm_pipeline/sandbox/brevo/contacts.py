"""The contacts' part of Brevo's API: https://developers.brevo.com/reference/create-contact and its neighbours."""

from __future__ import annotations

from typing import Any

from crm_pipeline.sandbox.account import Account
from crm_pipeline.sandbox.brevo import values
from crm_pipeline.sandbox.brevo.errors import Refused, duplicate
from crm_pipeline.sandbox.brevo.filters import chosen
from crm_pipeline.sandbox.brevo.identifiers import EMAIL, EXT_ID, Identifiers
from crm_pipeline.sandbox.brevo.switches import Switches
from crm_pipeline.sandbox.brevo.writing import Sent, Writing
from crm_pipeline.sandbox.calls import Call, Reply
from crm_pipeline.sandbox.stored import StoredContact

PAGE, LARGEST_PAGE = 50, 1000
OWNER = "owner@example.com"
"""The account's own address."""
MOST_IN_A_BATCH = 100


class Contacts:
    """Upserts, reads and deletes contacts of one account."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._identifiers = Identifiers(account)
        self._writing = Writing(account)

    @property
    def _switches(self) -> Switches:
        switches: Switches = self._account.switches
        return switches

    def upsert(self, call: Call) -> Reply:
        """POST /contacts: 201 with the new id, or an empty 204."""
        self._refuse_too_early(call)
        body = values.json_object(call)
        if not body:
            raise Refused(400, "missing_parameter", "No inputs in the body")
        update = values.flag(body, "updateEnabled") is True
        sent = self._writing.checked(body, body.get("email"), senders_allowed=update)
        if not {EMAIL, EXT_ID, "SMS"} & set(sent.identifiers):
            raise Refused(400, "missing_parameter", "Please provide Email or SMS attribute value to create user")
        known = self._writing.meant(sent)
        if known is not None and not update and not sent.merge:
            kinds = [kind for kind, value in sent.identifiers.items() if self._account.find(kind, value)]
            raise duplicate("create", kinds, self._switches)
        before = self._account.new_contact().id
        kept = self._writing.keep(known, sent)
        if kept.id == before or (sent.merge and values.flag(body, "getId")):
            return Reply(201, {"id": kept.id})
        return Reply(204)

    def update(self, call: Call) -> Reply:
        """PUT /contacts/{identifier}: an empty 204. An `EMAIL` attribute changes the address. Nobody is created."""
        self._refuse_too_early(call)
        contact = self._identifiers.named(call, reading=False)
        self._writing.keep(contact, self._changes(values.json_object(call)))
        return Reply(204)

    def batch(self, call: Call) -> Reply:
        """POST /contacts/batch, by switch: all contacts are changed (an empty 204), or none is."""
        if self._switches.batch != "alive":
            raise Refused(self._switches.batch, "document_not_found", "This endpoint is no longer available")
        items = values.json_object(call).get("contacts")
        if not isinstance(items, list) or not items or not all(isinstance(item, dict) for item in items):
            raise Refused(400, "missing_parameter", "contacts is missing")
        if len(items) > MOST_IN_A_BATCH:
            raise Refused(400, "out_of_range", f"More than {MOST_IN_A_BATCH} contacts")
        found = [self._of_item(item) for item in items]
        lost = [str(index) for index, contact in enumerate(found) if contact is None]
        if lost:
            raise Refused(404, "document_not_found", f"No contact found for indexes {','.join(lost)}")
        changes = [self._changes(item) for item in items]
        new_owners: dict[tuple[str, str], int] = {}
        for contact, sent in zip(found, changes, strict=True):
            assert contact is not None
            self._writing.refuse_duplicates(contact, sent)
            for kind, value in sent.identifiers.items():
                if new_owners.setdefault((kind, value), contact.id) != contact.id:
                    raise duplicate("update", [kind], self._switches)
        for contact, sent in zip(found, changes, strict=True):
            assert contact is not None
            self._writing.keep(self._account.get(contact.id), sent)
        return Reply(204)

    def read(self, call: Call) -> Reply:
        """GET /contacts/{identifier}. There is never any activity."""
        return Reply(200, self._shown(self._identifiers.named(call, reading=True)) | {"statistics": {}})

    def delete(self, call: Call) -> Reply:
        """DELETE /contacts/{identifier}: an empty 204, or 405 for the account's own address."""
        contact = self._identifiers.named(call, reading=False)
        if contact.email.lower() == OWNER:
            raise Refused(405, "method_not_allowed", "The contact of the account's own address cannot be deleted")
        self._account.remove(contact)
        return Reply(204)

    def page(self, call: Call) -> Reply:
        """GET /contacts: the newest first, filtered."""
        contacts = self._account.as_seen(self._switches.read_delay_seconds).contacts()
        return self._paged(call, chosen(call, contacts, self._account.fields), LARGEST_PAGE)

    def of_list(self, call: Call, number: int, largest: int) -> Reply:
        """GET /contacts/lists/{number}/contacts."""
        contacts = self._account.as_seen(self._switches.read_delay_seconds).contacts()
        since = values.time(call, "modifiedSince")
        members = [
            contact
            for contact in contacts
            if number in contact.lists and (since is None or contact.modified_at >= since)
        ]
        return self._paged(call, members, largest)

    def _paged(self, call: Call, contacts: list[StoredContact], largest: int) -> Reply:
        limit, offset = values.paging(call, PAGE, largest)
        ordered = sorted(contacts, key=lambda contact: contact.id, reverse=values.newest_first(call))
        shown = [self._shown(contact) for contact in ordered[offset : offset + limit]]
        return Reply(200, {"contacts": shown, "count": len(ordered)})

    def _changes(self, body: dict[str, Any]) -> Sent:
        attributes = body.get("attributes")
        email = attributes.get("EMAIL") if isinstance(attributes, dict) else None
        return self._writing.checked(body, email or None)

    def _of_item(self, item: dict[str, Any]) -> StoredContact | None:
        """The contact that one item of a batch names, by exactly one identifier."""
        named = [name for name in ("email", "id", "sms") if item.get(name) is not None]
        if len(named) != 1:
            raise Refused(400, "invalid_parameter", "Each contact needs exactly one of email, id and sms")
        value = item[named[0]]
        match named[0]:
            case "email":
                return self._account.find(EMAIL, self._identifiers.email(value))
            case "sms":
                return self._account.find("SMS", self._identifiers.phone(value))
            case _:
                return self._account.get(value) if type(value) is int else None

    def _refuse_too_early(self, call: Call) -> None:
        if call.overlaps and self._switches.too_early == "on":
            raise Refused(425, "account_in_process", "Another request for this contact is still in process")

    def _shown(self, contact: StoredContact) -> dict[str, Any]:
        attributes = dict(contact.attributes)
        if self._switches.ext_id_in_attributes and EXT_ID in contact.identifiers:
            attributes["EXT_ID"] = contact.identifiers[EXT_ID]
        unsubscribed = contact.extra.get("listUnsubscribed")
        return {
            **({"email": contact.email} if contact.email else {}),
            "id": contact.id,
            "emailBlacklisted": bool(contact.extra.get("emailBlacklisted")),
            "smsBlacklisted": bool(contact.extra.get("smsBlacklisted")),
            "whatsappBlacklisted": bool(contact.extra.get("whatsappBlacklisted")),
            "createdAt": values.shown_time(contact.created_at),
            "modifiedAt": values.shown_time(contact.modified_at),
            "listIds": list(contact.lists),
            **({"listUnsubscribed": unsubscribed} if unsubscribed else {}),
            "attributes": attributes,
        }


def pushed_address(call: Call) -> list[str]:
    """Whom an upsert pushes, as it was sent; an empty address when it names none."""
    return _addresses([call.json_or_none()])


def pushed_addresses(call: Call) -> list[str]:
    """Whom a batch or a change of a list's contacts pushes: of each contact its address, or an empty one."""
    body = call.json_or_none()
    body = body if isinstance(body, dict) else {}
    if isinstance(body.get("emails"), list):
        return [email if isinstance(email, str) else "" for email in body["emails"]] or [""]
    items: list[Any] = next((body[name] for name in ("contacts", "jsonBody") if isinstance(body.get(name), list)), [])
    return _addresses(items) or [""]


def named_address(call: Call) -> list[str]:
    """Whom a write names in its path; an empty address when it names a number."""
    identifier: str = call.path["identifier"]
    return [identifier if "@" in identifier else ""]


def _addresses(bodies: list[Any]) -> list[str]:
    sent = [body.get("email") if isinstance(body, dict) else None for body in bodies]
    return [address if isinstance(address, str) else "" for address in sent]
