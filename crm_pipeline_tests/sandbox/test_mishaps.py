"""What goes wrong with a share of the requests."""

from __future__ import annotations

import threading
import time
from collections import Counter

import pytest
import requests

from crm_pipeline.sandbox.account import Account
from crm_pipeline.sandbox.mishaps import Mishaps, Shares
from crm_pipeline.sandbox.server import SandboxServer
from crm_pipeline_tests.push.pushing import eventually
from crm_pipeline_tests.sandbox.asking import Ask, asking, refusal, upsert


def test_each_mishap_meets_its_share_evenly_and_always_alike() -> None:
    shares = Shares(throttled=0.1, failed=0.05, unanswered=0.25)
    order = [Mishaps(shares).next for _ in range(2)]
    first, second = ([draw() for _ in range(1000)] for draw in order)
    assert first == second
    wanted = {"throttled": 100, "failed": 50, "unanswered": 250}
    assert all(abs(Counter(first)[name] - count) <= 1 for name, count in wanted.items())
    for start in range(0, 1000, 100):
        counts = Counter(first[start : start + 100])
        assert abs(counts["throttled"] - 10) <= 1
        assert abs(counts["unanswered"] - 25) <= 1


@pytest.mark.parametrize("shares", [{"throttled": 1.1}, {"failed": -0.1}, {"failed": 0.6, "reset": 0.5}])
def test_shares_that_cannot_be_are_refused(shares: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="share"):
        Shares(**shares)


def test_a_throttled_share_gets_429_and_stores_nothing(ask: Ask, account: Account) -> None:
    account.faults.shares = Shares(throttled=0.25)
    answers = [upsert(ask, f"person-{number}@example.com") for number in range(8)]
    assert [answer.status_code for answer in answers] == [201, 201, 201, 429] * 2
    assert answers[3].headers["x-sib-ratelimit-remaining"] == "0"
    assert len(account.contacts()) == 6
    assert account.quota.refused == 0, "the quota did not refuse them"


def test_reads_get_their_share_apart_from_pushes(ask: Ask, account: Account) -> None:
    account.faults.shares = Shares(throttled=0.5)
    pushes, reads = [], []
    for number in range(4):
        pushes.append(upsert(ask, f"person-{number}@example.com").status_code)
        reads.append(ask("GET", "/contacts").status_code)
    assert (pushes, reads) == ([201, 429] * 2, [200, 429] * 2)


def test_a_failed_share_gets_each_5xx_in_turn(ask: Ask, account: Account) -> None:
    account.faults.shares = Shares(failed=1.0)
    assert [upsert(ask, "ann@example.com").status_code for _ in range(5)] == [500, 502, 503, 504, 500]
    account.switches.server_error_body = "html"
    assert upsert(ask, "ann@example.com").text.startswith("<html>")
    account.switches.server_error_body = "empty"
    assert upsert(ask, "ann@example.com").content == b""
    assert account.contacts() == []


def test_an_unanswered_push_is_stored_and_its_client_waits_in_vain(account: Account) -> None:
    account.faults.shares = Shares(unanswered=1.0)
    with pytest.raises(requests.exceptions.ReadTimeout):
        requests.post(
            account.url + "/contacts",
            json={"email": "ann@example.com"},
            headers={"api-key": account.api_key or "any"},
            timeout=0.3,
        )
    assert account.contact("ann@example.com") is not None


def test_a_reset_connection_answers_nothing_and_stores_nothing(ask: Ask, account: Account) -> None:
    account.faults.shares = Shares(reset=1.0)
    with pytest.raises(requests.exceptions.ConnectionError, match="reset by peer"):
        upsert(ask, "ann@example.com")
    assert account.contacts() == []
    account.faults.clear()
    assert upsert(ask, "ann@example.com").status_code == 201


@pytest.mark.parametrize("times", [1, 2])
def test_a_truncated_answer_breaks_off_after_the_contact_was_stored(ask: Ask, account: Account, times: int) -> None:
    for _ in range(times - 1):
        upsert(ask, "ann@example.com")  # the truncated answer is a 204 then, which has no body
    account.faults.shares = Shares(truncated=1.0)
    with pytest.raises((requests.exceptions.ChunkedEncodingError, requests.exceptions.ConnectionError)):
        upsert(ask, "ann@example.com")
    assert account.contact("ann@example.com") is not None


def test_an_invalid_answer_is_a_page_behind_a_success(ask: Ask, account: Account) -> None:
    account.faults.shares = Shares(invalid=1.0)
    answers = [upsert(ask, "ann@example.com") for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 200]
    assert all("<html>" in answer.text for answer in answers)
    assert account.contact("ann@example.com") is not None


def test_an_unknown_ip_address_is_named_and_told_where_to_be_added(ask: Ask, account: Account) -> None:
    account.faults.unknown_ip = True
    status, code, message = refusal(upsert(ask, "ann@example.com"))
    assert (status, code) == (401, "unauthorized")
    assert "unrecognised IP address 127.0.0.1" in message
    assert "https://app.brevo.com/security/authorised_ips" in message
    assert account.contacts() == []


def test_it_ends_at_once_while_clients_wait_in_vain() -> None:
    server = SandboxServer()
    server.start()
    account = server.account("brevo")
    account.faults.shares = Shares(unanswered=1.0)

    ended: list[object] = []

    def wait_in_vain() -> None:
        try:
            ended.append(upsert(asking(account), "ann@example.com"))
        except requests.exceptions.ConnectionError:
            ended.append("no answer")

    thread = threading.Thread(target=wait_in_vain)
    thread.start()
    eventually(lambda: account.received_count == 1)
    started = time.monotonic()
    server.stop()
    assert time.monotonic() - started < 2
    thread.join()
    assert ended == ["no answer"]
