"""One contact's push: a request, and those that an answer makes necessary.

    begin -- its address is as before --> POST /contacts --> synced, or refused
      |                                     ^    |
      |                                     |    |-- phone numbers taken or invalid: once more without them,
      |                                     |    |   and again for others that the next answer names
      |                                     |    `-- a race on the address: once more at once
      `-- its address has changed --> GET the old one
                                        |-- opted out: skipped
                                        |-- gone, or another contact's too, or not surely ours --> POST
                                        `-- PUT its new address --> synced
                                              `-- gone, or taken --> POST; the old address is left behind

https://developers.brevo.com/reference/create-contact, .../get-contact-info, .../update-contact
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from crm_pipeline.crms.answers import AnswerTable, Row
from crm_pipeline.crms.brevo import rows
from crm_pipeline.crms.brevo.attributes import text
from crm_pipeline.crms.transport import Reply, Transport, TransportFailure
from crm_pipeline.model import WELL, Answer, Contact, News, Outcome, OutcomeKind

TOO_EARLY = 425


class Upsert:
    """Create or update one contact, or change its address. `external_id` is the address as sent.

    An opt-out is never touched: `emailBlacklisted` is not sent, and an opted-out contact's address is not changed,
    since that would lift its opt-out.
    """

    def __init__(
        self,
        transport: Transport,
        answers: AnswerTable,
        contact: Contact,
        values: dict[str, Any],
        list_id: int | None,
        notes: list[str],
    ) -> None:
        self._transport = transport
        self._answers = answers
        self._contact = contact
        self._address = text(contact.email).lower()
        self._values = values
        self._lists = {} if list_id is None else {"listIds": [list_id]}
        self._notes = notes
        self._former = self._another_address(contact.external_id)
        tried = self._another_address(contact.tried_address)
        self._tried = tried if tried != self._former else None
        self._left_behind: str | None = None
        self._may_be_at: str | None = None
        self._may_be_renamed = False
        self._repeated = False

    @property
    def body(self) -> dict[str, Any]:
        """Of POST /contacts. What is not sent keeps its value at Brevo."""
        return {"email": self._address, "updateEnabled": True, "attributes": self._values, **self._lists}

    def begin(self) -> Answer:
        """The first request."""
        former = self._former or self._tried
        return self._look(former) if former else self._send()

    def _another_address(self, known_as: str | None) -> str | None:
        address = text(known_as).lower()  # an id of another tool's making is no address
        return address if "@" in address and address != self._address else None

    def _send(self) -> Answer:
        """POST /contacts."""
        reply = self._transport.request("POST", "/contacts", self.body)
        # Lost on its way, it may have created the contact all the same: then that is where to look for it.
        self._may_be_at = self._address if _may_have_landed(reply) else None
        return self._answer(reply, rows.UPSERT, again=self._send)

    def _look(self, former: str) -> Answer:
        """GET the contact under its former address."""
        reply = self._transport.request("GET", _path(former))
        # What it does not take for an address (400) it cannot know. (The next one says if that is the account's fault.)
        if isinstance(reply, Reply) and (rows.is_unknown_contact(reply) or reply.status == 400):
            self._tried = self._tried if former == self._former else None
            return self._go_on(reply, self._send)
        outcome, news = self._answers.judge(reply, rows.LOOK)
        if not isinstance(reply, Reply) or outcome.kind is not OutcomeKind.SYNCED:
            return self._ended(reply, outcome, news)
        if reply.json["emailBlacklisted"]:
            self._tried = None
            outcome = replace(outcome, kind=OutcomeKind.SKIPPED, error="Opted out at Brevo, under its former address")
            return self._ended(reply, outcome, news)
        if self._contact.former_address_in_use:
            self._notes.append("its former address is another contact's, and stays as it is")
            return self._go_on(reply, self._send, news)
        if former != self._former:
            self._notes.append("the address that an earlier push was tried with may be another's, and is left behind")
            return self._go_on(reply, self._send, news)
        return self._go_on(reply, lambda: self._rename(former), news)

    def _rename(self, former: str) -> Answer:
        """PUT the new address, with everything else."""
        body: dict[str, Any] = {"attributes": {**self._values, "EMAIL": self._address}, **self._lists}
        reply = self._transport.request("PUT", _path(former), body)
        self._may_be_renamed = _may_have_landed(reply)
        if isinstance(reply, Reply):
            if rows.is_unknown_contact(reply):
                return self._go_on(reply, self._send)
            if "EMAIL" in rows.duplicates(reply):
                self._left_behind = former
                self._notes.append("the new address was another contact's already: the former one is left behind")
                return self._go_on(reply, self._send)
        return self._answer(reply, rows.RENAME, again=lambda: self._rename(former))

    def _answer(self, reply: Reply | TransportFailure, finer: Iterable[Row], again: Callable[[], Answer]) -> Answer:
        """The end of the push; or once more: without a phone number that Brevo does not take, or after a race."""
        if isinstance(reply, Reply):
            taken = rows.duplicates(reply)
            phones = taken.intersection(rows.PHONES, self._values)
            if phones:
                return self._go_on_without(phones, "another contact has it", reply, again)
            invalid = rows.invalid_phones(reply).intersection(self._values)
            if invalid:
                return self._go_on_without(invalid, "Brevo calls it invalid", reply, again)
            if not self._repeated and ("EMAIL" in taken or reply.status == TOO_EARLY):
                self._repeated = True
                self._notes.append(f"sent again at once after HTTP {reply.status}")
                return self._go_on(reply, again)
        outcome, news = self._answers.judge(reply, finer)
        return self._ended(reply, outcome, news)

    def _go_on_without(self, phones: set[str], why: str, reply: Reply, again: Callable[[], Answer]) -> Answer:
        self._values = {name: value for name, value in self._values.items() if name not in phones}
        self._notes.append(f"sent without {', '.join(sorted(phones))}: {why}")
        return self._go_on(reply, again)

    def _go_on(self, reply: Reply, then: Callable[[], Answer], news: News = WELL) -> Answer:
        return Answer({}, news, reply.sandbox, then)

    def _ended(self, reply: Reply | TransportFailure, outcome: Outcome, news: News) -> Answer:
        synced = outcome.kind is OutcomeKind.SYNCED
        left_behind = self._left_behind if synced or self._may_be_at else None
        if self._may_be_renamed and not synced:
            left_behind = self._address  # should it get another address before it is tried again
        outcome = replace(
            outcome,
            external_id=self._address if synced else self._may_be_at,
            left_behind=left_behind or self._tried,
            note="; ".join(self._notes) or None,
        )
        return Answer({self._contact.id: outcome}, news, isinstance(reply, Reply) and reply.sandbox)


def _may_have_landed(reply: Reply | TransportFailure) -> bool:
    """It was taken, or nobody knows: lost on its way, it may have been taken all the same."""
    return not 300 <= reply.status < 500 if isinstance(reply, Reply) else reply.sent


def _path(address: str) -> str:
    return f"/contacts/{quote(address, safe='')}?identifierType=email_id"
