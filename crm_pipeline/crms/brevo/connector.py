"""One Brevo account: pushes, and what is asked about the account itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import sha256
from urllib.parse import quote, urlsplit

from crm_pipeline.crms.answers import AnswerTable
from crm_pipeline.crms.brevo import rows
from crm_pipeline.crms.brevo.attributes import Attributes
from crm_pipeline.crms.brevo.settings import BrevoSettings
from crm_pipeline.crms.brevo.upsert import Upsert
from crm_pipeline.crms.protocol import CrmSpec, Limits, SetupStep
from crm_pipeline.crms.transport import Reply, Transport, TransportFailure, encode
from crm_pipeline.model import Answer, CheckResult, Contact, NewsKind, OutcomeKind
from crm_pipeline.redaction import redact, storable

LARGEST_REQUEST = 1024 * 1024
_MOST_BYTES_PER_CHARACTER = 6  # a control character as \u0001


class Brevo:
    """One account. `settings.api_key` must be set."""

    def __init__(self, spec: CrmSpec, settings: BrevoSettings, threads: int) -> None:
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
        self.attributes = Attributes(settings)
        self.limits = Limits(total_seconds=self._transport.total_seconds)
        self.target = urlsplit(settings.api_base_url).netloc
        self.identity = sha256(f"{key}\n{settings.api_base_url}".encode()).hexdigest()
        self._answers = AnswerTable(
            spec,
            self.target,
            secrets=(key,),
            rows=rows.ROWS,
            error_of=rows.error_of,
            # https://developers.brevo.com/docs/limit-headers
            pause_headers=("x-sib-ratelimit-reset",),
            limit_headers=("x-sib-ratelimit-limit", "x-sib-ratelimit-reset"),
            request_id_header="sib-request-id",
        )

    def reason_not_pushable(self, contact: Contact) -> str | None:
        """No address, one that cannot be sent, or more data than a request holds. All else is for Brevo to judge."""
        if not contact.email.strip():
            return "No e-mail address"
        if storable(contact.email) != contact.email:
            return "The e-mail address has a character that cannot be sent"
        texts = (contact.email, contact.name, contact.phone_number, contact.email_type, contact.source_url)
        length = sum(len(text) for text in texts if text) + sum(len(str(value)) for value in contact.further.values())
        if length * _MOST_BYTES_PER_CHARACTER < LARGEST_REQUEST // 2:
            return None
        body = self.upsert(contact).body
        if len(encode(body).encode()) < LARGEST_REQUEST:
            return None
        fields = {"email": body["email"], **body["attributes"]}
        name, longest = max(fields.items(), key=lambda field: len(str(field[1])))
        return f"Field too long: {name} has {len(str(longest))} characters"

    def push(self, contacts: Sequence[Contact]) -> Answer:
        """Create or update one contact: one request as a rule, and those that its answers make necessary.

        Upsert says which; each question about an old address and each phone number left out costs one.
        """
        (contact,) = contacts
        return self.upsert(contact).begin()

    def upsert(self, contact: Contact) -> Upsert:
        """The push of one contact, not yet begun."""
        values, notes = self.attributes.values(contact)
        return Upsert(self._transport, self._answers, contact, values, self._list_id, notes)

    def prepare(self) -> CheckResult:
        """Read the attributes. https://developers.brevo.com/reference/get-attributes"""
        reply = self._transport.request("GET", "/contacts/attributes")
        outcome, news = self._answers.judge(reply, rows.ATTRIBUTES, about_a_contact=False)
        if not isinstance(reply, Reply) or outcome.kind is not OutcomeKind.SYNCED:
            return CheckResult(news, sandbox=_is_sandbox(reply))
        return CheckResult(news, reply.sandbox, tuple(self.attributes.found(reply.json["attributes"])))

    def check(self) -> CheckResult:
        """Ask for the attributes and for the configured list. https://developers.brevo.com/reference/get-list

        Not for the account: that is limited to 100 an hour.
        """
        prepared = self.prepare()
        if self._list_id is None or prepared.news.kind is not NewsKind.WELL:
            return prepared
        reply = self._transport.request("GET", f"/contacts/lists/{self._list_id}")
        outcome, news = self._answers.judge(reply, rows.LIST, about_a_contact=False)
        if not isinstance(reply, Reply) or outcome.kind is not OutcomeKind.SYNCED:
            return CheckResult(news, _is_sandbox(reply), prepared.warnings)
        return CheckResult(news, reply.sandbox, prepared.warnings, {"list": redact(reply.json["name"])})

    def setup(self) -> Iterator[SetupStep]:
        """Create the attributes that the account lacks. https://developers.brevo.com/reference/create-attribute"""
        prepared = self.prepare()
        missing = self.attributes.missing() if prepared.news.kind is NewsKind.WELL else []
        yield SetupStep(f"Missing attributes: {len(missing)}", prepared.news)
        for attribute in missing:
            kind = attribute.fitting[0]
            path = f"/contacts/attributes/normal/{quote(attribute.name, safe='')}"
            reply = self._transport.request("POST", path, {"type": kind})
            _, news = self._answers.judge(reply, rows.NEW_ATTRIBUTE, about_a_contact=False)
            made = isinstance(reply, Reply) and reply.status == 201
            yield SetupStep(f"{'created' if made else 'not created'}: {attribute.name} ({kind})", news)

    def close(self) -> None:
        """Close pooled connections."""
        self._transport.close()


def _is_sandbox(answer: Reply | TransportFailure) -> bool:
    return isinstance(answer, Reply) and answer.sandbox
