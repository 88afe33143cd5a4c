"""Brevo's module, pointed at a server of the test's own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from pydantic import SecretStr

from crm_pipeline.crms.brevo.connector import Brevo
from crm_pipeline.crms.brevo.settings import BrevoSettings
from crm_pipeline.crms.brevo.spec import SPEC
from crm_pipeline.model import Contact, News, Outcome

KEY = "xkeysib-0123456789abcdef"
ID = UUID("11111111-1111-4111-8111-111111111111")
DOMAIN_ID = UUID("22222222-2222-4222-8222-222222222222")
PAGE_ID = UUID("33333333-3333-4333-8333-333333333333")
ANN = Contact(ID, "ann@example.com")
FULL = Contact(
    ID,
    " Ann.Lee@Example.COM ",
    name="Ann van der Lee",
    phone_number="+33612345678",
    email_type="CORPORATE",
    has_gmail=False,
    source_url="https://example.com/?a=b&c=ü",
    domain_id=DOMAIN_ID,
    page_id=PAGE_ID,
    external_id="ann.lee@example.com",
    attempt=3,
)
CREATED = (201, b'{"id":4711}', "sib-request-id: r-815\r\n")


@contextmanager
def connected(url: str, threads: int = 2, **settings: Any) -> Iterator[Brevo]:
    brevo = Brevo(SPEC, BrevoSettings(**{"api_key": SecretStr(KEY), "api_base_url": url, **settings}), threads)
    try:
        yield brevo
    finally:
        brevo.close()


def push(url: str, contact: Contact = ANN, **settings: Any) -> tuple[Outcome, News]:
    """One contact's outcome, and what its answer taught."""
    with connected(url, **settings) as brevo:
        answer = brevo.push([contact])
    assert set(answer.outcomes) == {contact.id}, "the outcome is the contact's own"
    return answer.outcomes[contact.id], answer.news
