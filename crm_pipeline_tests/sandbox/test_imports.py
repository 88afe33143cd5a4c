"""Many contacts at once: imports and their processes, and the deprecated batch."""

from __future__ import annotations

import json
from typing import Any

import pytest
import requests

from crm_pipeline.sandbox.account import Account
from crm_pipeline.sandbox.server import SandboxServer
from crm_pipeline_tests.push.pushing import eventually
from crm_pipeline_tests.sandbox.asking import Ask, asking, refusal, upsert

IMPORT = "/contacts/import"
KEYS = {
    "invalid_emails", "duplicate_contact_id", "duplicate_ext_id", "duplicate_email_id", "duplicate_phone_id",
    "duplicate_whatsapp_id", "duplicate_landline_number_id",
}  # fmt: skip


@pytest.fixture
def quick(account: Account) -> None:
    account.switches.import_seconds = 0.0


def finished(ask: Ask, answer: requests.Response) -> dict[str, Any]:
    """The process that an import began, when it is over."""
    assert answer.status_code == 202
    number = answer.json()["processId"]

    def over() -> dict[str, Any] | None:
        process: dict[str, Any] = ask("GET", f"/processes/{number}").json()
        return process if process["status"] == "completed" else None

    process = eventually(over)
    assert process is not None
    return process


def attributes(account: Account) -> dict[str, Any]:
    return {contact.email: dict(contact.attributes) for contact in account.contacts()}


def test_an_import_answers_at_once_and_works_later(ask: Ask, account: Account) -> None:
    account.switches.import_seconds = 0.6
    answer = ask("POST", IMPORT, {"jsonBody": [{"email": "ann@example.com"}], "listIds": [5]})
    assert (answer.status_code, answer.json()) == (202, {"processId": 1})
    assert account.contacts() == []
    seen = []

    def over() -> bool:
        status = ask("GET", "/processes/1").json()["status"]
        if status not in seen:
            seen.append(status)
        return status == "completed"

    eventually(over)
    assert seen == ["queued", "in_process", "processing", "completed"]
    (contact,) = account.contacts()
    assert (contact.email, contact.lists) == ("ann@example.com", (5,))


@pytest.mark.usefixtures("quick")
def test_a_finished_import_reports_what_was_wrong_by_address(ask: Ask, account: Account) -> None:
    upsert(ask, "bob@example.com", SMS="33612345678")
    rows = [
        {"email": "ann@example.com", "attributes": {"FIRSTNAME": "Ann", "SMS": "33612345678"}},
        {"email": "none"},
        {"email": "lee@example.com"},
        {"email": "LEE@example.com", "attributes": {"FIRSTNAME": "Lee", "COLOUR": "red", "HAS_GMAIL": "x"}},
        {},
    ]
    process = finished(ask, ask("POST", IMPORT, {"jsonBody": rows, "listIds": [5]}))
    assert process["name"] == "IMPORTUSER"
    reports = process["info"]["import"]
    assert set(reports) == KEYS
    assert {name for name, url in reports.items() if url} == {
        "invalid_emails", "duplicate_contact_id", "duplicate_phone_id",
    }  # fmt: skip
    assert requests.get(reports["duplicate_phone_id"], timeout=5).text.split() == ["ann@example.com"]
    assert requests.get(reports["duplicate_contact_id"], timeout=5).text.split() == ["LEE@example.com"]
    assert attributes(account) == {
        "bob@example.com": {"SMS": "33612345678"},
        "ann@example.com": {"FIRSTNAME": "Ann"},
        "lee@example.com": {"FIRSTNAME": "Lee"},
    }


@pytest.mark.usefixtures("quick")
def test_a_file_with_semicolons_is_imported_in_its_attributes_types(ask: Ask, account: Account) -> None:
    ask("POST", "/contacts/attributes/normal/SCORE", {"type": "float"})
    file = "EMAIL;FIRSTNAME;SCORE;HAS_GMAIL\nann@example.com;Ann;1.5;true\nbob@example.com;;x;maybe"
    finished(ask, ask("POST", IMPORT, {"fileBody": file, "newList": {"listName": "New", "folderId": 1}}))
    assert attributes(account) == {
        "ann@example.com": {"FIRSTNAME": "Ann", "SCORE": 1.5, "HAS_GMAIL": True},
        "bob@example.com": {},
    }
    assert account.lists[51] == "New"
    assert all(contact.lists == (51,) for contact in account.contacts())


@pytest.mark.usefixtures("quick")
def test_what_an_import_does_to_known_contacts_is_an_option(ask: Ask, account: Account) -> None:
    upsert(ask, "ann@example.com", FIRSTNAME="Ann", LASTNAME="Lee")
    row = {"email": "ann@example.com", "attributes": {"FIRSTNAME": "", "LASTNAME": "Li"}}
    options = {"jsonBody": [row], "listIds": [5]}
    finished(ask, ask("POST", IMPORT, {**options, "updateExistingContacts": False}))
    assert attributes(account) == {"ann@example.com": {"FIRSTNAME": "Ann", "LASTNAME": "Lee"}}
    finished(ask, ask("POST", IMPORT, options))
    assert attributes(account) == {"ann@example.com": {"FIRSTNAME": "Ann", "LASTNAME": "Li"}}
    finished(ask, ask("POST", IMPORT, {**options, "emptyContactsAttributes": True, "emailBlacklist": True}))
    assert attributes(account) == {"ann@example.com": {"LASTNAME": "Li"}}
    assert ask("GET", "/contacts/1").json()["emailBlacklisted"] is True


