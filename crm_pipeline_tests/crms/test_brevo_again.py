"""Refusals after which Brevo takes the contact when it is sent once more, in another way or a moment later."""

from __future__ import annotations

import json
from typing import Any

import pytest

from crm_pipeline.model import WELL, Contact, OutcomeKind
from crm_pipeline.sandbox.account import Account
from crm_pipeline_tests.crms.brevo_account import FULL, ID, connected
from crm_pipeline_tests.crms.raw_server import answers, raw_server
from crm_pipeline_tests.crms.test_brevo_changed_address import CREATED, TAKEN, pushed, scripted
from crm_pipeline_tests.support.sandbox import KEY

PHONE = "+33612345678"
TOO_EARLY = (425, b'{"code":"account_in_process","message":"Too early"}')


def taken(*identifiers: Any, code: str = "duplicate_parameter", status: int = 400) -> tuple[int, bytes]:
    named = ",".join(f'"{one}"' if isinstance(one, str) else str(one) for one in identifiers)
    return status, f'{{"code":"{code}","message":"x","metadata":{{"duplicate_identifiers":[{named}]}}}}'.encode()


def refused(text: str, code: str = "duplicate_parameter", status: int = 400) -> tuple[int, bytes]:
    """As `taken`, without metadata."""
    return status, json.dumps({"code": code, "message": text}).encode()


def test_a_phone_number_of_another_contact_is_left_out_and_the_contact_is_synced(account: Account) -> None:
    with connected(account.url, api_key=KEY) as brevo:
        pushed(brevo, Contact(ID, "first@example.com", phone_number=PHONE))
        outcome, answer, requests = pushed(brevo, Contact(ID, "second@example.com", name="Bo", phone_number=PHONE))
    assert (outcome.kind, answer.news, requests) == (OutcomeKind.SYNCED, WELL, 2)
    assert outcome.note == "sent without SMS: another contact has it"
    kept = account.contact("second@example.com")
    assert kept is not None
    assert kept.attributes == {"FIRSTNAME": "Bo"}


@pytest.mark.parametrize("code", ["duplicate_parameter", "invalid_parameter", "whatever"])
@pytest.mark.parametrize("named", ["SMS", "sms"])
def test_the_identifier_decides_and_neither_code_nor_text(code: str, named: str) -> None:
    with raw_server(answers(taken(named, code=code), CREATED)) as server, connected(server.url) as brevo:
        outcome, _, _ = pushed(brevo, FULL)
        first, second = (request.json["attributes"] for request in server.requests)
    assert outcome.kind is OutcomeKind.SYNCED
    assert set(first) - set(second) == {"SMS"}


def test_a_phone_number_is_left_out_once_and_then_the_refusal_is_the_contacts() -> None:
    outcome, answer, lines = scripted(taken("SMS"), taken("SMS"), contact=FULL)
    assert (outcome.kind, outcome.refused, answer.news, len(lines)) == (OutcomeKind.FAILED, True, WELL, 2)
    assert "sent without SMS" in str(outcome.note)


def test_without_a_phone_number_there_is_nothing_to_leave_out() -> None:
    outcome, _, lines = scripted(taken("SMS"), contact=Contact(ID, "a@example.com"))
    assert (outcome.kind, len(lines)) == (OutcomeKind.FAILED, 1)


def test_a_number_under_another_identifier_is_left_out_too() -> None:
    with raw_server(answers(taken("WHATSAPP"), CREATED)) as server:
        with connected(server.url, attribute_phone="WHATSAPP") as brevo:
            outcome, _, _ = pushed(brevo, FULL)
        assert "WHATSAPP" not in server.requests[1].json["attributes"]
    assert outcome.kind is OutcomeKind.SYNCED


@pytest.mark.parametrize("code", ["duplicate_parameter", "invalid_parameter"])
@pytest.mark.parametrize("status", [400, 425])
@pytest.mark.parametrize(
    "text",
    [
        "Unable to update contact, SMS is already associated with another Contact",
        "Unable to create contact, SMS is already associated with another Contact",
        "SMS is already associate with another Contact",
        "sms is already associated with another contact.",
        "Unable to update contact, SMS or EXT_ID are already associated with another Contact",
        "SMS or WHATSAPP / EXT_ID are already associated with another Contact",
        "EXT_ID,SMS are already associated with another Contact",
    ],
)
def test_the_text_names_the_phone_number_where_there_is_no_metadata(text: str, status: int, code: str) -> None:
    with raw_server(answers(refused(text, code, status), CREATED)) as server, connected(server.url) as brevo:
        outcome, answer, _ = pushed(brevo, FULL)
        first, second = (request.json["attributes"] for request in server.requests)
    assert (outcome.kind, answer.news) == (OutcomeKind.SYNCED, WELL)
    assert outcome.note == "sent without SMS: another contact has it"
    assert set(first) - set(second) == {"SMS"}


def test_metadata_is_believed_and_not_the_text_beside_it() -> None:
    said = b'{"code":"x","message":"SMS is already associated with another Contact","metadata":%s}'
    for metadata in (b'{"duplicate_identifiers":["ext_id"]}', b'{"duplicate_identifiers":[]}'):
        outcome, _, lines = scripted((400, said % metadata), contact=FULL)
        assert (outcome.kind, len(lines)) == (OutcomeKind.FAILED, 1)


