"""By what a contact is found: its address, its numbers, the id of one's own. Each is unique in an account.

https://developers.brevo.com/reference/get-contact-info
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crm_pipeline.sandbox.account import Account
from crm_pipeline.sandbox.brevo import values
from crm_pipeline.sandbox.brevo.errors import Refused, not_found
from crm_pipeline.sandbox.brevo.switches import Switches
from crm_pipeline.sandbox.calls import Call
from crm_pipeline.sandbox.stored import Readable, StoredContact

EMAIL, EXT_ID = "email", "ext_id"
PHONES = ("SMS", "WHATSAPP", "LANDLINE_NUMBER")
"""Attributes that are identifiers."""
BY_TYPE = {
    "email_id": EMAIL,
    "ext_id": EXT_ID,
    "phone_id": "SMS",
    "whatsapp_id": "WHATSAPP",
    "landline_number_id": "LANDLINE_NUMBER",
    "contact_id": None,
}
"""Values of `identifierType`."""


class Identifiers:
    """Of one account."""

    def __init__(self, account: Account) -> None:
        self._account = account

    @property
    def _switches(self) -> Switches:
        switches: Switches = self._account.switches
        return switches

    def email(self, value: Any) -> str:
        """An address as it is compared; raises Refused for what is none."""
        address = values.address(value)
        return address if self._switches.email_match == "exact" else address.lower()

    def phone(self, value: Any) -> str:
        """Digits of a number with its country code; raises Refused for what is none."""
        digits = values.phone(value)
        if digits is None:
            raise Refused(400, "invalid_parameter", self._switches.phone_error)
        return digits

    def sent(self, email: Any, ext_id: Any, attributes: Mapping[str, Any]) -> dict[str, str]:
        """Those in a body, by kind; the first decides which contact is meant. Raises Refused."""
        found = {}
        if email is not None:
            found[EMAIL] = self.email(email)
        if ext_id is not None:
            if not isinstance(ext_id, str | int) or isinstance(ext_id, bool) or str(ext_id) == "":
                raise Refused(400, "invalid_parameter", "ext_id is invalid")
            found[EXT_ID] = str(ext_id)
        for kind in PHONES:
            if attributes.get(kind) is not None:
                found[kind] = self.phone(attributes[kind])
        return found

    def named(self, call: Call, *, reading: bool) -> StoredContact:
        """The contact in a call's path; raises Refused. Who reads may name it by its SMS number without saying so."""
        identifier: str = call.path["identifier"]
        kind = call.query.get("identifierType")
        if kind is not None and kind not in BY_TYPE:
            raise Refused(400, "invalid_parameter", "identifierType is invalid")
        contacts = self._account.as_seen(self._switches.read_delay_seconds if reading else 0.0)
        if kind is not None:
            found = self._by(BY_TYPE[kind], identifier, contacts)
        elif "@" in identifier:
            found = self._by(EMAIL, identifier, contacts)
        else:
            found = self._by(None, identifier, contacts)
            if found is None and reading:
                found = self._by("SMS", identifier, contacts)
        if found is None:
            raise not_found()
        return found

    def _by(self, kind: str | None, value: str, contacts: Readable) -> StoredContact | None:
        if kind is None:
            return contacts.get(values.path_number(value))
        if kind == EMAIL:
            value = value.strip() if self._switches.email_match == "exact" else value.strip().lower()
        elif kind in PHONES:
            value = values.phone(value) or ""
        return contacts.find(kind, value)