@pytest.mark.parametrize(
    "body",
    [
        {"listIds": [5]},
        {"jsonBody": [{"email": "ann@example.com"}]},
        {"jsonBody": [{"email": "ann@example.com"}], "fileBody": "EMAIL\n", "listIds": [5]},
        {"jsonBody": ["ann@example.com"], "listIds": [5]},
        {"jsonBody": [{"email": "ann@example.com"}], "listIds": [99]},
        {"jsonBody": [{"email": "ann@example.com"}], "newList": {"folderId": 1}},
        {"fileBody": "NAME\nAnn", "listIds": [5]},
        {"fileBody": "EMAIL\n" + "x" * 200_000, "listIds": [5]},
        {"fileUrl": "https://example.com/a.csv", "listIds": [5]},
        {"jsonBody": [{"email": "ann@example.com"}], "listIds": [5], "emailBlacklist": "yes"},
    ],
)
def test_an_import_that_cannot_be_is_refused_at_once(ask: Ask, account: Account, body: Any) -> None:
    assert ask("POST", IMPORT, body).status_code == 400
    assert ask("GET", "/processes").json() == {"processes": [], "count": 0}
    assert account.contacts() == []
    assert len(account.lists) == 50


def test_an_import_takes_ten_megabytes(ask: Ask) -> None:
    def padded(size: int) -> bytes:
        body = json.dumps({"listIds": [5], "fileBody": "EMAIL\n", "notifyUrl": ""})[:-2]
        return (body + "x" * (size - len(body) - 2) + '"}').encode()

    assert ask("POST", IMPORT, data=padded(10 * 1024 * 1024)).status_code == 202
    assert refusal(ask("POST", IMPORT, data=padded(10 * 1024 * 1024 + 1)))[:2] == (400, "out_of_range")


@pytest.mark.usefixtures("quick")
def test_processes_are_listed_the_newest_first(ask: Ask) -> None:
    for _ in range(2):
        finished(ask, ask("POST", IMPORT, {"jsonBody": [{"email": "ann@example.com"}], "listIds": [5]}))
    listed = ask("GET", "/processes").json()
    assert ([process["id"] for process in listed["processes"]], listed["count"]) == ([2, 1], 2)
    assert refusal(ask("GET", "/processes/3"))[:2] == (404, "document_not_found")
    assert refusal(ask("GET", "/processes/x"))[:2] == (400, "invalid_parameter")


def test_an_import_that_the_sandboxs_end_cut_off_has_failed(tmp_path: Any) -> None:
    with SandboxServer(state_dir=tmp_path) as server:
        server.account("brevo").switches.import_seconds = 60.0
        ask = asking(server.account("brevo"))
        ask("POST", IMPORT, {"jsonBody": [{"email": "ann@example.com"}], "listIds": [5]})
    with SandboxServer(state_dir=tmp_path) as server:
        assert asking(server.account("brevo"))("GET", "/processes/1").json()["status"] == "failed"
        assert server.account("brevo").contacts() == []


@pytest.mark.parametrize("status", [404, 410])
def test_the_batch_is_gone(ask: Ask, account: Account, status: Any) -> None:
    account.switches.batch = status
    assert ask("POST", "/contacts/batch", {"contacts": [{"email": "ann@example.com"}]}).status_code == status


def test_a_batch_that_is_still_alive_changes_all_or_none(ask: Ask, account: Account) -> None:
    account.switches.batch = "alive"
    for name in ("ann", "bob"):
        upsert(ask, f"{name}@example.com")
    upsert(ask, "lee@example.com", SMS="33612345678")
    change = [
        {"email": "ann@example.com", "attributes": {"FIRSTNAME": "Ann"}, "listIds": [5]},
        {"id": 2, "attributes": {"FIRSTNAME": "Bob"}},
        {"sms": "+33612345678", "attributes": {"FIRSTNAME": "Lee"}},
    ]
    answer = ask("POST", "/contacts/batch", {"contacts": change})
    assert (answer.status_code, answer.content) == (204, b"")
    assert [contact.attributes["FIRSTNAME"] for contact in account.contacts()] == ["Lee", "Bob", "Ann"]
    before = account.contacts()
    lost = [{"id": 1, "ext_id": "a"}, {"id": 98}, {"email": "nobody@example.com"}]
    assert refusal(ask("POST", "/contacts/batch", {"contacts": lost})) == (
        404,
        "document_not_found",
        "No contact found for indexes 1,2",
    )
    taken = [{"id": 1, "ext_id": "a"}, {"id": 2, "ext_id": "a"}]
    assert refusal(ask("POST", "/contacts/batch", {"contacts": taken}))[:2] == (400, "duplicate_parameter")
    for wrong in ([], [{"id": 1, "email": "ann@example.com"}], [{}], ["ann"], [{"id": 1, "listIds": [99]}]):
        assert ask("POST", "/contacts/batch", {"contacts": wrong}).status_code == 400
    assert account.contacts() == before
    assert [address for _, address in account.received][3:6] == ["ann@example.com", "", ""]
