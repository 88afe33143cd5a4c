"""Lists, folders and who is in them."""

from __future__ import annotations

from typing import Any

import pytest

from crm_pipeline.sandbox.account import Account
from crm_pipeline_tests.push.pushing import eventually
from crm_pipeline_tests.sandbox.asking import Ask, refusal, upsert

ADD, REMOVE = "/contacts/lists/5/contacts/add", "/contacts/lists/5/contacts/remove"


@pytest.fixture
def people(ask: Ask) -> list[str]:
    addresses = [f"person-{number}@example.com" for number in range(1, 5)]
    for address in addresses:
        ask("POST", "/contacts", {"email": address, "ext_id": address[:8]})
    return addresses


def members(ask: Ask) -> list[int]:
    answer = ask("GET", "/contacts/lists/5/contacts?sort=asc").json()
    assert answer["count"] == len(answer["contacts"])
    return [contact["id"] for contact in answer["contacts"]]


@pytest.mark.parametrize(
    ("kind", "given", "unknown"),
    [
        ("emails", ["Person-1@example.com", "person-3@example.com"], "nobody@example.com"),
        ("ids", [1, 3], 99),
        ("extIds", ["person-1", "person-3"], "nobody"),
    ],
)
def test_contacts_are_added_and_removed_with_a_word_about_each(
    ask: Ask, people: list[str], kind: str, given: list[Any], unknown: Any
) -> None:
    added = ask("POST", ADD, {kind: [*given, unknown]})
    assert (added.status_code, added.json()) == (201, {"contacts": {"success": given, "failure": [unknown]}})
    assert members(ask) == [1, 3]
    removed = ask("POST", REMOVE, {kind: [given[0], unknown]})
    assert removed.json() == {"contacts": {"success": given[:1], "failure": [unknown]}}
    assert members(ask) == [3]


@pytest.mark.parametrize("path", [ADD, REMOVE])
def test_when_nobody_can_be_moved_the_whole_call_is_refused(
    ask: Ask, account: Account, people: list[str], path: str
) -> None:
    ask("POST", ADD, {"ids": [1]})
    nobody = {"ids": [1 if path == ADD else 2, 99]}
    message = "Contact already in list and/or does not exist"
    assert refusal(ask("POST", path, nobody)) == (400, "invalid_parameter", message)
    account.switches.failed_list_change = 404
    assert refusal(ask("POST", path, nobody)) == (404, "document_not_found", message)


@pytest.mark.parametrize(
    "body", [{}, {"ids": [1], "emails": ["person-1@example.com"]}, {"ids": 1}, {"ids": []}, {"ids": list(range(151))}]
)
@pytest.mark.parametrize("path", [ADD, REMOVE])
def test_a_call_takes_one_kind_of_identifier_and_150_of_them(ask: Ask, people: list[str], path: str, body: Any) -> None:
    assert ask("POST", path, body).status_code == 400
    assert members(ask) == []


def test_150_at_once_are_taken(ask: Ask, people: list[str]) -> None:
    assert ask("POST", ADD, {"ids": list(range(1, 151))}).json()["contacts"]["success"] == [1, 2, 3, 4]


def test_all_contacts_of_a_list_are_removed_later(ask: Ask, account: Account, people: list[str]) -> None:
    account.switches.import_seconds = 0.2
    ask("POST", ADD, {"ids": [1, 2]})
    answer = ask("POST", REMOVE, {"all": True}).json()["contacts"]
    assert answer["total"] == 2
    assert members(ask) == [1, 2]
    eventually(lambda: ask("GET", f"/processes/{answer['processId']}").json()["status"] == "completed")
    assert members(ask) == []


def test_what_a_list_call_writes_is_a_push_of_those_it_names(ask: Ask, account: Account, people: list[str]) -> None:
    account.faults.answer = lambda address: (503, "") if address == people[1] else None
    assert ask("POST", ADD, {"emails": people[:2]}).status_code == 503
    assert [address for _, address in account.received][-2:] == people[:2]
    assert members(ask) == []


