"""The page for people, and what it asks for."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import requests
from playwright.sync_api import Page, expect

from crm_pipeline.sandbox.account import Account
from crm_pipeline.sandbox.mishaps import Shares
from crm_pipeline_tests.push.pushing import eventually
from crm_pipeline_tests.sandbox.asking import Ask, upsert
from crm_pipeline_tests.sandbox.test_server import push


def shown(account: Account, what: str, **query: str) -> Any:
    return requests.get(f"{account.url.removesuffix('/v3')}/{what}.json", params=query, timeout=5).json()


def test_the_page_searches_all_contacts_and_shows_the_last_hundred(account: Account) -> None:
    for number in range(120):
        push(account, f"person-{number}@example.com", FIRSTNAME=f"Person{number}")
    url = account.url.removesuffix("/v3") + "/contacts.json"
    (every,) = requests.get(url, timeout=5).json()["accounts"]
    assert (every["contacts"], every["found"], len(every["shown"])) == (120, 120, 100)
    assert every["shown"][0]["email"] == "person-119@example.com"
    (found,) = requests.get(url, params={"q": "PERSON7 list 30"}, timeout=5).json()["accounts"]
    assert [contact["attributes"]["FIRSTNAME"] for contact in found["shown"]] == [
        f"Person{n}" for n in (*range(79, 69, -1), 7)
    ]


def test_each_call_is_shown_with_its_answer_the_last_first(ask: Ask, account: Account) -> None:
    upsert(ask, "ann+1@example.com")
    ask("GET", "/contacts/ann%2B1%40example.com?identifierType=email_id")
    account.faults.shares = Shares(reset=1.0)
    with pytest.raises(requests.ConnectionError):
        upsert(ask, "bob@example.com")
    (activity,) = shown(account, "activity")["accounts"]
    calls = [(one["method"], one["path"], one["whom"], one["status"], one["note"]) for one in activity["requests"]]
    assert calls == [
        ("POST", "/v3/contacts", "bob@example.com", 0, "reset"),
        ("GET", "/v3/contacts/ann+1@example.com?identifierType=email_id", "", 200, ""),
        ("POST", "/v3/contacts", "ann+1@example.com", 201, ""),
    ]
    assert all(one["ms"] > 0 for one in activity["requests"])


def test_answers_are_counted_by_the_second(ask: Ask, account: Account) -> None:
    upsert(ask, "ann@example.com")
    upsert(ask, "none")
    account.quota.per_second = 0
    for _ in range(3):
        upsert(ask, "ann@example.com")
    (activity,) = shown(account, "activity")["accounts"]
    counts = [sum(second[index] for second in activity["seconds"]) for index in (1, 2, 3)]
    assert counts == [5, 3, 1]
    assert (activity["refused"], activity["limits"]) == (3, ["0 a second"])
    assert all(0 <= second[0] <= 10 for second in activity["seconds"])


def test_a_contacts_history_has_each_push_and_its_answer(ask: Ask, account: Account) -> None:
    upsert(ask, "ann@example.com")
    upsert(ask, "bob@example.com")
    account.switches.batch = "alive"
    ask("POST", "/contacts/batch", {"contacts": [{"email": "bob@example.com"}, {"email": "Ann@example.com"}]})
    ask("PUT", "/contacts/ann%40example.com", {"listIds": [99]})
    pushes = shown(account, "history", crm="brevo", address="ANN@example.com")["pushes"]
    assert [(one["method"], one["status"]) for one in pushes] == [("PUT", 400), ("POST", 204), ("POST", 201)]
    assert [one["answer"] for one in pushes][1:] == ["", '{"id":1}']
    assert "list ids" in pushes[0]["answer"]
    assert shown(account, "history", crm="nobody", address="ann@example.com") == {"pushes": []}


def test_what_goes_wrong_on_purpose_is_said(ask: Ask, account: Account) -> None:
    assert shown(account, "activity")["accounts"][0]["troubles"] == []
    account.faults.latency_seconds, account.faults.unknown_ip = 0.01, True
    account.faults.shares = Shares(throttled=0.125)
    account.faults.answer = lambda _: None
    account.quota.use_by_others(2.5)
    account.switches.batch = 410
    with account.faults.hold() as hold:
        thread = threading.Thread(target=upsert, args=(ask, "ann@example.com"))
        thread.start()
        hold.wait_for(1)
        assert shown(account, "activity")["accounts"][0]["troubles"] == [
            "each answer takes 0.01 s",
            "12.5% get 429",
            "this machine's IP address is refused",
            "chosen contacts are answered otherwise",
            "answers are held (1 so far: ann@example.com)",
            "another tool makes 2.5 requests a second",
            "batch: 410",
        ]
    thread.join()


@pytest.mark.browser
def test_what_stands_in_a_contact_is_shown_as_text_and_never_run(account: Account, page: Page) -> None:
    hostile = "<img src=x onerror=\"document.title='run'\"><script>document.title='run'</script>"
    push(account, "ann@example.com", FIRSTNAME=hostile)
    page.goto(account.url.removesuffix("/v3"))
    expect(page.get_by_text(hostile)).to_be_visible()
    assert page.title() == "Sandbox"
    page.get_by_role("searchbox").fill("nobody")
    expect(page.get_by_text("No contact matches.")).to_be_visible()


@pytest.mark.browser
def test_a_person_sees_calls_ends_what_goes_wrong_and_opens_a_history(ask: Ask, account: Account, page: Page) -> None:
    errors: list[str] = []
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    upsert(ask, "ann@example.com", FIRSTNAME="Ann")
    account.faults.shares = Shares(throttled=1.0)
    upsert(ask, "ann@example.com")
    page.goto(account.url.removesuffix("/v3"))
    expect(page.get_by_text("100% get 429")).to_be_visible()
    expect(page.get_by_text("1 well", exact=True)).to_be_visible()
    expect(page.get_by_text("1 got 429", exact=True)).to_be_visible()
    assert page.locator("svg rect").count() >= 1
    page.get_by_role("button", name="End all of it").click()
    eventually(lambda: account.faults.shares == Shares())
    expect(page.get_by_text("100% get 429")).not_to_be_visible()
    page.get_by_role("row").filter(has_text="ann@example.com").click()
    expect(page.locator(".history")).to_contain_text('{"id":1}')
    expect(page.locator(".history")).to_contain_text("429 throttled")
    upsert(ask, "ann@example.com", LASTNAME="Lee")
    expect(page.locator(".history")).to_contain_text("204")
    expect(page.locator(".contact")).to_contain_text("Lee")
    assert errors == []
