"""What Brevo's answers to an upsert mean."""

from __future__ import annotations

from dataclasses import replace

import pytest

from crm_pipeline.crms.brevo.rows import IP_PAGE
from crm_pipeline.model import WELL, NewsKind, OutcomeKind
from crm_pipeline_tests.crms.asking import at_most
from crm_pipeline_tests.crms.brevo_account import ANN, CREATED, FULL, KEY, connected, push
from crm_pipeline_tests.crms.connect_proxy import URL, says
from crm_pipeline_tests.crms.raw_server import Peer, answers, raw_server

UNKNOWN_IP = (
    b'{"message":"We have detected you are using an unrecognised IP address 203.0.113.9. If you performed this action '
    b'make sure to add the new IP address in this link: https://app.brevo.com/security/authorised_ips",'
    b'"code":"unauthorized"}'
)


@pytest.mark.parametrize("answer", [CREATED, (204, b"", "sib-request-id: r-815\r\n")], ids=["created", "updated"])
def test_created_and_updated_are_a_success_whose_id_is_the_address_as_sent(answer: tuple[int, bytes, str]) -> None:
    with raw_server(answers(answer)) as server:
        outcome, news = push(server.url, FULL)
    assert (outcome.kind, news) == (OutcomeKind.SYNCED, WELL)
    assert (outcome.external_id, outcome.request_id) == ("ann.lee@example.com", "r-815")
    assert (outcome.http_status, outcome.error, outcome.code) == (answer[0], None, None)
    assert outcome.duration_ms >= 0


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b'{"id":1}'),
        (202, b'{"id":1}'),
        (200, b""),
        (201, b""),
        (201, b"<html>Welcome</html>"),
        (201, b"{}"),
        (201, b'{"id":"1"}'),
        (201, b'{"ID":null}'),
        (201, b'{"id":true}'),
        (201, b'{"id":1.5}'),
        (201, b"[1]"),
        (201, b'{"id":1'),
        (206, b'{"id":1}'),
    ],
)
def test_a_success_that_is_not_brevos_is_none(status: int, body: bytes) -> None:
    with raw_server(answers((status, body))) as server:
        outcome, news = push(server.url)
    assert (outcome.kind, news.kind) == (OutcomeKind.FAILED, NewsKind.UNAVAILABLE)
    assert outcome.code == "unexpected_answer"


def test_a_creation_whose_id_is_null_is_a_success() -> None:
    """The reference types it so: https://developers.brevo.com/reference/create-contact"""
    with raw_server(answers((201, b'{"id":null}'))) as server:
        outcome, news = push(server.url)
    assert (outcome.kind, news, outcome.external_id) == (OutcomeKind.SYNCED, WELL, "ann@example.com")


def test_an_update_with_a_body_is_none() -> None:
    def with_a_body(peer: Peer) -> None:
        peer.request()
        peer.send(b'HTTP/1.1 204 x\r\nContent-Length: 8\r\n\r\n{"id":1}')

    with raw_server(with_a_body) as server:
        outcome, _ = push(server.url)
    assert outcome.kind is OutcomeKind.SYNCED, "HTTP gives a 204 no body, whatever follows it"


def test_a_machine_that_brevo_does_not_know_is_told_where_to_add_its_address() -> None:
    with raw_server(answers((401, UNKNOWN_IP))) as server:
        outcome, news = push(server.url)
    assert (outcome.kind, news.kind) == (OutcomeKind.BLOCKED, NewsKind.CLOSED)
    assert "203.0.113.9" in str(news.sentence)
    assert str(news.sentence).endswith(f"Add it at {IP_PAGE}.")
    assert "BREVO_API_KEY" not in str(news.sentence), "the key is well"


@pytest.mark.parametrize("message", ["Key not found", "authentication not found in headers", ""])
def test_a_wrong_key_names_its_variable(message: str) -> None:
    body = b'{"code":"unauthorized","message":"%s"}' % message.encode()
    with raw_server(answers((401, body))) as server:
        outcome, news = push(server.url)
    assert (outcome.kind, news.kind) == (OutcomeKind.BLOCKED, NewsKind.CLOSED)
    assert "Check BREVO_API_KEY" in str(news.sentence)
    assert KEY not in str(news)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_closes_the_gate_and_names_the_base_url(status: int) -> None:
    with raw_server(answers((status, b"", "Location: http://127.0.0.1:9/v3/contacts\r\n"))) as server:
        outcome, news = push(server.url)
        assert (outcome.kind, news.kind) == (OutcomeKind.BLOCKED, NewsKind.CLOSED)
        assert f"{server.host} redirects (to 127.0.0.1" in str(news.sentence)
        assert "BREVO_API_BASE_URL" in str(news.sentence)


def test_an_upsert_that_meets_a_page_of_another_server_names_the_base_url() -> None:
    with raw_server(answers((404, b"<html>Not Found</html>"))) as server:
        outcome, news = push(server.url)
    assert (outcome.kind, news.kind) == (OutcomeKind.FAILED, NewsKind.DOUBTFUL)
    assert "BREVO_API_BASE_URL" in str(news.sentence)