def test_folders_hold_lists_and_take_them_along(ask: Ask, people: list[str]) -> None:
    assert ask("POST", "/contacts/folders", {"name": "Trial"}).json() == {"id": 2}
    number = ask("POST", "/contacts/lists", {"name": "Guests", "folderId": 2}).json()["id"]
    upsert(ask, people[0])
    ask("PUT", "/contacts/1", {"listIds": [number, 5]})
    assert [one["id"] for one in ask("GET", "/contacts/folders/2/lists").json()["lists"]] == [number]
    assert ask("PUT", "/contacts/folders/2", {"name": "Renamed"}).status_code == 204
    assert ask("GET", "/contacts/folders/2").json()["name"] == "Renamed"
    folders = ask("GET", "/contacts/folders").json()
    assert ([one["id"] for one in folders["folders"]], folders["count"]) == ([2, 1], 2)
    assert ask("DELETE", "/contacts/folders/2").status_code == 204
    assert refusal(ask("GET", "/contacts/folders/2"))[:2] == (404, "document_not_found")
    assert refusal(ask("GET", f"/contacts/lists/{number}"))[:2] == (404, "document_not_found")
    assert ask("GET", "/contacts/1").json()["listIds"] == [5], "contacts stay, without the list"
    assert ask("POST", "/contacts/lists", {"name": "Next", "folderId": 1}).json()["id"] == number + 1
    assert ask("POST", "/contacts/folders", {"name": "Next"}).json() == {"id": 3}


def test_a_list_is_renamed_moved_and_deleted(ask: Ask, people: list[str]) -> None:
    ask("POST", "/contacts/folders", {"name": "Trial"})
    assert ask("PUT", "/contacts/lists/5", {"name": "Five"}).status_code == 204
    assert ask("PUT", "/contacts/lists/5", {"folderId": 2}).status_code == 204
    ask("POST", ADD, {"ids": [1]})
    kept = ask("GET", "/contacts/lists/5").json()
    assert (kept["name"], kept["folderId"], kept["uniqueSubscribers"]) == ("Five", 2, 1)
    assert (kept["totalSubscribers"], kept["totalBlacklisted"]) == (0, 0)
    assert ask("DELETE", "/contacts/lists/5").status_code == 204
    assert ask("GET", "/contacts/1").json()["listIds"] == []
    assert refusal(ask("PUT", "/contacts/1", {"listIds": [5]}))[:2] == (400, "invalid_parameter")


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/contacts/lists", {"folderId": 1}, 400),
        ("POST", "/contacts/lists", {"name": "A"}, 400),
        ("POST", "/contacts/lists", {"name": "A", "folderId": 9}, 404),
        ("PUT", "/contacts/lists/5", {"name": "A", "folderId": 1}, 400),
        ("PUT", "/contacts/lists/5", {}, 400),
        ("PUT", "/contacts/lists/5", {"name": 1}, 400),
        ("PUT", "/contacts/lists/5", {"folderId": 9}, 404),
        ("DELETE", "/contacts/lists/99", None, 404),
        ("GET", "/contacts/lists/x", None, 400),
        ("GET", "/contacts/lists/99/contacts", None, 404),
        ("GET", "/contacts/lists/5/contacts?limit=501", None, 400),
        ("GET", "/contacts/lists?limit=51", None, 400),
        ("GET", "/contacts/folders/99/lists", None, 404),
        ("POST", "/contacts/folders", {}, 400),
        ("PUT", "/contacts/folders/99", {"name": "A"}, 404),
        ("DELETE", "/contacts/folders/99", None, 404),
    ],
)
def test_what_cannot_be_done_to_lists_and_folders_is_refused(
    ask: Ask, method: str, path: str, body: Any, status: int
) -> None:
    assert ask(method, path, body).status_code == status


def test_the_contacts_of_a_list_are_filtered_by_time(ask: Ask, people: list[str]) -> None:
    ask("POST", ADD, {"ids": [1, 2]})
    last = ask("GET", "/contacts/2").json()["modifiedAt"]
    ask("PUT", "/contacts/1", {"attributes": {"FIRSTNAME": "A"}})
    ask("POST", ADD, {"ids": [3]})
    found = ask("GET", f"/contacts/lists/5/contacts?modifiedSince={last}&limit=500").json()
    assert {contact["id"] for contact in found["contacts"]} >= {1, 3}
    assert ask("GET", "/contacts/lists/5/contacts?modifiedSince=2999-01-01T00:00:00Z").json()["count"] == 0


def test_there_are_no_segments(ask: Ask) -> None:
    assert ask("GET", "/contacts/segments").json() == {"segments": [], "count": 0}
