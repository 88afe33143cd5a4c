"""One request goes to one host, once, as it was given."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from crm_pipeline.crms.transport import Reply
from crm_pipeline_tests.crms.asking import KEY, OK, ask, at_most, transport
from crm_pipeline_tests.crms.raw_server import Peer, answers, raw_server


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_never_carries_the_key_to_another_host(status: int) -> None:
    with raw_server(answers(OK)) as other:
        with raw_server(answers((status, b"", f"Location: {other.url}/contacts\r\n"))) as server:
            reply = ask(server)
        assert isinstance(reply, Reply)
        assert reply.status == status
        assert other.connections == 0


def test_the_body_of_a_redirect_is_not_waited_for() -> None:
    def endless(peer: Peer) -> None:
        peer.request()
        peer.send(b"HTTP/1.1 307 x\r\nLocation: /elsewhere\r\nContent-Length: 9999999\r\n\r\n")
        peer.wait_until_the_test_is_over()

    with raw_server(endless) as server, at_most(0.5):
        assert isinstance(ask(server), Reply)


def test_a_429_is_answered_at_once_and_sent_only_once() -> None:
    with raw_server(answers((429, b"{}", "Retry-After: 3\r\n"), OK)) as server, at_most(0.5):
        reply = ask(server)
        assert isinstance(reply, Reply)
        assert reply.status == 429
        assert len(server.requests) == 1


def test_a_cookie_is_never_sent_back() -> None:
    with raw_server(answers((201, b"{}", "Set-Cookie: a=b\r\n"))) as server, transport(server.url) as crm:
        for _ in range(2):
            crm.request("POST", "/contacts", {})
        assert ["cookie" in request.headers for request in server.requests] == [False, False]


def test_neither_proxies_nor_netrc_of_the_environment_are_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login eve password eve\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with raw_server(answers(OK)) as proxy, raw_server(answers(OK)) as server:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://{proxy.host}")
        assert isinstance(ask(server), Reply)
        assert proxy.connections == 0
        assert "authorization" not in server.requests[0].headers


def test_headers_and_body_arrive_as_given() -> None:
    value = {"name": 'Zoë 🎉 שלום e\u0301 \u2028 "quoted" {{7*7}} \'; DROP TABLE'}
    with raw_server(answers(OK)) as server, transport(server.url + "/") as crm:
        reply = crm.request("POST", "/contacts", value)
        assert isinstance(reply, Reply)
        assert reply.json == {"id": 1}
        (request,) = server.requests
        assert request.line == "POST /v3/contacts HTTP/1.1"
        assert request.json == value
        assert request.headers["api-key"] == KEY
        assert request.headers["content-type"] == "application/json"


def test_a_decimal_arrives_as_a_number_with_all_its_digits_wherever_it_stands() -> None:
    numbers = ["12345678901234567890.1234567890", "1.10", "0", "-0.00000000000000000001"]
    value = {"a": {"b": [Decimal(number) for number in numbers]}, "c": Decimal(7), "d": (1, None, True)}
    with raw_server(answers(OK)) as server, transport(server.url) as crm:
        crm.request("POST", "/contacts", value)
    body = server.requests[0].body.decode()
    assert body == f'{{"a":{{"b":[{",".join(numbers)}]}},"c":7,"d":[1,null,true]}}'


def test_a_get_has_no_body() -> None:
    with raw_server(answers((200, b"{}"))) as server, transport(server.url) as crm:
        crm.request("POST", "/contacts", {"a": 1})
        crm.request("GET", "/contacts/attributes")
        request = server.requests[1]
        assert request.line == "GET /v3/contacts/attributes HTTP/1.1"
        assert request.body == b""
        assert "content-type" not in request.headers
