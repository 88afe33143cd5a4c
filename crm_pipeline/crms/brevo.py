"""Brevo: one upsert per contact, POST /contacts with `updateEnabled`.

https://developers.brevo.com/reference/create-contact
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from hashlib import sha256
from typing import Any
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from crm_pipeline.crms.answers import AnswerTable, Row
from crm_pipeline.crms.credentials import checked_base_url, checked_key
from crm_pipeline.crms.protocol import CrmSpec, Limits
from crm_pipeline.crms.transport import Reply, Transport, TransportFailure, encode
from crm_pipeline.model import Answer, CheckResult, Contact, NewsKind, OutcomeKind
from crm_pipeline.redaction import redact, storable

KEYS_PAGE = "https://app.brevo.com/settings/keys/api"
LISTS_PAGE = "https://app.brevo.com/contact/list-listing"
ATTRIBUTES_PAGE = "https://my.brevo.com/lists/add-attributes"
IP_PAGE = "https://app.brevo.com/security/authorised_ips"
LARGEST_REQUEST = 1024 * 1024
_MOST_BYTES_PER_CHARACTER = 6  # a control character as \u0001

ATTRIBUTES = {
    "FIRSTNAME": ("text",),
    "LASTNAME": ("text",),
    "SMS": (),
    "EMAIL_TYPE": ("text", "category"),
    "SOURCE_URL": ("text",),
    "DOMAIN_ID": ("text",),
    "PAGE_ID": ("text",),
    "HAS_GMAIL": ("boolean",),
}
"""Attributes that are sent, and the types in which Brevo keeps their values (none: any).

Values of another type are ignored, behind a success: https://developers.brevo.com/reference/create-contact
"""


class BrevoSettings(BaseSettings):
    """Credentials and options of Brevo: `BREVO_...`."""

    model_config = SettingsConfigDict(env_ignore_empty=True, extra="ignore", hide_input_in_errors=True)

    api_key: SecretStr | None = Field(None, description=f"The key, from {KEYS_PAGE}. Unset: Brevo is disabled.")
    list_id: int | None = Field(
        None, gt=0, description=f"The list that synced contacts are added to, from {LISTS_PAGE}; it must exist."
    )
    api_allow_http: bool = Field(False, description="true: an unencrypted base URL beyond this machine is used.")
    api_base_url: str = Field("https://api.brevo.com/v3", description="Where Brevo's API is, `/v3` included.")

    @field_validator("api_key")
    @classmethod
    def _key(cls, key: SecretStr | None) -> SecretStr | None:
        return None if key is None else checked_key(key, KEYS_PAGE)

    @field_validator("api_base_url")
    @classmethod
    def _base_url(cls, url: str, info: ValidationInfo) -> str:
        return checked_base_url(url, bool(info.data.get("api_allow_http")), "BREVO_API_ALLOW_HTTP")


def _creates(reply: Reply) -> bool:
    return isinstance(reply.json, dict) and type(reply.json.get("id")) is int


def _names_the_ip(reply: Reply) -> bool:
    return "unrecognised ip address" in (_error_of(reply.json)[1] or "").lower()


def _lists_attributes(reply: Reply) -> bool:
    return isinstance(reply.json, dict) and isinstance(reply.json.get("attributes"), list)


def _is_a_list(reply: Reply) -> bool:
    return _creates(reply) and isinstance(reply.json.get("name"), str)


def _error_of(body: Any) -> tuple[str | None, str | None]:
    """Code and message of Brevo's error model."""
    if not isinstance(body, dict):
        return None, None
    code, message = body.get("code"), body.get("message")
    return (code if isinstance(code, str) else None), (message if isinstance(message, str) else None)


ROWS = (
    # https://developers.brevo.com/docs/ip-security
    Row(
        {401},
        OutcomeKind.BLOCKED,
        NewsKind.CLOSED,
        f"{{title}} does not know this machine's IP address: {{said}}. Add it at {IP_PAGE}.",
        when=_names_the_ip,
    ),
)
UPSERT_ROWS = (
    Row({201}, OutcomeKind.SYNCED, NewsKind.WELL, when=_creates),
    Row({204}, OutcomeKind.SYNCED, NewsKind.WELL, when=lambda reply: not reply.body),
)
_NOT_THE_ACCOUNTS = {401, 402, 403, 408, 429}  # of the 4xx; the shared rows know them
_WRONG_ADDRESS = Row(
    set(range(400, 500)) - _NOT_THE_ACCOUNTS,
    OutcomeKind.BLOCKED,
    NewsKind.CLOSED,
    "{title}'s API at {host} does not know this question: {said}. Check {base_url_variable}.",
)
ATTRIBUTES_ROWS = (Row({200}, OutcomeKind.SYNCED, NewsKind.WELL, when=_lists_attributes), _WRONG_ADDRESS)
LIST_ROWS = (
    Row({200}, OutcomeKind.SYNCED, NewsKind.WELL, when=_is_a_list),
    Row(
        {400, 404},
        OutcomeKind.BLOCKED,
        NewsKind.CLOSED,
        f"{{title}} has no list with the number in BREVO_LIST_ID: {{said}}. The lists are at {LISTS_PAGE}.",
        when=lambda reply: reply.json is not None,
    ),
    _WRONG_ADDRESS,
)


