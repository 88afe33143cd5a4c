"""The server under the sandboxes: its page, its faults, its memory and its end."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import requests

from crm_pipeline.errors import UsageError
from crm_pipeline.sandbox.account import Account
from crm_pipeline.sandbox.server import SandboxServer
from crm_pipeline_tests.sandbox.asking import asking
from crm_pipeline_tests.support.sandbox import KEY
from crm_pipeline_tests.support.waiting import wait_for


def push(account: Account, email: str, **attributes: Any) -> requests.Response:
    body = {"email": email, "updateEnabled": True, "attributes": attributes, "listIds": [30]}
    return requests.post(
        f"{account.url}/contacts", json=body, headers={"api-key": account.api_key or "any"}, timeout=10
    )


def test_contacts_survive_a_restart(tmp_path: Path) -> None:
    with SandboxServer(state_dir=tmp_path) as first:
        push(first.account("brevo"), "ann@example.com", FIRSTNAME="Ann")
        before = first.account("brevo").contacts()
    with SandboxServer(state_dir=tmp_path) as second:
        assert second.account("brevo").contacts() == before
        assert push(second.account("brevo"), "ann@example.com").status_code == 204
        assert push(second.account("brevo"), "bob@example.com").json() == {"id": 2}


def test_all_that_an_account_is_made_of_survives_a_restart(tmp_path: Path) -> None:
    with SandboxServer(api_key=KEY, state_dir=tmp_path) as first:
        ask = asking(first.account("brevo"))
        ask("POST", "/contacts/folders", {"name": "Trial"})
        ask("POST", "/contacts/lists", {"name": "Guests", "folderId": 2})
        ask("DELETE", "/contacts/lists/51")
        ask("POST", "/contacts/lists", {"name": "Friends", "folderId": 2})
        ask("POST", "/contacts/attributes/normal/SCORE", {"type": "float"})
        ask("POST", "/contacts", {"email": "ann@example.com", "ext_id": "a", "attributes": {"SCORE": 1.5}})
        first.account("brevo").switches.batch = "alive"
        before = ask("GET", "/contacts/lists/52").json()
    with SandboxServer(api_key=KEY, state_dir=tmp_path) as second:
        ask = asking(second.account("brevo"))
        assert ask("GET", "/contacts/lists/52").json() == before
        assert ask("GET", "/contacts/folders/2").json()["name"] == "Trial"
        assert ask("GET", "/contacts/a?identifierType=ext_id").json()["attributes"] == {"SCORE": 1.5}
        assert second.account("brevo").switches.batch == "alive"
        assert ask("DELETE", "/contacts/lists/52").status_code == 204
        assert ask("POST", "/contacts/lists", {"name": "Next", "folderId": 2}).json() == {"id": 53}, "no number twice"


def test_a_file_of_the_first_version_is_understood(tmp_path: Path) -> None:
    contact = {
        "id": 7, "email": "ann@example.com", "attributes": {"FIRSTNAME": "Ann"}, "lists": [30],
        "identifiers": {"email": "ann@example.com"}, "extra": {"emailBlacklisted": True},
        "created_at": "2026-11-01T10:00:00+00:00", "modified_at": "2026-11-02T10:00:00+00:00",
    }  # fmt: skip
    fields = {"FIRSTNAME": {"name": "FIRSTNAME", "category": "normal", "type": "text"}}
    account = {"last_id": 9, "lists": [[30, "List 30"]], "fields": fields, "contacts": [contact]}
    kept = {"format": "crm-pipeline sandbox, 1", "accounts": {"brevo": account}}
    (tmp_path / "sandbox.json").write_text(json.dumps(kept))
    with SandboxServer(api_key=KEY, state_dir=tmp_path) as server:
        ask = asking(server.account("brevo"))
        shown = ask("GET", "/contacts/ann%40example.com").json()
        assert (shown["id"], shown["emailBlacklisted"], shown["listIds"]) == (7, True, [30])
        assert shown["modifiedAt"] == "2026-11-02T10:00:00.000Z"
        assert push(server.account("brevo"), "bob@example.com").json() == {"id": 10}
        assert ask("GET", "/contacts/lists/30").json()["folderId"] == 1


def test_a_switch_that_this_version_lacks_makes_the_file_unreadable(tmp_path: Path) -> None:
    with SandboxServer(state_dir=tmp_path) as server:
        push(server.account("brevo"), "ann@example.com")
    file = tmp_path / "sandbox.json"
    content = file.read_text().replace('"batch":404', '"batch":405')
    file.write_text(content)
    with pytest.raises(UsageError, match="move it away to begin anew"), SandboxServer(state_dir=tmp_path):
        pass
    assert file.read_text() == content


def test_contacts_are_kept_while_it_runs_so_that_a_kill_loses_a_second_at_most(tmp_path: Path) -> None:
    with SandboxServer(state_dir=tmp_path) as server:
        push(server.account("brevo"), "ann@example.com")
        file = tmp_path / "sandbox.json"
        wait_for(lambda: file.exists() and "ann@example.com" in file.read_text(), 10)


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", '{"format": "another"}', '{"format": "crm-pipeline sandbox, 1", "accounts": {"brevo": {}}}'],
)
def test_a_file_that_is_not_a_sandboxs_is_left_as_it_is(tmp_path: Path, content: str) -> None:
    (tmp_path / "sandbox.json").write_text(content)
    with pytest.raises(UsageError, match="move it away to begin anew"), SandboxServer(state_dir=tmp_path):
        pass
    assert (tmp_path / "sandbox.json").read_text() == content


def test_a_start_that_failed_leaves_folder_and_port_to_the_next(tmp_path: Path) -> None:
    file = tmp_path / "sandbox.json"
    file.write_text("{")
    with pytest.raises(UsageError), SandboxServer(state_dir=tmp_path):
        pass
    assert list(tmp_path.iterdir()) == [file]
    file.unlink()
    with SandboxServer(state_dir=tmp_path) as server:
        assert push(server.account("brevo"), "ann@example.com").status_code == 201


def test_a_folder_is_for_one_sandbox_at_a_time(tmp_path: Path) -> None:
    with (
        SandboxServer(state_dir=tmp_path),
        pytest.raises(UsageError, match="Another sandbox keeps its state"),
        SandboxServer(state_dir=tmp_path),
    ):
        pass


def test_a_port_that_is_taken_is_named() -> None:
    with SandboxServer() as first:
        port = int(first.url.rpartition(":")[2])
        with pytest.raises(UsageError, match=f"cannot listen on 127.0.0.1:{port}"), SandboxServer(port=port):
            pass


def test_without_a_configured_key_any_key_is_accepted_but_one_is_asked_for() -> None:
    with SandboxServer() as server:
        url = server.account("brevo").url + "/account"
        assert requests.get(url, headers={"api-key": "any"}, timeout=5).status_code == 200
        assert requests.get(url, timeout=5).status_code == 401


def test_an_answer_is_held_after_its_contact_was_stored(account: Account) -> None:
    with account.faults.hold(lambda address: address == "ann@example.com") as hold:
        answers: list[requests.Response] = []
        thread = threading.Thread(target=lambda: answers.append(push(account, "ann@example.com")))
        thread.start()
        hold.wait_for(1)
        assert account.contact("ann@example.com") is not None
        assert answers == []
        assert push(account, "bob@example.com").status_code == 201, "others are answered"
    thread.join()
    assert answers[0].status_code == 201


def test_an_answer_is_held_before_its_contact_is_stored(account: Account) -> None:
    with account.faults.hold(before_storing=True) as hold:
        thread = threading.Thread(target=push, args=(account, "ann@example.com"))
        thread.start()
        hold.wait_for(1)
        assert account.contact("ann@example.com") is None
    thread.join()
    assert account.contact("ann@example.com") is not None


def test_chosen_pushes_are_answered_otherwise_and_stored_nowhere(account: Account) -> None:
    account.faults.answer = lambda address: (503, "<html>down</html>") if address.startswith("ann") else None
    answer = push(account, "ann@example.com")
    assert (answer.status_code, answer.text) == (503, "<html>down</html>")
    assert push(account, "bob@example.com").status_code == 201
    assert [contact.email for contact in account.contacts()] == ["bob@example.com"]
    assert [address for _, address in account.received] == ["ann@example.com", "bob@example.com"]


def test_it_stops_at_once_with_held_answers_and_open_connections() -> None:
    server = SandboxServer()
    server.start()
    account = server.account("brevo")
    with requests.Session() as session:
        session.get(server.url, timeout=5)
        hold = account.faults.hold()
        thread = threading.Thread(target=push, args=(account, "ann@example.com"))
        thread.start()
        hold.wait_for(1)
        started = time.monotonic()
        server.stop()
        assert time.monotonic() - started < 2
        thread.join()


def test_text_that_cannot_be_written_as_utf_8_breaks_neither_page_nor_memory(tmp_path: Path) -> None:
    with SandboxServer(state_dir=tmp_path) as server:
        account = server.account("brevo")
        push(account, "ann@example.com", FIRSTNAME="half of a pair: \ud83d")
        (shown,) = requests.get(server.url + "/contacts.json", timeout=5).json()["accounts"]
        assert shown["shown"][0]["attributes"]["FIRSTNAME"] == "half of a pair: \ud83d"
        before = account.contacts()
    with SandboxServer(state_dir=tmp_path) as server:
        assert server.account("brevo").contacts() == before