@pytest.mark.parametrize("name", ["email", "e-mail", "EMAIL"])
def test_a_race_that_is_named_in_a_text_alone_is_tried_once_more_at_once(name: str) -> None:
    answer = refused(f"Unable to create contact, {name} is already associated with another Contact")
    outcome, _, lines = scripted(answer, CREATED, contact=FULL)
    assert (outcome.kind, len(lines)) == (OutcomeKind.SYNCED, 2)
    assert outcome.note == "sent again at once after HTTP 400"


@pytest.mark.parametrize(
    "text",
    [
        "EMAIL_TYPE is already associated with another Contact",
        "SMS_CONSENT is already associated with another Contact",
        "EXT_ID is already associated with another Contact",
        "sms@example.com is already associated with another Contact",
        "The SMS campaign is not already associated with a list",
        "SMS",
    ],
)
def test_a_text_that_names_no_identifier_that_was_sent_is_a_refusal(text: str) -> None:
    outcome, _, lines = scripted(refused(text), contact=FULL)
    assert (outcome.kind, outcome.refused, len(lines)) == (OutcomeKind.FAILED, True, 1)


@pytest.mark.parametrize(
    "text",
    ["Invalid phone number", "SMS is not a valid number", "invalid sms", "The mobile number is not valid"],
)
def test_a_phone_number_that_brevo_calls_invalid_is_left_out_and_the_contact_is_synced(text: str) -> None:
    with raw_server(answers(refused(text, "invalid_parameter"), CREATED)) as server, connected(server.url) as brevo:
        outcome, answer, _ = pushed(brevo, FULL)
        first, second = (request.json["attributes"] for request in server.requests)
    assert (outcome.kind, answer.news) == (OutcomeKind.SYNCED, WELL)
    assert outcome.note == "sent without SMS: Brevo calls it invalid"
    assert set(first) - set(second) == {"SMS"}


def test_only_the_phone_number_that_is_named_is_left_out() -> None:
    attributes = {"attribute_phone": "SMS", "attributes": "WHATSAPP=whatsapp"}
    contact = Contact(ID, "a@example.com", phone_number=PHONE, further={"whatsapp": "+33698765432"})
    for text, left in (("Invalid WHATSAPP number", {"SMS"}), ("Invalid phone number", set())):
        with raw_server(answers(refused(text), CREATED)) as server:
            with connected(server.url, **attributes) as brevo:
                outcome, _, _ = pushed(brevo, contact)
            assert set(server.requests[1].json["attributes"]) == left
        assert outcome.kind is OutcomeKind.SYNCED


@pytest.mark.parametrize(
    "text",
    [
        "Invalid email address",
        "Invalid email or phone number",
        "Invalid EMAIL_TYPE",
        "Invalid SMS_CONSENT",
        "Invalid phone-book",
        "The phone number is missing",
    ],
)
def test_any_other_complaint_leaves_the_phone_number_in(text: str) -> None:
    outcome, _, lines = scripted(refused(text, "invalid_parameter"), contact=FULL)
    assert (outcome.kind, outcome.note, len(lines)) == (OutcomeKind.FAILED, None, 1)


def test_a_phone_number_called_invalid_is_left_out_once_and_then_the_refusal_is_the_contacts() -> None:
    answer = refused("Invalid phone number", "invalid_parameter")
    outcome, news, lines = scripted(answer, answer, contact=FULL)
    assert (outcome.kind, outcome.own, news.news, len(lines)) == (OutcomeKind.FAILED, True, WELL, 2)
    assert outcome.note == "sent without SMS: Brevo calls it invalid"


def test_a_colleague_with_the_switchboards_number_is_synced_where_brevo_sends_no_metadata(account: Account) -> None:
    account.switches.duplicate_metadata = False
    with connected(account.url, api_key=KEY) as brevo:
        pushed(brevo, Contact(ID, "first@example.com", phone_number=PHONE))
        outcome, answer, requests = pushed(brevo, Contact(ID, "second@example.com", name="Bo", phone_number=PHONE))
    assert (outcome.kind, answer.news, requests) == (OutcomeKind.SYNCED, WELL, 2)
    assert outcome.note == "sent without SMS: another contact has it"


@pytest.mark.parametrize("answer", [TAKEN, TOO_EARLY], ids=["raced", "too early"])
def test_a_race_on_an_address_is_tried_once_more_at_once(answer: tuple[int, bytes]) -> None:
    outcome, _, lines = scripted(answer, CREATED, contact=FULL)
    assert (outcome.kind, len(lines)) == (OutcomeKind.SYNCED, 2)
    assert f"HTTP {answer[0]}" in str(outcome.note)


@pytest.mark.parametrize("answer", [TAKEN, TOO_EARLY], ids=["raced", "too early"])
def test_a_race_that_is_lost_twice_waits_for_its_retry(answer: tuple[int, bytes]) -> None:
    outcome, news, lines = scripted(answer, answer, contact=FULL)
    assert (outcome.kind, news.news, len(lines)) == (OutcomeKind.FAILED, WELL, 2)


@pytest.mark.parametrize("answer", [taken("ext_id"), taken(7), taken("SMS", status=422), (400, b'{"metadata":[]}')])
def test_any_other_refusal_is_not_sent_again(answer: tuple[int, bytes]) -> None:
    outcome, _, lines = scripted(answer, contact=FULL)
    assert (outcome.kind, len(lines)) == (OutcomeKind.FAILED, 1)
