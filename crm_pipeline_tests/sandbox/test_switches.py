"""What Brevo's documentation leaves open can be switched, one thing at a time."""

from __future__ import annotations

import threading
import time

import pytest
from pydantic import ValidationError

from crm_pipeline.sandbox.account import Account
from crm_pipeline_tests.push.pushing import eventually
from crm_pipeline_tests.sandbox.asking import Ask, refusal, upsert


@pytest.mark.parametrize(
    ("name", "value"),
    [("batch", 405), ("throttled_body", "xml"), ("empty_clears", "yes"), ("read_delay_seconds", -1), ("colour", "red")],
)
def test_a_switch_refuses_what_is_no_value_of_it(account: Account, name: str, value: object) -> None:
    before = repr(account.switches)
    with pytest.raises((ValidationError, AttributeError)):
        setattr(account.switches, name, value)
    assert repr(account.switches) == before


def test_an_unknown_attribute_may_refuse_the_contact(ask: Ask, account: Account) -> None:
    account.switches.unknown_attribute = "refuse"
    assert refusal(upsert(ask, "ann@example.com", COLOUR="red"))[:2] == (400, "invalid_parameter")
    assert account.contacts() == []
    assert upsert(ask, "ann@example.com", HAS_GMAIL="of the wrong type").status_code == 201
    assert ask("PUT", "/contacts/1", {"attributes": {"EMAIL": "lee@example.com"}}).status_code == 204


def test_an_empty_value_may_clear(ask: Ask, account: Account) -> None:
    account.switches.empty_clears = True
    upsert(ask, "ann@example.com", FIRSTNAME="Ann", LASTNAME="Lee", SMS="33612345678")
    upsert(ask, "ann@example.com", FIRSTNAME="", LASTNAME=None, SMS="")
    (contact,) = account.contacts()
    assert contact.attributes == {}
    assert upsert(ask, "bob@example.com", SMS="33612345678").status_code == 201, "the number is free again"


def test_addresses_may_be_compared_exactly(ask: Ask, account: Account) -> None:
    account.switches.email_match = "exact"
    assert [upsert(ask, email).status_code for email in ("ann@example.com", "Ann@example.com")] == [201, 201]
    assert ask("GET", "/contacts/Ann%40example.com").json()["id"] == 2
    assert ask("GET", "/contacts/ANN%40example.com").status_code == 404


def test_code_and_text_of_a_refusal_may_differ(ask: Ask, account: Account) -> None:
    account.switches.duplicate_code = "invalid_parameter"
    account.switches.phone_error = "Phone number is wrong"
    upsert(ask, "ann@example.com")
    answer = ask("POST", "/contacts", {"email": "ann@example.com"})
    assert refusal(answer)[1] == "invalid_parameter"
    assert answer.json()["metadata"] == {"duplicate_identifiers": ["email"]}
    assert refusal(upsert(ask, "ann@example.com", SMS="1"))[2] == "Phone number is wrong"


def test_a_refusal_may_name_the_identifier_in_its_text_alone(ask: Ask, account: Account) -> None:
    account.switches.duplicate_metadata = False
    upsert(ask, "ann@example.com", SMS="33612345678")
    answer = upsert(ask, "bob@example.com", SMS="33612345678")
    assert refusal(answer)[:2] == (400, "duplicate_parameter")
    assert "SMS is already associated" in refusal(answer)[2]
    assert set(answer.json()) == {"code", "message"}


@pytest.mark.parametrize(("form", "kind"), [("empty", None), ("html", "text/html"), ("model", "application/json")])
def test_errors_may_carry_a_page_or_nothing(ask: Ask, account: Account, form: str, kind: str | None) -> None:
    account.switches.client_error_body = form
    answers = [
        upsert(ask, "none"),
        ask("GET", "/contacts/1"),
        ask("GET", "/nothing"),
        ask("DELETE", "/contacts"),
        ask("GET", "/contacts", key=None),
    ]
    assert [answer.status_code for answer in answers] == [400, 404, 404, 405, 401]
    assert {answer.headers.get("content-type") for answer in answers} == {kind}
    assert all(bool(answer.content) == (form != "empty") for answer in answers)


@pytest.mark.parametrize(
    ("rights", "allowed"),
    [
        ("none", []),
        ("read", ["GET"]),
        ("read and write", ["GET", "POST", "PUT"]),
        ("all", ["GET", "POST", "PUT", "DELETE"]),
    ],
)
def test_a_key_may_be_restricted(ask: Ask, account: Account, rights: str, allowed: list[str]) -> None:
    upsert(ask, "ann@example.com")
    account.switches.key_rights = rights
    answers = {
        "GET": ask("GET", "/contacts/1"),
        "POST": upsert(ask, "ann@example.com"),
        "PUT": ask("PUT", "/contacts/1", {}),
        "DELETE": ask("DELETE", "/contacts/1"),
    }
    assert [method for method, answer in answers.items() if answer.ok] == allowed
    assert all(refusal(answer)[:2] == (403, "permission_denied") for answer in answers.values() if not answer.ok)
    account.switches.restricted_key_status = 401
    account.switches.key_rights = "none"
    assert ask("GET", "/contacts").status_code == 401


def test_a_change_may_be_seen_later_by_those_who_read(ask: Ask, account: Account) -> None:
    upsert(ask, "ann@example.com", FIRSTNAME="Ann")
    upsert(ask, "lee@example.com")
    account.switches.read_delay_seconds = 0.3
    time.sleep(0.31)
    upsert(ask, "ann@example.com", FIRSTNAME="Anna")
    upsert(ask, "bob@example.com")
    ask("DELETE", "/contacts/lee%40example.com")
    assert ask("GET", "/contacts/1").json()["attributes"] == {"FIRSTNAME": "Ann"}
    assert ask("GET", "/contacts/bob%40example.com").status_code == 404
    assert {contact["id"] for contact in ask("GET", "/contacts").json()["contacts"]} == {1, 2}
    assert upsert(ask, "bob@example.com").status_code == 204, "who writes sees it"
    eventually(lambda: ask("GET", "/contacts/bob%40example.com").status_code == 200)
    eventually(lambda: ask("GET", "/contacts/2").status_code == 404)
    eventually(lambda: ask("GET", "/contacts/1").json()["attributes"] == {"FIRSTNAME": "Anna"})


def test_two_writes_to_one_contact_at_once_may_be_too_early(ask: Ask, account: Account) -> None:
    def at_once() -> tuple[int, int]:
        with account.faults.hold(before_storing=True) as hold:
            first: list[int] = []
            thread = threading.Thread(target=lambda: first.append(upsert(ask, "ann@example.com").status_code))
            thread.start()
            hold.wait_for(1)
            second: list[int] = []
            late = threading.Thread(target=lambda: second.append(upsert(ask, "Ann@Example.com").status_code))
            late.start()
            hold.wait_for(2)
        thread.join()
        late.join()
        return first[0], second[0]

    assert sorted(at_once()) == [201, 204]
    account.switches.too_early = "on"
    assert at_once() == (204, 425)
    assert upsert(ask, "ann@example.com").status_code == 204, "one after the other"


def test_an_ext_id_may_be_shown_among_the_attributes(ask: Ask, account: Account) -> None:
    ask("POST", "/contacts", {"email": "ann@example.com", "ext_id": "a-1"})
    assert ask("GET", "/contacts/1").json()["attributes"] == {}
    account.switches.ext_id_in_attributes = True
    assert ask("GET", "/contacts/1").json()["attributes"] == {"EXT_ID": "a-1"}
