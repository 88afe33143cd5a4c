"""By what Brevo's sandbox finds a contact, and what it does when two contacts want the same."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import pytest
import requests

from crm_pipeline.sandbox.account import Account
from crm_pipeline_tests.sandbox.asking import Ask, refusal, upsert

ANN = {
    "email": "ann+1@example.com",
    "ext_id": "crm/42",
    "attributes": {"SMS": "+33 6 12 34 56 78", "WHATSAPP": "0033699999999", "LANDLINE_NUMBER": "33123456789"},
}
BY_TYPE = {
    "email_id": "ann+1@example.com",
    "contact_id": "1",
    "ext_id": "crm/42",
    "phone_id": "+33612345678",
    "whatsapp_id": "33699999999",
    "landline_number_id": "33123456789",
}


def named(ask: Ask, method: str, identifier: str, kind: str | None = None, json: Any = None) -> requests.Response:
    query = f"?identifierType={kind}" if kind else ""
    return ask(method, f"/contacts/{quote(identifier, safe='')}{query}", json)


@pytest.mark.parametrize("kind", BY_TYPE)
def test_a_contact_is_read_changed_and_deleted_by_each_of_its_identifiers(ask: Ask, kind: str) -> None:
    assert ask("POST", "/contacts", ANN).json() == {"id": 1}
    value = BY_TYPE[kind]
    assert named(ask, "GET", value, kind).json()["id"] == 1
    assert named(ask, "PUT", value, kind, {"attributes": {"FIRSTNAME": "Ann"}}).status_code == 204
    assert ask("GET", "/contacts/1").json()["attributes"]["FIRSTNAME"] == "Ann"
    assert named(ask, "DELETE", value, kind).status_code == 204
    assert refusal(named(ask, "GET", value, kind))[:2] == (404, "document_not_found")


@pytest.mark.parametrize("value", ["ann+1@example.com", "1", "33612345678", "+33612345678"])
def test_address_number_and_sms_number_are_read_without_saying_what_they_are(ask: Ask, value: str) -> None:
    ask("POST", "/contacts", ANN)
    assert named(ask, "GET", value).json()["id"] == 1


@pytest.mark.parametrize("value", ["33699999999", "33123456789", "crm/42"])
def test_the_other_identifiers_have_to_be_named(ask: Ask, value: str) -> None:
    ask("POST", "/contacts", ANN)
    assert named(ask, "GET", value).status_code == 404


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_a_write_does_not_take_a_number_for_a_phone(ask: Ask, method: str) -> None:
    ask("POST", "/contacts", ANN)
    assert named(ask, method, "33612345678", json={}).status_code == 404


def test_an_identifier_type_that_there_is_not_is_refused(ask: Ask) -> None:
    assert refusal(named(ask, "GET", "1", "shoe_size"))[:2] == (400, "invalid_parameter")


def test_a_change_by_put_never_creates(ask: Ask, account: Account) -> None:
    for kind, value in BY_TYPE.items():
        assert refusal(named(ask, "PUT", value, kind, ANN))[:2] == (404, "document_not_found")
    assert account.contacts() == []


@pytest.mark.parametrize(
    ("kind", "sent"),
    [
        ("ext_id", {"ext_id": "crm/42"}),
        ("SMS", {"attributes": {"SMS": "33612345678"}}),
        ("WHATSAPP", {"attributes": {"WHATSAPP": "+33699999999"}}),
        ("LANDLINE_NUMBER", {"attributes": {"LANDLINE_NUMBER": "+33123456789"}}),
    ],
)
def test_an_identifier_of_another_contact_refuses_whoever_sends_it(
    ask: Ask, account: Account, kind: str, sent: dict[str, Any]
) -> None:
    ask("POST", "/contacts", ANN)
    upsert(ask, "bob@example.com")
    before = account.contacts()
    new = ask("POST", "/contacts", {"email": "new@example.com", **sent})
    known = ask("POST", "/contacts", {"email": "bob@example.com", "updateEnabled": True, **sent})
    changed = ask("PUT", "/contacts/2", sent)
    for answer, verb in ((new, "create"), (known, "update"), (changed, "update")):
        message = f"Unable to {verb} contact, {kind} is already associated with another Contact"
        assert refusal(answer) == (400, "duplicate_parameter", message)
        assert answer.json()["metadata"] == {"duplicate_identifiers": [kind]}
    assert account.contacts() == before


def test_all_identifiers_of_others_are_named_at_once(ask: Ask) -> None:
    ask("POST", "/contacts", ANN)
    answer = ask("POST", "/contacts", {**ANN, "email": "new@example.com"})
    assert answer.json()["metadata"] == {"duplicate_identifiers": ["ext_id", "SMS", "WHATSAPP", "LANDLINE_NUMBER"]}


@pytest.mark.parametrize("sent", [{"ext_id": "crm/42"}, {"attributes": {"SMS": "33612345678"}}])
def test_a_contact_without_an_address_is_created_and_updated(ask: Ask, sent: dict[str, Any]) -> None:
    assert ask("POST", "/contacts", sent).status_code == 201
    assert ask("POST", "/contacts", {**sent, "updateEnabled": True}).status_code == 204
    assert refusal(ask("POST", "/contacts", sent))[:2] == (400, "duplicate_parameter")
    assert "email" not in ask("GET", "/contacts/1").json()


@pytest.mark.parametrize("sent", [{"updateEnabled": True}, {"attributes": {"WHATSAPP": "33612345678"}}])
def test_a_body_that_names_nobody_is_refused(ask: Ask, sent: dict[str, Any]) -> None:
    assert refusal(ask("POST", "/contacts", sent))[:2] == (400, "missing_parameter")


def test_a_given_ext_id_is_changed_and_freed(ask: Ask, account: Account) -> None:
    ask("POST", "/contacts", ANN)
    assert ask("PUT", "/contacts/1", {"ext_id": "other"}).status_code == 204
    assert ask("POST", "/contacts", {"email": "bob@example.com", "ext_id": "crm/42"}).status_code == 201
    assert named(ask, "GET", "other", "ext_id").json()["id"] == 1


def test_a_forced_merge_keeps_the_last_modified_and_deletes_the_other(ask: Ask, account: Account) -> None:
    ask("POST", "/contacts", ANN)
    upsert(ask, "bob@example.com", LASTNAME="Lee")
    sent = {"email": "ann+1@example.com", "ext_id": "b", "updateEnabled": True}
    ask("PUT", "/contacts/2", {"ext_id": "b"})
    answer = ask("POST", "/contacts", {**sent, "forceMerge": True, "getId": True})
    assert (answer.status_code, answer.json()) == (201, {"id": 2}), "Bob was changed last"
    (kept,) = account.contacts()
    assert (kept.id, kept.email, kept.attributes["LASTNAME"]) == (2, "ann+1@example.com", "Lee")
    assert ask("GET", "/contacts/1").status_code == 404


def test_a_forced_merge_without_get_id_answers_as_an_update(ask: Ask, account: Account) -> None:
    ask("POST", "/contacts", ANN)
    upsert(ask, "bob@example.com")
    answer = ask("PUT", "/contacts/1", {"attributes": {"EMAIL": "bob@example.com"}, "forceMerge": True})
    assert (answer.status_code, answer.content) == (204, b"")
    assert [contact.email for contact in account.contacts()] == ["bob@example.com"]
    assert ask("POST", "/contacts", {"email": "new@example.com", "forceMerge": True, "getId": True}).status_code == 201


def test_blocklists_stay_as_they_are_when_they_are_not_sent(ask: Ask) -> None:
    flags = {"emailBlacklisted": True, "smsBlacklisted": True}
    ask("POST", "/contacts", {"email": "ann@example.com", **flags})
    upsert(ask, "ann@example.com", FIRSTNAME="Ann")
    ask("PUT", "/contacts/1", {"attributes": {"FIRSTNAME": "Anna"}, "listIds": [3]})
    kept = ask("GET", "/contacts/1").json()
    assert {name: kept[name] for name in flags} == flags
    assert kept["whatsappBlacklisted"] is False
    ask("PUT", "/contacts/1", {"smsBlacklisted": False})
    kept = ask("GET", "/contacts/1").json()
    assert (kept["emailBlacklisted"], kept["smsBlacklisted"]) == (True, False)


def test_a_blocklisted_contact_that_keeps_its_address_stays_blocklisted(ask: Ask) -> None:
    ask("POST", "/contacts", {"email": "ann@example.com", "emailBlacklisted": True})
    ask("PUT", "/contacts/1", {"attributes": {"EMAIL": "ANN@example.com"}})
    assert ask("GET", "/contacts/1").json()["emailBlacklisted"] is True


def test_forbidden_senders_are_taken_with_an_update_alone(ask: Ask, account: Account) -> None:
    sent = {"email": "ann@example.com", "smtpBlacklistSender": ["news@example.com"]}
    assert refusal(ask("POST", "/contacts", sent))[:2] == (400, "invalid_parameter")
    assert ask("POST", "/contacts", {**sent, "updateEnabled": True}).status_code == 201
    contact = account.contact("ann@example.com")
    assert contact is not None
    assert contact.extra["smtpBlacklistSender"] == ["news@example.com"]
    assert refusal(ask("PUT", "/contacts/1", {"smtpBlacklistSender": ["none"]}))[:2] == (400, "invalid_parameter")


def test_lists_that_were_left_by_oneself_are_shown(ask: Ask, account: Account) -> None:
    upsert(ask, "ann@example.com")
    assert "listUnsubscribed" not in ask("GET", "/contacts/1").json()
    contact = account.contact("ann@example.com")
    assert contact is not None
    account.save(replace(contact, extra={"listUnsubscribed": [7]}))
    upsert(ask, "ann@example.com", FIRSTNAME="Ann")
    assert ask("GET", "/contacts/1").json()["listUnsubscribed"] == [7]


def emails(ask: Ask, query: str) -> list[str]:
    answer = ask("GET", f"/contacts?{query}").json()
    assert answer["count"] == len(answer["contacts"])
    return [contact["email"][:3] for contact in answer["contacts"]]


def test_contacts_are_filtered(ask: Ask, account: Account) -> None:
    ask("POST", "/contacts/attributes/category/SIZE", {"enumeration": [{"value": 1, "label": "Small"}]})
    topics = {"type": "multiple-choice", "multiCategoryOptions": ["Cats", "Dogs"]}
    ask("POST", "/contacts/attributes/normal/TOPICS", topics)
    ask("POST", "/contacts", {"email": "ann@example.com", "listIds": [3], "attributes": {"FIRSTNAME": "Ann, the"}})
    time.sleep(0.002)
    since = quote(ask("GET", "/contacts").json()["contacts"][0]["createdAt"].replace("Z", "+00:00"))
    more = {"HAS_GMAIL": True, "SIZE": "Small", "TOPICS": ["Cats", "Dogs"]}
    bob = {"email": "bob@example.com", "listIds": [4], "attributes": more}
    time.sleep(0.002)
    ask("POST", "/contacts", bob)
    assert emails(ask, "") == ["bob", "ann"]
    assert emails(ask, "sort=asc") == ["ann", "bob"]
    assert emails(ask, "ids=1&ids=99") == emails(ask, "ids=1,99") == ["ann"]
    assert emails(ask, "listIds=4") == ["bob"]
    assert emails(ask, "listIds=4&ids=1") == []
    assert emails(ask, "listIds=3,4") == ["bob", "ann"]
    assert emails(ask, f"createdSince={since}") == ["bob", "ann"]
    later = quote("2999-01-01T00:00:00.000Z")
    assert emails(ask, f"createdSince={later}") == emails(ask, f"modifiedSince={later}") == []
    middle = ask("GET", "/contacts/2").json()["createdAt"]
    assert emails(ask, f"modifiedSince={middle}") == ["bob"]
    upsert(ask, "ann@example.com")
    assert emails(ask, f"modifiedSince={middle}&sort=asc") == ["ann", "bob"]
    assert emails(ask, f"createdSince={middle}") == ["bob"]
    for filtered in ('equals(FIRSTNAME,"Ann, the")', "equals(firstname, Ann, the)"):
        assert emails(ask, f"filter={quote(filtered)}") == ["ann"]
    for filtered in (
        "equals(HAS_GMAIL, true)",
        'equals(SIZE, "1")',
        'equals(SIZE,"Small")',
        'equals(TOPICS,"Dogs, Cats")',
        "equals(TOPICS, Dogs)",
    ):
        assert emails(ask, f"filter={quote(filtered)}") == ["bob"], filtered
    assert emails(ask, f"filter={quote('equals(TOPICS,Cats, Birds)')}") == []


@pytest.mark.parametrize(
    "query",
    [
        "ids=" + ",".join(map(str, range(21))),
        "ids=x",
        "listIds=1&segmentId=2",
        "segmentId=2",
        "filter=" + quote("equals(COLOUR,red)"),
        "filter=" + quote("contains(FIRSTNAME,A)"),
        "modifiedSince=yesterday",
        "sort=upwards",
        "limit=-1",
        "offset=x",
    ],
)
def test_a_filter_that_cannot_be_is_refused(ask: Ask, query: str) -> None:
    assert ask("GET", f"/contacts?{query}").status_code == 400