def test_a_refusal_is_quoted_with_its_code() -> None:
    body = b'{"message":"Invalid email address of ann@example.com","code":"invalid_parameter"}'
    with raw_server(answers((400, body, "sib-request-id: r-1\r\n"))) as server:
        outcome, news = push(server.url)
    assert (outcome.kind, outcome.refused, news) == (OutcomeKind.FAILED, True, WELL)
    assert outcome.error == "Invalid email address of a***@example.com (invalid_parameter, HTTP 400)"
    assert (outcome.code, outcome.request_id, outcome.external_id) == ("invalid_parameter", "r-1", None)


@pytest.mark.parametrize("body", [b"[]", b'"no"', b'{"code":7,"message":{}}', b'{"code":null}', b"{", b"\xff"])
def test_an_error_that_is_not_in_brevos_model_is_judged_by_its_status(body: bytes) -> None:
    with raw_server(answers((400, body))) as server:
        outcome, _ = push(server.url)
    assert (outcome.kind, outcome.refused, outcome.code) == (OutcomeKind.FAILED, True, None)
    assert outcome.error
    assert "HTTP 400" in outcome.error


@pytest.mark.parametrize(
    ("headers", "pause"),
    [
        ("x-sib-ratelimit-reset: 9\r\n", 9),
        ("x-sib-ratelimit-reset: 9\r\nRetry-After: 4\r\n", 4),
        ("x-sib-ratelimit-reset: 0\r\n", 1),
        ("x-sib-ratelimit-reset: 99999999\r\n", 3600),
        ("x-sib-ratelimit-reset: soon\r\n", None),
        ("", None),
    ],
)
def test_a_429_pauses_for_as_long_as_brevos_header_says(headers: str, pause: float | None) -> None:
    with raw_server(answers((429, b"", headers))) as server:
        outcome, news = push(server.url)
    assert (outcome.kind, news.kind, news.pause_seconds) == (OutcomeKind.RELEASED, NewsKind.THROTTLED, pause)


def test_a_server_that_names_itself_a_sandbox_is_seen_to_be_one_in_every_answer() -> None:
    for status in (201, 204, 400, 401, 500):
        for headers, is_sandbox in (("X-CRM-Sandbox: x\r\n", True), ("", False)):
            body = b'{"id":1}' if status == 201 else b""
            with raw_server(answers((status, body, headers))) as server, connected(server.url) as brevo:
                assert brevo.push([ANN]).sandbox is is_sandbox


def test_a_server_that_hangs_up_is_retried_later_and_says_nothing_about_its_kind() -> None:
    with raw_server(lambda peer: None) as server, connected(server.url) as brevo, at_most(2):
        answer = brevo.push([ANN])
    assert answer.outcomes[ANN.id].kind is OutcomeKind.FAILED
    assert answer.news.kind is NewsKind.UNAVAILABLE
    assert answer.sandbox is False


def test_a_host_without_an_address_closes_the_gate_and_names_the_base_url() -> None:
    outcome, news = push("https://" + ".".join(["a" * 60] * 5))
    assert (outcome.kind, news.kind, outcome.code) == (OutcomeKind.BLOCKED, NewsKind.CLOSED, "dns")
    assert "BREVO_API_BASE_URL" in str(news.sentence)


def test_a_server_without_tls_closes_the_gate_and_names_the_base_url() -> None:
    def plain(peer: Peer) -> None:
        peer.send(b"HTTP/1.1 400 x\r\n\r\n")
        peer.wait_until_the_test_is_over()

    with raw_server(plain) as server:
        outcome, news = push(server.url.replace("http://", "https://"), replace(ANN))
    assert (outcome.kind, news.kind, outcome.code) == (OutcomeKind.BLOCKED, NewsKind.CLOSED, "tls")
    assert "BREVO_API_BASE_URL" in str(news.sentence)


def test_a_proxy_that_gives_no_tunnel_closes_the_gate_and_names_itself_and_its_variable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with raw_server(says(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://ann:s3cret@{proxy.host}")
        outcome, news = push(URL)
    assert (outcome.kind, news.kind, outcome.code) == (OutcomeKind.BLOCKED, NewsKind.CLOSED, "proxy")
    assert outcome.error == news.sentence
    said = f"Brevo cannot be reached: the proxy {proxy.host} that HTTPS_PROXY names: Tunnel connection failed: 407 "
    assert str(news.sentence).startswith(said)
    assert "NO_PROXY" in str(news.sentence)
    assert "s3cret" not in f"{outcome}{news}"


def test_a_proxy_that_is_out_of_order_is_an_outage_whose_sentence_names_it_and_its_variable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with raw_server(says(b"HTTP/1.1 503 Service Unavailable\r\n\r\n")) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://ann:s3cret@{proxy.host}")
        outcome, news = push(URL)
    assert (outcome.kind, news.kind, outcome.code) == (OutcomeKind.FAILED, NewsKind.UNAVAILABLE, "connection")
    said = f"the proxy {proxy.host} that HTTPS_PROXY names: Tunnel connection failed: 503 Service Unavailable"
    assert said in str(outcome.error)
    assert said in str(news.sentence)
    assert "s3cret" not in f"{outcome}{news}"


def test_the_identity_changes_with_key_and_url_and_shows_neither() -> None:
    def identity(url: str, key: str) -> str:
        with connected(url, api_key=key) as brevo:
            return brevo.identity

    one = identity("https://a.example/v3", KEY)
    assert one == identity("https://a.example/v3/", KEY)
    assert len({one, identity("https://b.example/v3", KEY), identity("https://a.example/v3", KEY + "x")}) == 3
    assert KEY not in one
