"""Refusals after which Brevo takes the contact when it is sent once more, in another way or a moment later."""

from __future__ import annotations

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
