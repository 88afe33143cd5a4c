"""The sandbox answers as Brevo's documentation says."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest

from crm_pipeline.crms.registry import CRMS
from crm_pipeline.model import SANDBOX_HEADER
from crm_pipeline.sandbox.account import Account
from crm_pipeline.sandbox.registry import SANDBOXES
from crm_pipeline_tests.sandbox.asking import Ask, refusal, upsert


def test_a_new_contact_gets_201_and_its_number_a_known_one_an_empty_204(ask: Ask) -> None:
    created = upsert(ask, "ann@example.com")
    assert (created.status_code, created.json()) == (201, {"id": 1})
    updated = upsert(ask, "ANN@example.com")
    assert (updated.status_code, updated.content) == (204, b"")
    assert upsert(ask, "bob@example.com").json() == {"id": 2}


def test_without_update_enabled_a_known_address_is_refused(ask: Ask) -> None:
    upsert(ask, "ann@example.com")
    answer = ask("POST", "/contacts", {"email": "ann@example.com"})
    assert refusal(answer) == (
        400,
        "duplicate_parameter",
        "Unable to create contact, email is already associated with another Contact",
    )
    assert answer.json()["metadata"] == {"duplicate_identifiers": ["email"]}


def test_what_is_not_sent_keeps_its_value_and_lists_are_added_to(ask: Ask) -> None:
    ask("POST", "/contacts", {"email": "ann@example.com", "listIds": [3], "attributes": {"FIRSTNAME": "Ann"}})
    body = {"email": "ann@example.com", "updateEnabled": True, "listIds": [30], "attributes": {"LASTNAME": "Lee"}}
    ask("POST", "/contacts", body)
    kept = ask("GET", "/contacts/ann%40example.com").json()
    assert kept["attributes"] == {"FIRSTNAME": "Ann", "LASTNAME": "Lee"}
    assert kept["listIds"] == [3, 30]


def test_unknown_and_wrongly_typed_attributes_are_dropped_behind_a_success(ask: Ask, account: Account) -> None:
    assert upsert(ask, "ann@example.com", COLOUR="red", HAS_GMAIL="yes", FIRSTNAME="Ann").status_code == 201
    contact = account.contact("ann@example.com")
    assert contact is not None
    assert contact.attributes == {"FIRSTNAME": "Ann"}


@pytest.mark.parametrize(
    "address", ["invalid-email", "a b@example.com", "@example.com", "ann@", "ann@example", 7, "a" * 250 + "@b.co"]
)
def test_an_address_that_is_none_is_refused(ask: Ask, address: Any) -> None:
    assert refusal(upsert(ask, address)) == (400, "invalid_parameter", "Invalid email address")


@pytest.mark.parametrize("phone", ["0612345678", "12", "call me"])
def test_a_phone_number_without_its_country_code_is_refused(ask: Ask, phone: str) -> None:
    assert refusal(upsert(ask, "ann@example.com", SMS=phone))[:2] == (400, "invalid_parameter")


@pytest.mark.parametrize("phone", ["33612345678", "+33 6 12 34 56 78", "0033612345678"])
def test_a_phone_number_of_another_contact_refuses_the_whole_upsert(ask: Ask, account: Account, phone: str) -> None:
    upsert(ask, "bob@example.com", SMS="+33612345678")
    upsert(ask, "ann@example.com", FIRSTNAME="Ann")
    answer = upsert(ask, "ann@example.com", SMS=phone, FIRSTNAME="Anna")
    assert refusal(answer)[:2] == (400, "duplicate_parameter")
    assert answer.json()["metadata"] == {"duplicate_identifiers": ["SMS"]}
    kept = account.contact("ann@example.com")
    assert kept is not None
    assert kept.attributes == {"FIRSTNAME": "Ann"}


def test_a_new_address_with_the_phone_number_of_another_contact_leaves_that_contact_alone(
    ask: Ask, account: Account
) -> None:
    upsert(ask, "bob@example.com", SMS="33612345678", FIRSTNAME="Bob")
    answer = upsert(ask, "ann@example.com", SMS="33612345678", FIRSTNAME="Ann")
    assert refusal(answer)[:2] == (400, "duplicate_parameter")
    assert answer.json()["metadata"] == {"duplicate_identifiers": ["SMS"]}
    (bob,) = account.contacts()
    assert (bob.email, bob.attributes["FIRSTNAME"]) == ("bob@example.com", "Bob")


@pytest.mark.parametrize("nothing", ["", None])
def test_an_empty_value_clears_nothing(ask: Ask, account: Account, nothing: str | None) -> None:
    upsert(ask, "ann@example.com", FIRSTNAME="Ann", SMS="33612345678")
    assert upsert(ask, "ann@example.com", FIRSTNAME=nothing, SMS=nothing).status_code == 204
    contact = account.contact("ann@example.com")
    assert contact is not None
    assert contact.attributes == {"FIRSTNAME": "Ann", "SMS": "33612345678"}


def test_a_list_that_does_not_exist_refuses_the_contact(ask: Ask, account: Account) -> None:
    answer = ask("POST", "/contacts", {"email": "ann@example.com", "listIds": [99]})
    assert answer.status_code == 400
    assert account.contacts() == []


@pytest.mark.parametrize("body", [b"{", b"[]", b"", b"\xff", b"[" * 100_000, b'{"email": NaN}'])
def test_a_body_that_is_no_object_is_refused(ask: Ask, body: bytes) -> None:
    answer = ask("POST", "/contacts", data=body)
    assert answer.status_code == 400
    assert "message" in answer.json()


@pytest.mark.parametrize(("key", "message"), [(None, "authentication not found in headers"), ("x", "Key not found")])
def test_a_missing_or_wrong_key_gets_401(ask: Ask, account: Account, key: str | None, message: str) -> None:
    answer = ask("POST", "/contacts", {"email": "ann@example.com"}, key=key)
    assert refusal(answer) == (401, "unauthorized", message)
    assert account.contacts() == []


def test_a_contact_is_read_changed_and_deleted_by_its_address_or_number(ask: Ask) -> None:
    upsert(ask, "ann+1@example.com")
    path = "/contacts/" + quote("ann+1@example.com", safe="")
    assert ask("GET", path).json()["id"] == ask("GET", "/contacts/1").json()["id"] == 1
    assert ask("PUT", path, {"attributes": {"EMAIL": "lee@example.com"}}).status_code == 204
    assert refusal(ask("GET", path)) == (404, "document_not_found", "Contact does not exist")
    assert ask("GET", "/contacts/lee%40example.com").status_code == 200
    assert ask("DELETE", "/contacts/1").status_code == 204
    assert ask("DELETE", "/contacts/1").status_code == 404


def test_a_changed_address_lifts_the_blocklisting(ask: Ask) -> None:
    ask("POST", "/contacts", {"email": "ann@example.com", "emailBlacklisted": True})
    upsert(ask, "ann@example.com")
    assert ask("GET", "/contacts/1").json()["emailBlacklisted"] is True
    ask("PUT", "/contacts/1", {"attributes": {"EMAIL": "lee@example.com"}})
    assert ask("GET", "/contacts/1").json()["emailBlacklisted"] is False


def test_contacts_are_listed_in_pages_the_newest_first(ask: Ask) -> None:
    for number in range(3):
        upsert(ask, f"person-{number}@example.com")
    page = ask("GET", "/contacts?limit=2&offset=1").json()
    assert [contact["email"] for contact in page["contacts"]] == ["person-1@example.com", "person-0@example.com"]
    assert page["count"] == 3
    assert refusal(ask("GET", "/contacts?limit=1001"))[:2] == (400, "out_of_range")


def test_there_are_lists_1_to_50_and_new_ones_can_be_made(ask: Ask) -> None:
    assert ask("GET", "/contacts/lists/30").json()["name"] == "List 30"
    assert refusal(ask("GET", "/contacts/lists/51"))[:2] == (404, "document_not_found")
    assert ask("POST", "/contacts/lists", {"name": "VIP", "folderId": 1}).json() == {"id": 51}
    lists = ask("GET", "/contacts/lists?limit=2").json()
    assert [one["name"] for one in lists["lists"]] == ["VIP", "List 50"], "the newest first"
    assert lists["count"] == 51
    assert ask("GET", "/contacts/lists?limit=1&sort=asc").json()["lists"][0]["name"] == "List 1"


def test_a_new_attribute_keeps_its_values(ask: Ask, account: Account) -> None:
    assert ask("POST", "/contacts/attributes/normal/SCORE", {"type": "float"}).status_code == 201
    names = {field["name"]: field["type"] for field in ask("GET", "/contacts/attributes").json()["attributes"]}
    assert names["SCORE"] == "float"
    upsert(ask, "ann@example.com", SCORE=1.5)
    contact = account.contact("ann@example.com")
    assert contact is not None
    assert contact.attributes == {"SCORE": 1.5}


def test_a_number_that_json_cannot_carry_is_dropped(ask: Ask, account: Account) -> None:
    ask("POST", "/contacts/attributes/normal/SCORE", {"type": "float"})
    answer = ask("POST", "/contacts", data=b'{"email": "ann@example.com", "attributes": {"SCORE": 1e999}}')
    assert answer.status_code == 201
    assert ask("GET", "/contacts/1").json()["attributes"] == {}


def test_an_attribute_with_options_keeps_those_alone(ask: Ask, account: Account) -> None:
    size = {"enumeration": [{"value": 1, "label": "Small"}, {"value": 2, "label": "Large"}]}
    assert ask("POST", "/contacts/attributes/category/SIZE", size).status_code == 201
    topics = {"type": "multiple-choice", "multiCategoryOptions": ["Cats", "Dogs"]}
    assert ask("POST", "/contacts/attributes/normal/TOPICS", topics).status_code == 201
    upsert(ask, "ann@example.com", SIZE=2, TOPICS=["Cats"])
    upsert(ask, "ann@example.com", SIZE=3, TOPICS=["Cats", "Birds"])
    contact = account.contact("ann@example.com")
    assert contact is not None
    assert contact.attributes == {"SIZE": 2, "TOPICS": ["Cats"]}


@pytest.mark.parametrize(
    ("attribute", "definition"),
    [
        ("normal/SCORE", {"type": "number"}),
        ("normal/SCORE", {}),
        ("normal/TOPICS", {"type": "multiple-choice", "multiCategoryOptions": "Cats"}),
        ("normal/TOPICS", {"type": "multiple-choice", "multiCategoryOptions": [1]}),
        ("category/SIZE", {"enumeration": [1]}),
        ("category/SIZE", {"enumeration": [{"value": 1}]}),
        ("other/SIZE", {"type": "text"}),
    ],
)
def test_an_attribute_that_cannot_be_is_refused(ask: Ask, attribute: str, definition: Any) -> None:
    name = attribute.partition("/")[2]
    assert refusal(ask("POST", f"/contacts/attributes/{attribute}", definition))[:2] == (400, "invalid_parameter")
    assert upsert(ask, "ann@example.com", **{name: 1}).status_code == 201


@pytest.mark.parametrize("path", ["/contacts/", "/contacts/lists/"])
def test_a_number_that_no_contact_and_no_list_can_have_is_not_found(ask: Ask, path: str) -> None:
    assert refusal(ask("GET", path + "9" * 5000))[:2] == (404, "document_not_found")


def test_the_contact_of_the_accounts_own_address_cannot_be_deleted(ask: Ask) -> None:
    owner = ask("GET", "/account").json()["email"]
    upsert(ask, owner)
    assert refusal(ask("DELETE", f"/contacts/{quote(owner)}"))[:2] == (405, "method_not_allowed")
    assert ask("GET", f"/contacts/{quote(owner)}").status_code == 200


def test_a_wrong_path_or_method_gets_brevos_errors(ask: Ask) -> None:
    assert refusal(ask("GET", "/nothing"))[:2] == (404, "document_not_found")
    assert refusal(ask("DELETE", "/contacts"))[:2] == (405, "method_not_allowed")


def test_every_answer_says_that_it_is_a_sandbox_and_names_its_request(ask: Ask) -> None:
    answers = [upsert(ask, "ann@example.com"), ask("GET", "/nothing"), ask("GET", "/account", key=None)]
    assert all(SANDBOX_HEADER in answer.headers for answer in answers)
    assert len({answer.headers["sib-request-id"] for answer in answers}) == 3


def test_hostile_text_comes_back_as_it_was_sent(ask: Ask) -> None:
    name = "😀 عمر <script>alert(1)</script> '; DROP TABLE contacts; --"
    upsert(ask, "ann@example.com", FIRSTNAME=name)
    assert ask("GET", "/contacts/1").json()["attributes"]["FIRSTNAME"] == name


def test_every_crm_has_a_sandbox_under_the_path_that_its_spec_names() -> None:
    assert {name: spec.sandbox_path for name, spec in CRMS.items()} == {
        name: spec.path for name, spec in SANDBOXES.items()
    }
