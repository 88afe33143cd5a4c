"""What Brevo is sent: what we have, nothing else, and exactly as it is."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crm_pipeline.crms.brevo.connector import LARGEST_REQUEST
from crm_pipeline.model import Contact
from crm_pipeline_tests.crms.brevo_account import ANN, CREATED, DOMAIN_ID, FULL, ID, KEY, PAGE_ID, connected, push
from crm_pipeline_tests.crms.raw_server import answers, raw_server

HOSTILE = [
    "Zoë 🎉 e\u0301 שלום \u202e \u2028 x",
    "Robert'); DROP TABLE contacts;--",
    "{{7*7}} ${7*7} %s <script>",
    "=HYPERLINK(1)",
    'quote" back\\slash',
    "tab\tline\nfeed\r\nX-Evil: 1",
    "\U0010ffff\ufdd0\ufffe",
]


def sent(contact: Contact, **settings: Any) -> dict[str, Any]:
    """The body of the one request."""
    with raw_server(answers(CREATED)) as server:
        push(server.url, contact, **settings)
        (request,) = server.requests
    assert request.line == "POST /v3/contacts HTTP/1.1"
    body: dict[str, Any] = request.json
    return body


def test_all_that_we_have_of_a_contact_is_sent_in_one_upsert() -> None:
    assert sent(FULL, list_id=12) == {
        "email": "ann.lee@example.com",
        "updateEnabled": True,
        "attributes": {
            "FIRSTNAME": "Ann",
            "LASTNAME": "van der Lee",
            "SMS": "+33612345678",
            "EMAIL_TYPE": "CORPORATE",
            "SOURCE_URL": "https://example.com/?a=b&c=ü",
            "DOMAIN_ID": str(DOMAIN_ID),
            "PAGE_ID": str(PAGE_ID),
            "HAS_GMAIL": False,
        },
        "listIds": [12],
    }


@pytest.mark.parametrize("blank", [None, "", "   ", "\t\n"])
def test_nothing_is_sent_for_what_we_do_not_have(blank: str | None) -> None:
    contact = Contact(ID, "a@example.com", name=blank, phone_number=blank, email_type=blank, source_url=blank)
    assert sent(contact) == {"email": "a@example.com", "updateEnabled": True, "attributes": {}}


def test_an_opt_out_is_never_touched() -> None:
    for contact in (FULL, ANN):
        assert not [name for name in sent(contact, list_id=1) if "blacklist" in name.lower()]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Ann", {"FIRSTNAME": "Ann"}),
        ("Ann Lee", {"FIRSTNAME": "Ann", "LASTNAME": "Lee"}),
        ("  Ann   van  der Lee ", {"FIRSTNAME": "Ann", "LASTNAME": "van  der Lee"}),
    ],
)
def test_a_name_is_split_once_at_its_first_blank(name: str, expected: dict[str, str]) -> None:
    assert sent(replace(ANN, name=name))["attributes"] == expected


@pytest.mark.parametrize("has_gmail", [True, False])
def test_a_yes_or_no_is_sent_as_json_has_it(has_gmail: bool) -> None:
    assert sent(replace(ANN, has_gmail=has_gmail))["attributes"]["HAS_GMAIL"] is has_gmail


def test_the_key_travels_in_its_header_and_nowhere_else() -> None:
    with raw_server(answers(CREATED)) as server:
        push(server.url, FULL)
        (request,) = server.requests
    assert request.headers["api-key"] == KEY
    assert request.headers["accept"] == request.headers["content-type"] == "application/json"
    assert KEY not in request.line + request.body.decode() + str(request.headers | {"api-key": ""})


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_arrives_byte_for_byte_as_data(text: str) -> None:
    contact = replace(ANN, name=f"x {text}", source_url=text, email_type=text)
    with raw_server(answers(CREATED)) as server:
        push(server.url, contact)
        (request,) = server.requests
    attributes = request.json["attributes"]
    assert (attributes["LASTNAME"], attributes["SOURCE_URL"], attributes["EMAIL_TYPE"]) == (text, text, text)
    assert json.dumps(text, ensure_ascii=False).encode() in request.body.replace(b"\\/", b"/")
    assert "x-evil" not in request.headers


@settings(deadline=None)
@given(st.text(max_size=60), st.text(max_size=60))
def test_any_text_can_be_sent_without_nul_and_lone_surrogates(name: str, url: str) -> None:
    with connected("http://127.0.0.1/v3") as brevo:
        body = brevo.upsert(replace(ANN, name="x " + name, source_url=url)).body
    attributes = json.loads(json.dumps(body, ensure_ascii=False).encode())["attributes"]
    kept = "".join(letter for letter in url if letter != "\x00" and not 0xD800 <= ord(letter) <= 0xDFFF)
    assert attributes.get("SOURCE_URL", "") == kept.strip()


@pytest.mark.parametrize("email", ["", " ", "\t\n"])
def test_a_contact_without_an_address_is_not_pushable(email: str) -> None:
    with connected("https://api.example.com/v3") as brevo:
        assert brevo.reason_not_pushable(replace(FULL, email=email)) == "No e-mail address"


@pytest.mark.parametrize("email", ["a\x00@example.com", "a\ud800@example.com"])
def test_an_address_that_cannot_be_sent_is_not_mended_but_said(email: str) -> None:
    with connected("https://api.example.com/v3") as brevo:
        reason = brevo.reason_not_pushable(replace(ANN, email=email))
    assert reason == "The e-mail address has a character that cannot be sent"


@pytest.mark.parametrize("contact", [ANN, FULL, replace(ANN, email="not an address")])
def test_what_brevo_may_judge_itself_is_pushable(contact: Contact) -> None:
    with connected("https://api.example.com/v3") as brevo:
        assert brevo.reason_not_pushable(contact) is None


@pytest.mark.parametrize("letter", ["x", "ü", "🎉", "\x01", '"'])
def test_a_request_holds_less_than_a_mebibyte_or_the_field_is_named(letter: str) -> None:
    each = len(json.dumps(letter, ensure_ascii=False).encode()) - 2
    with connected("https://api.example.com/v3") as brevo:

        def reason(length: int) -> str | None:
            return brevo.reason_not_pushable(replace(ANN, source_url=letter * length))

        assert reason((LARGEST_REQUEST - 200) // each) is None
        too_many = LARGEST_REQUEST // each + 1
        assert reason(too_many) == f"Field too long: SOURCE_URL has {too_many} characters"


def test_a_field_that_is_too_long_is_named_even_beside_a_yes_or_no() -> None:
    with connected("https://api.example.com/v3", list_id=1) as brevo:
        reason = brevo.reason_not_pushable(replace(FULL, name="x" * LARGEST_REQUEST))
    assert reason == f"Field too long: FIRSTNAME has {LARGEST_REQUEST} characters"


def test_a_key_must_be_set_to_connect() -> None:
    with pytest.raises(ValueError, match="BREVO_API_KEY is not set"), connected("https://x.example", api_key=None):
        pass