class Brevo:
    """One Brevo account. `settings.api_key` must be set."""

    def __init__(self, settings: BrevoSettings, threads: int) -> None:
        if settings.api_key is None:
            raise ValueError("BREVO_API_KEY is not set")
        key = settings.api_key.get_secret_value()
        self._transport = Transport(
            settings.api_base_url,
            {"api-key": key, "Accept": "application/json", "User-Agent": "crm-pipeline"},
            threads,
            secrets=(key,),
            allow_http=settings.api_allow_http,
        )
        self._list_id = settings.list_id
        self.limits = Limits(total_seconds=self._transport.total_seconds)
        self.target = urlsplit(settings.api_base_url).netloc
        self.identity = sha256(f"{key}\n{settings.api_base_url}".encode()).hexdigest()
        self._answers = AnswerTable(
            SPEC,
            self.target,
            secrets=(key,),
            rows=ROWS,
            error_of=_error_of,
            pause_headers=("x-sib-ratelimit-reset",),  # https://developers.brevo.com/docs/limit-headers
            request_id_header="sib-request-id",
        )

    def reason_not_pushable(self, contact: Contact) -> str | None:
        """No address, one that cannot be sent, or more data than a request holds. All else is for Brevo to judge."""
        if not contact.email.strip():
            return "No e-mail address"
        if storable(contact.email) != contact.email:
            return "The e-mail address has a character that cannot be sent"
        texts = (contact.email, contact.name, contact.phone_number, contact.email_type, contact.source_url)
        if sum(len(text) for text in texts if text) * _MOST_BYTES_PER_CHARACTER < LARGEST_REQUEST // 2:
            return None
        body = self._body(contact)
        if len(encode(body).encode()) < LARGEST_REQUEST:
            return None
        fields = {"email": body["email"], **body["attributes"]}
        name, longest = max(fields.items(), key=lambda field: len(str(field[1])))
        return f"Field too long: {name} has {len(longest)} characters"

    def push(self, contacts: Sequence[Contact]) -> Answer:
        """Create or update one contact. `external_id` is its address as sent: the answer to an update is empty."""
        (contact,) = contacts
        body = self._body(contact)
        reply = self._transport.request("POST", "/contacts", body)
        outcome, news = self._answers.judge(reply, UPSERT_ROWS)
        if outcome.kind is OutcomeKind.SYNCED:
            outcome = replace(outcome, external_id=body["email"])
        return Answer({contact.id: outcome}, news, sandbox=_is_sandbox(reply))

    def check(self) -> CheckResult:
        """Ask for the attributes (the key's first use) and for the configured list.

        https://developers.brevo.com/reference/get-attributes, https://developers.brevo.com/reference/get-list
        """
        reply = self._transport.request("GET", "/contacts/attributes")
        outcome, news = self._answers.judge(reply, ATTRIBUTES_ROWS)
        if not isinstance(reply, Reply) or outcome.kind is not OutcomeKind.SYNCED:
            return CheckResult(news, sandbox=_is_sandbox(reply))
        warnings = tuple(_missing_attributes(reply.json["attributes"]))
        if self._list_id is None:
            return CheckResult(news, reply.sandbox, warnings)
        reply = self._transport.request("GET", f"/contacts/lists/{self._list_id}")
        outcome, news = self._answers.judge(reply, LIST_ROWS)
        if not isinstance(reply, Reply) or outcome.kind is not OutcomeKind.SYNCED:
            return CheckResult(news, _is_sandbox(reply), warnings)
        return CheckResult(news, reply.sandbox, warnings, {"list": redact(reply.json["name"])})

    def close(self) -> None:
        """Close pooled connections."""
        self._transport.close()

    def _body(self, contact: Contact) -> dict[str, Any]:
        """The upsert. Nothing is sent for what we do not have, and never `emailBlacklisted`: it may undo an opt-out."""
        first_name, _, last_name = _text(contact.name).partition(" ")
        attributes: dict[str, str | bool] = {
            "FIRSTNAME": first_name,
            "LASTNAME": last_name.strip(),
            "SMS": _text(contact.phone_number),
            "EMAIL_TYPE": _text(contact.email_type),
            "SOURCE_URL": _text(contact.source_url),
            "DOMAIN_ID": _text(contact.domain_id),
            "PAGE_ID": _text(contact.page_id),
        }
        attributes = {name: text for name, text in attributes.items() if text}
        if contact.has_gmail is not None:
            attributes["HAS_GMAIL"] = contact.has_gmail
        body: dict[str, Any] = {"email": _text(contact.email).lower(), "updateEnabled": True, "attributes": attributes}
        if self._list_id is not None:
            body["listIds"] = [self._list_id]
        return body


def _text(value: object) -> str:
    return "" if value is None else storable(str(value)).strip()


def _is_sandbox(answer: Reply | TransportFailure) -> bool:
    return isinstance(answer, Reply) and answer.sandbox


def _missing_attributes(found: list[Any]) -> Iterator[str]:
    """A sentence for each attribute that is sent in vain. Category attributes have no type."""
    types = {
        str(attribute.get("name")).upper(): attribute.get("type") or attribute["category"]
        for attribute in found
        if isinstance(attribute, dict) and attribute.get("category") in ("normal", "category")
    }
    for name, fitting in ATTRIBUTES.items():
        wanted = " or ".join(fitting) or "built in"
        if name not in types:
            yield f"Brevo has no attribute {name} ({wanted}), and drops its values silently. See {ATTRIBUTES_PAGE}."
        elif fitting and types[name] not in fitting:
            kept = redact(str(types[name]))[:50]
            yield f"Brevo's {name} is {kept}, not {wanted}, so its values are dropped silently. See {ATTRIBUTES_PAGE}."


SPEC = CrmSpec(
    name="brevo",
    title="Brevo",
    settings=BrevoSettings,
    connect=Brevo,
    key_variable="BREVO_API_KEY",
    account_requests_per_second=10,
    account_requests_per_hour=36_000,  # https://developers.brevo.com/docs/api-limits
    sandbox_path="/v3",
    base_url_variable="BREVO_API_BASE_URL",
    external_id_column="brevo_contact_id",
)
