"""How a contact is written, whichever call does it: checked as a whole first, then kept as a whole."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from crm_pipeline.sandbox.account import Account
from crm_pipeline.sandbox.brevo import values
from crm_pipeline.sandbox.brevo.attributes import fitting
from crm_pipeline.sandbox.brevo.errors import Refused, duplicate
from crm_pipeline.sandbox.brevo.identifiers import EMAIL, PHONES, Identifiers
from crm_pipeline.sandbox.brevo.switches import Switches
from crm_pipeline.sandbox.stored import StoredContact

FLAGS = ("emailBlacklisted", "smsBlacklisted")


@dataclass(frozen=True, slots=True)
class Sent:
    """What a body says about a contact, checked. What it does not say keeps its value."""

    identifiers: Mapping[str, str]
    """By kind; the first decides who is meant."""
    attributes: Mapping[str, Any]
    """None: to be cleared."""
    lists: tuple[int, ...] = ()
    """To be added to."""
    left: tuple[int, ...] = ()
    """To be removed from."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Blocklists: https://developers.brevo.com/reference/create-contact"""
    merge: bool = False
    """Unite contacts that share an identifier instead of refusing."""

    def without(self, kinds: Sequence[str], joining: tuple[int, ...]) -> Sent:
        """The same without these identifiers, and with these lists to be added to."""
        return replace(
            self,
            identifiers=_without(self.identifiers, kinds),
            attributes=_without(self.attributes, kinds),
            lists=(*self.lists, *joining),
        )


class Writing:
    """Checks bodies and keeps contacts of one account."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._identifiers = Identifiers(account)

    @property
    def _switches(self) -> Switches:
        switches: Switches = self._account.switches
        return switches

    def checked(
        self,
        body: Mapping[str, Any],
        email: Any,
        *,
        senders_allowed: bool = True,
        clears: bool | None = None,
        refuse_unknown: bool | None = None,
    ) -> Sent:
        """What a body sends; `email`: the address in it. `clears` and `refuse_unknown`: None for as switched.

        Raises Refused.
        """
        clears = self._switches.empty_clears if clears is None else clears
        if refuse_unknown is None:
            refuse_unknown = self._switches.unknown_attribute == "refuse"
        attributes = fitting(body.get("attributes"), self._account.fields, refuse_unknown)
        identifiers = self._identifiers.sent(email, body.get("ext_id"), attributes)
        if not clears:
            attributes = {name: value for name, value in attributes.items() if value is not None}
        attributes |= {kind: identifiers[kind] for kind in PHONES if kind in identifiers}
        flags = {name: values.flag(dict(body), name) for name in FLAGS}
        extra: dict[str, Any] = {name: value for name, value in flags.items() if value is not None}
        senders = body.get("smtpBlacklistSender")
        if senders is not None:
            if not isinstance(senders, list):
                raise Refused(400, "invalid_parameter", "smtpBlacklistSender should be a list of emails")
            if not senders_allowed:
                raise Refused(400, "invalid_parameter", "smtpBlacklistSender needs updateEnabled")
            extra["smtpBlacklistSender"] = [values.address(sender) for sender in senders]
        return Sent(
            identifiers,
            attributes,
            self.lists(body.get("listIds")),
            self.lists(body.get("unlinkListIds")),
            extra,
            values.flag(dict(body), "forceMerge") is True,
        )

    def lists(self, sent: Any) -> tuple[int, ...]:
        """Numbers of lists, all of which exist; raises Refused."""
        found = values.numbers(sent, "List ids")
        if any(number not in self._account.lists for number in found):
            raise Refused(400, "invalid_parameter", "Some of the list ids do not exist")
        return tuple(found)

    def meant(self, sent: Sent) -> StoredContact | None:
        """The contact that has the first of the identifiers."""
        return next((self._account.find(kind, value) for kind, value in sent.identifiers.items()), None)

    def keep(self, contact: StoredContact | None, sent: Sent) -> StoredContact:
        """Change a contact, or make a new one; raises Refused when an identifier is another contact's."""
        contact = self._united(contact, sent)
        contact = contact or self._account.new_contact()
        extra = {**contact.extra, **sent.extra}
        email = sent.identifiers.get(EMAIL, contact.email)
        if contact.email and email != contact.email and "emailBlacklisted" not in sent.extra:
            extra["emailBlacklisted"] = False  # documented: they are subscribed again
        cleared = {name for name, value in sent.attributes.items() if value is None}
        attributes = {**contact.attributes, **sent.attributes}
        lists = dict.fromkeys([*(number for number in contact.lists if number not in sent.left), *sent.lists])
        return self._account.save(
            replace(
                contact,
                email=email,
                identifiers=_without({**contact.identifiers, **sent.identifiers}, cleared),
                attributes=_without(attributes, cleared),
                lists=tuple(lists),
                extra=extra,
            )
        )

    def refuse_duplicates(self, contact: StoredContact | None, sent: Sent) -> None:
        """Raise Refused when an identifier is another contact's."""
        taken = list(self.taken(contact, sent))
        if taken:
            raise duplicate("update" if contact else "create", taken, self._switches)

    def taken(self, contact: StoredContact | None, sent: Sent) -> dict[str, StoredContact]:
        """Other contacts that have one of the identifiers, by kind."""
        owners = {kind: self._account.find(kind, value) for kind, value in sent.identifiers.items()}
        own = contact.id if contact else 0
        return {kind: owner for kind, owner in owners.items() if owner is not None and owner.id != own}

    def _united(self, contact: StoredContact | None, sent: Sent) -> StoredContact | None:
        """The contact to be changed: with `merge` the last modified of all concerned; the others are deleted."""
        if not sent.merge:
            self.refuse_duplicates(contact, sent)
            return contact
        concerned = {owner.id: owner for owner in self.taken(contact, sent).values()}
        if contact is not None:
            concerned[contact.id] = contact
        if not concerned:
            return None
        survivor = max(concerned.values(), key=lambda one: (one.modified_at, one.id))
        for one in concerned.values():
            if one.id != survivor.id:
                self._account.remove(one)
        return survivor


def _without(mapping: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    gone = set(names)
    return {name: value for name, value in mapping.items() if name not in gone}
