"""What Brevo's answers mean where they mean more than every CRM's: each kind of request has rows of its own."""

from __future__ import annotations

import re
from typing import Any

from crm_pipeline.crms.answers import Row
from crm_pipeline.crms.brevo.settings import LISTS_PAGE
from crm_pipeline.crms.transport import Reply
from crm_pipeline.model import NewsKind, OutcomeKind

PHONES = ("SMS", "WHATSAPP", "LANDLINE_NUMBER")
"""Attributes that are identifiers: unique in an account."""
_INVALID = re.compile(r"\binvalid\b|\bnot (?:a )?valid\b", re.IGNORECASE)
# Not within a name: a wrong EMAIL_TYPE is everybody's trouble.
_ADDRESS = re.compile(r"(?<![\w-])e-?mails?(?![\w-])", re.IGNORECASE)
_PHONE = re.compile(r"(?<![\w-])(?:phone|mobile|sms|whatsapp|landline(?:_number)?)(?![\w-])", re.IGNORECASE)
_TAKEN = re.compile(r"\b(?:is|are) already associated?\b", re.IGNORECASE)
_IDENTIFIERS = {name: name for name in (*PHONES, "EXT_ID", "EMAIL")} | {"E-MAIL": "EMAIL"}
IP_PAGE = "https://app.brevo.com/security/authorised_ips"


def error_of(body: Any) -> tuple[str | None, str | None]:
    """Code and message of Brevo's error model. https://developers.brevo.com/docs/how-it-works"""
    if not isinstance(body, dict):
        return None, None
    code, message = body.get("code"), body.get("message")
    return (code if isinstance(code, str) else None), (message if isinstance(message, str) else None)


def duplicates(reply: Reply) -> set[str]:
    """Identifiers, in capitals, that are another contact's: as `metadata` names them, or without it the text.

    Metadata is optional (https://developers.brevo.com/changelog). The texts known are `Unable to update contact, SMS is
    already associated with another Contact` and `SMS or WHATSAPP / EXT_ID are already associate with ...`.
    """
    if reply.status not in (400, 425) or not isinstance(reply.json, dict):
        return set()
    metadata = reply.json.get("metadata")
    named = metadata.get("duplicate_identifiers") if isinstance(metadata, dict) else None
    if isinstance(named, list):
        return {name.upper() for name in named if isinstance(name, str)}
    message = error_of(reply.json)[1] or ""
    taken = _TAKEN.search(message)
    words = re.split(r"[\s,/]+", message[: taken.start()].upper()) if taken else []
    return {_IDENTIFIERS[word] for word in words if word in _IDENTIFIERS}


def invalid_phones(reply: Reply) -> set[str]:
    """Those of PHONES that a 400 may call invalid; none when it may be the address that it means."""
    message = error_of(reply.json)[1] or ""
    if reply.status != 400 or not _INVALID.search(message) or _ADDRESS.search(message):
        return set()
    said = {word.upper() for word in _PHONE.findall(message)}
    named = {name for name in PHONES if said & {name, name.partition("_")[0]}}
    return named or (set(PHONES) if said else set())


def is_unknown_contact(reply: Reply) -> bool:
    """404 of a contact that there is not; a wrong address answers 404 too, in other words."""
    return reply.status == 404 and error_of(reply.json)[0] == "document_not_found"


def _names_invalid_data(reply: Reply) -> bool:
    message = error_of(reply.json)[1] or ""
    return bool(_INVALID.search(message) and (_ADDRESS.search(message) or _PHONE.search(message)))


def _creates(reply: Reply) -> bool:
    """An id, or null: https://developers.brevo.com/reference/create-contact types it as either."""
    return isinstance(reply.json, dict) and type(reply.json.get("id", "")) in (int, type(None))


def _has_an_id(reply: Reply) -> bool:
    return isinstance(reply.json, dict) and type(reply.json.get("id")) is int


def _names_the_ip(reply: Reply) -> bool:
    return "unrecognised ip address" in (error_of(reply.json)[1] or "").lower()


def _lists_attributes(reply: Reply) -> bool:
    return isinstance(reply.json, dict) and isinstance(reply.json.get("attributes"), list)


def _is_a_list(reply: Reply) -> bool:
    return _has_an_id(reply) and isinstance(reply.json.get("name"), str)


def _is_a_contact(reply: Reply) -> bool:
    return _has_an_id(reply) and isinstance(reply.json.get("emailBlacklisted"), bool)


def _is_empty(reply: Reply) -> bool:
    return not reply.body


ROWS = (
    # https://developers.brevo.com/docs/ip-security
    Row(
        "401 that names the IP address",
        {401},
        OutcomeKind.BLOCKED,
        NewsKind.CLOSED,
        f"{{title}} does not know this machine's IP address: {{said}}. Add it at {IP_PAGE}.",
        when=_names_the_ip,
    ),
)
_OWN = Row(
    "400 that calls the address or a phone number invalid",
    {400},
    OutcomeKind.FAILED,
    NewsKind.WELL,
    refused=True,
    own=True,
    when=_names_invalid_data,
)
UPSERT = (
    Row("201 with an id, or with null for one", {201}, OutcomeKind.SYNCED, NewsKind.WELL, when=_creates),
    Row("204 without a body", {204}, OutcomeKind.SYNCED, NewsKind.WELL, when=_is_empty),
    _OWN,
)
LOOK = (Row("200 with a contact", {200}, OutcomeKind.SYNCED, NewsKind.WELL, when=_is_a_contact),)
RENAME = (Row("204 without a body", {204}, OutcomeKind.SYNCED, NewsKind.WELL, when=_is_empty), _OWN)
_NOT_THE_ADDRESS = {401, 402, 403, 408, 429}
"""Of the 4xx: they mean the same wherever they come."""
_WRONG_ADDRESS = Row(
    "any other 4xx to a question about the account",
    set(range(400, 500)) - _NOT_THE_ADDRESS,
    OutcomeKind.BLOCKED,
    NewsKind.CLOSED,
    "{title}'s API at {host} does not know this question: {said}. Check {base_url_variable}.",
)
ATTRIBUTES = (
    Row("200 with attributes", {200}, OutcomeKind.SYNCED, NewsKind.WELL, when=_lists_attributes),
    _WRONG_ADDRESS,
)
LIST = (
    Row("200 with a list", {200}, OutcomeKind.SYNCED, NewsKind.WELL, when=_is_a_list),
    Row(
        "400, 404 to the question about the list",
        {400, 404},
        OutcomeKind.BLOCKED,
        NewsKind.CLOSED,
        f"{{title}} has no list with the number in BREVO_LIST_ID: {{said}}. The lists are at {LISTS_PAGE}.",
        when=lambda reply: reply.json is not None,
    ),
    _WRONG_ADDRESS,
)
NEW_ATTRIBUTE = (Row("201", {201}, OutcomeKind.SYNCED, NewsKind.WELL),)
