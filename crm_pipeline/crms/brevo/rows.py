"""What Brevo's answers mean where they mean more than every CRM's: each kind of request has rows of its own."""

from __future__ import annotations

import re
from typing import Any

from crm_pipeline.crms.answers import Row
from crm_pipeline.crms.brevo.settings import LISTS_PAGE
from crm_pipeline.crms.transport import Reply
from crm_pipeline.model import NewsKind, OutcomeKind

_INVALID = re.compile(r"\binvalid\b|\bnot (?:a )?valid\b", re.IGNORECASE)
_IDENTIFIER = re.compile(
    # Not within a name: a wrong EMAIL_TYPE is everybody's trouble.
    r"(?<![\w-])(?:e-?mails?|phone|mobile|sms|whatsapp|landline(?:_number)?)(?![\w-])",
    re.IGNORECASE,
)
IP_PAGE = "https://app.brevo.com/security/authorised_ips"


def error_of(body: Any) -> tuple[str | None, str | None]:
    """Code and message of Brevo's error model. https://developers.brevo.com/docs/how-it-works"""
    if not isinstance(body, dict):
        return None, None
    code, message = body.get("code"), body.get("message")
    return (code if isinstance(code, str) else None), (message if isinstance(message, str) else None)


def duplicates(reply: Reply) -> set[str]:
    """Identifiers, in capitals, that are another contact's. (Codes and texts of this refusal vary, this does not.)"""
    metadata = reply.json.get("metadata") if isinstance(reply.json, dict) else None
    named = metadata.get("duplicate_identifiers") if isinstance(metadata, dict) else None
    if reply.status != 400 or not isinstance(named, list):
        return set()
    return {name.upper() for name in named if isinstance(name, str)}


def is_unknown_contact(reply: Reply) -> bool:
    """404 of a contact that there is not; a wrong address answers 404 too, in other words."""
    return reply.status == 404 and error_of(reply.json)[0] == "document_not_found"


def _names_invalid_data(reply: Reply) -> bool:
    message = error_of(reply.json)[1] or ""
    return _INVALID.search(message) is not None and _IDENTIFIER.search(message) is not None


def _creates(reply: Reply) -> bool:
    return isinstance(reply.json, dict) and type(reply.json.get("id")) is int


def _names_the_ip(reply: Reply) -> bool:
    return "unrecognised ip address" in (error_of(reply.json)[1] or "").lower()


def _lists_attributes(reply: Reply) -> bool:
    return isinstance(reply.json, dict) and isinstance(reply.json.get("attributes"), list)


def _is_a_list(reply: Reply) -> bool:
    return _creates(reply) and isinstance(reply.json.get("name"), str)


def _is_a_contact(reply: Reply) -> bool:
    return _creates(reply) and isinstance(reply.json.get("emailBlacklisted"), bool)


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
    Row("201 with an id", {201}, OutcomeKind.SYNCED, NewsKind.WELL, when=_creates),
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
