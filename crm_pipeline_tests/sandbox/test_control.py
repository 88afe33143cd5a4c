"""What goes wrong is changed over HTTP while it runs: wholly, or not at all."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import requests

from crm_pipeline.sandbox.account import Account
from crm_pipeline_tests.sandbox.asking import Ask, refusal, upsert
from crm_pipeline_tests.support.sandbox import KEY


@pytest.fixture
def url(account: Account) -> str:
    return account.url.removesuffix("/v3") + "/control/brevo"


def changed(url: str, **change: Any) -> Any:
    answer = requests.post(url, json=change, timeout=10)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_latency_is_set_and_taken_away(ask: Ask, url: str) -> None:
    assert changed(url, latency_seconds=0.3)["latency_seconds"] == 0.3
    assert upsert(ask, "ann@example.com").elapsed.total_seconds() >= 0.3
    changed(url, latency_seconds=0)
    assert upsert(ask, "ann@example.com").elapsed.total_seconds() < 0.3


@pytest.mark.parametrize(
    ("share", "status"), [("throttled", 429), ("failed", 500), ("invalid", 200), ("truncated", None), ("reset", None)]
)
def test_each_mishap_can_be_asked_for(ask: Ask, url: str, share: str, status: int | None) -> None:
    upsert(ask, "ann@example.com")
    assert changed(url, shares={share: 1})["shares"][share] == 1
    if status is None:
        with pytest.raises(requests.exceptions.RequestException):
            upsert(ask, "ann@example.com")
    else:
        assert upsert(ask, "ann@example.com").status_code == status
    changed(url, shares={share: 0})
    assert upsert(ask, "ann@example.com").status_code == 204


def test_shares_that_are_not_named_stay(url: str, account: Account) -> None:
    changed(url, shares={"throttled": 0.1})
    changed(url, shares={"unanswered": 0.2})
    assert (account.faults.shares.throttled, account.faults.shares.unanswered) == (0.1, 0.2)


def test_the_quota_changes_while_it_runs(ask: Ask, url: str, account: Account) -> None:
    quota = changed(url, quota={"per_second": 1, "used_by_others": 0.5})["quota"]
    assert quota == {"per_second": 1, "per_hour": None, "elsewhere_per_hour": None, "used_by_others": 0.5}
    assert [upsert(ask, "ann@example.com").status_code for _ in range(2)] == [201, 429]
    assert changed(url, quota={"per_second": None})["counts"]["refused_by_quota"] == 1
    assert upsert(ask, "ann@example.com").status_code == 204


def test_the_key_is_changed_and_the_ip_address_blocked(ask: Ask, url: str) -> None:
    changed(url, api_key="another")
    assert refusal(ask("GET", "/contacts"))[2] == "Key not found"
    changed(url, api_key=KEY, unknown_ip=True)
    assert "unrecognised IP address" in refusal(ask("GET", "/contacts"))[2]
    changed(url, api_key=None, unknown_ip=False)
    assert ask("GET", "/contacts", key="any").status_code == 200


def test_chosen_contacts_are_answered_otherwise(ask: Ask, url: str) -> None:
    answer = {"status": 400, "body": {"message": "no"}, "headers": {"X-Why": "so"}}
    changed(url, answers={"Ann@example.com": answer})
    refused = upsert(ask, "ann@example.com")
    assert (refused.status_code, refused.json(), refused.headers["x-why"]) == (400, {"message": "no"}, "so")
    assert upsert(ask, "bob@example.com").status_code == 201
    changed(url, answers={"*": {"status": 503, "body": "<html>"}})
    assert [upsert(ask, f"{name}@example.com").status_code for name in ("ann", "bob")] == [503, 503]
    changed(url, answers={})
    assert upsert(ask, "ann@example.com").status_code == 201


@pytest.mark.parametrize("before", [True, False])
def test_an_answer_is_held_and_released_by_address(ask: Ask, url: str, account: Account, before: bool) -> None:
    changed(url, **{"hold_before_storing" if before else "hold": ["ann@example.com"]})
    answers: list[int] = []
    thread = threading.Thread(target=lambda: answers.append(upsert(ask, "ann@example.com").status_code))
    thread.start()
    account.faults.holding[0].wait_for(1)
    assert requests.get(url, timeout=5).json()["held"] == {"ann@example.com": ["ann@example.com"]}
    assert (account.contact("ann@example.com") is None) is before
    assert upsert(ask, "bob@example.com").status_code == 201
    changed(url, release=["nobody@example.com"])
    assert answers == []
    assert changed(url, release=["*"])["held"] == {}
    thread.join()
    assert answers == [201]


def test_switches_are_set_by_their_names(ask: Ask, url: str, account: Account) -> None:
    assert changed(url, switches={"batch": 410, "empty_clears": True})["switches"]["batch"] == 410
    assert ask("POST", "/contacts/batch", {}).status_code == 410
    assert account.switches.empty_clears is True


def test_a_reset_ends_all_that_goes_wrong_and_keeps_contacts(ask: Ask, url: str, account: Account) -> None:
    before = requests.get(url, timeout=5).json()
    upsert(ask, "ann@example.com")
    changed(
        url,
        latency_seconds=0.1,
        shares={"failed": 0.5},
        quota={"per_second": 0, "used_by_others": 5},
        api_key="another",
        unknown_ip=True,
        answers={"*": {"status": 500}},
        hold=["*"],
        switches={"batch": "alive", "retry_after": "present"},
    )
    after = changed(url, reset=True)
    assert {**after, "counts": before["counts"]} == before
    assert after["counts"]["contacts"] == 1
    assert upsert(ask, "ann@example.com").status_code == 204


def test_an_emptied_account_is_as_new(ask: Ask, url: str, account: Account) -> None:
    upsert(ask, "ann@example.com")
    ask("POST", "/contacts/folders", {"name": "More"})
    ask("POST", "/contacts/attributes/normal/MORE", {"type": "text"})
    ask("DELETE", "/contacts/lists/5")
    assert changed(url, empty=True)["counts"] == {"contacts": 0, "pushes_received": 0, "refused_by_quota": 0}
    assert (len(account.lists), "MORE" in account.fields, account.received) == (50, False, [])
    assert ask("GET", "/contacts/folders").json()["count"] == 1
    assert upsert(ask, "bob@example.com").json() == {"id": 1}


def test_a_reset_comes_before_what_else_a_request_says(url: str, account: Account) -> None:
    changed(url, shares={"failed": 0.5}, switches={"batch": 410})
    changed(url, reset=True, shares={"throttled": 0.6}, switches={"retry_after": "present"})
    assert (account.faults.shares.throttled, account.faults.shares.failed) == (0.6, 0.0)
    assert (account.switches.batch, account.switches.retry_after) == (404, "present")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"latency": 1}, "latency: Extra inputs are not permitted"),
        ({"latency_seconds": -1}, "latency_seconds: Input should be greater than or equal to 0"),
        ({"latency_seconds": "soon"}, "latency_seconds"),
        ({"shares": {"throttled": 1.5}}, "a share is a number from 0 to 1"),
        ({"shares": {"throttled": 0.6, "failed": 0.6}}, "all shares together are more than 1"),
        ({"shares": {"late": 0.1}}, "shares.late"),
        ({"quota": {"per_second": 1.5}}, "quota.per_second"),
        ({"quota": {"per_minute": 1}}, "quota.per_minute"),
        ({"quota": {"used_by_others": -1}}, "quota.used_by_others"),
        ({"switches": {"batch": 405}}, "switches.batch"),
        ({"switches": {"colour": "red"}}, "switches.colour"),
        ({"answers": {"ann@example.com": {"status": 99}}}, "answers.ann@example.com.status"),
        ({"api_key": ""}, "api_key"),
        ({"hold": "ann@example.com"}, "hold"),
        ({"unknown_ip": "yes"}, "unknown_ip"),
        ({"reset": False}, "reset"),
        ([], "body"),
        (None, "body"),
    ],
)
def test_what_cannot_be_is_refused_with_a_sentence_and_nothing_is_changed(
    url: str, ask: Ask, change: Any, said: str
) -> None:
    upsert(ask, "ann@example.com")
    before = requests.get(url, timeout=5).json()
    if isinstance(change, dict):
        change = {"latency_seconds": 0.5, "quota": {"per_second": 5}, "empty": True} | change
    answer = requests.post(url, json=change, timeout=5)
    if change is None:
        answer = requests.post(url, data=b"null", timeout=5)
    assert answer.status_code == 400
    assert said in answer.json()["error"]
    assert answer.json()["error"].endswith("nothing was changed.")
    assert requests.get(url, timeout=5).json() == before


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 100_000])
def test_a_body_that_is_no_json_is_refused(url: str, body: bytes) -> None:
    answer = requests.post(url, data=body, timeout=5)
    assert (answer.status_code, answer.json()["error"]) == (400, "The body is no JSON; nothing was changed.")


def test_an_unknown_crm_is_named_with_those_that_there_are(url: str) -> None:
    answer = requests.get(url.replace("brevo", "nobody"), timeout=5)
    assert (answer.status_code, answer.json()["error"]) == (
        404,
        "There is no sandbox of that CRM; there are: brevo.",
    )


def test_a_page_of_another_site_changes_nothing(url: str, account: Account) -> None:
    answer = requests.post(url, json={"unknown_ip": True}, headers={"Origin": "https://example.com"}, timeout=5)
    assert answer.status_code == 403
    assert account.faults.unknown_ip is False
    own = url.partition("/control")[0]
    assert requests.post(url, json={"unknown_ip": True}, headers={"Origin": own}, timeout=5).status_code == 200
