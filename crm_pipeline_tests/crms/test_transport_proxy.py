"""A proxy between: named by the environment as for curl, asked for a tunnel, and no trouble of the contacts."""

from __future__ import annotations

import logging
import socket
import ssl
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest
from requests import RequestException

from crm_pipeline.crms.connection import Exchange, taking_part
from crm_pipeline.crms.network import proxy_for
from crm_pipeline.crms.transport import FailureKind, Reply, TransportFailure
from crm_pipeline_tests.crms.asking import KEY, OK, at_most, failure, transport
from crm_pipeline_tests.crms.connect_proxy import HOST, URL, says, tunnel
from crm_pipeline_tests.crms.raw_server import Peer, RawServer, Script, answers, raw_server

USER, PASSWORD = "an@n", "pass/w#rd-é"
LOGIN = "an%40n:pass%2Fw%23rd-%C3%A9"
TOKEN = b64encode(f"{USER}:{PASSWORD}".encode()).decode()


@pytest.fixture
def crm(certificate: Path, server_side: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch) -> Iterator[RawServer]:
    """The CRM at HOST, whose certificate this machine trusts."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with raw_server(answers(OK), server_side) as server:
        yield server


def through(script: Script, monkeypatch: pytest.MonkeyPatch, **limits: float) -> tuple[TransportFailure, RawServer]:
    """The failure of one request through a proxy that does this."""
    with raw_server(script) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://{proxy.host}")
        with transport(URL, **limits) as crm:
            answer = crm.request("POST", "/contacts", {})
    assert isinstance(answer, TransportFailure), answer
    return answer, proxy


# --- through it


def test_a_host_without_an_address_is_asked_through_one_tunnel(crm: RawServer, monkeypatch: pytest.MonkeyPatch) -> None:
    with raw_server(tunnel(crm.port)) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://{proxy.host}")
        with transport(URL) as asking:
            replies = [asking.request("POST", "/contacts", {"n": n}) for n in range(2)]
    assert all(isinstance(reply, Reply) and reply.json == {"id": 1} for reply in replies)
    (connect,) = proxy.requests
    assert connect.line.startswith(f"CONNECT {HOST}:443 HTTP/1.")
    assert KEY not in str(connect)
    assert [request.line for request in crm.requests] == ["POST /v3/contacts HTTP/1.1"] * 2
    assert crm.connections == 1


@pytest.mark.parametrize("login", ["", f"{LOGIN}@"])
def test_user_and_password_go_to_the_proxy_alone_and_are_not_shown(
    crm: RawServer, login: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with raw_server(tunnel(crm.port)) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://{login}{proxy.host}")
        with transport(URL) as asking:
            assert isinstance(asking.request("POST", "/contacts", {}), Reply)
    assert proxy.requests[0].headers.get("proxy-authorization") == (f"Basic {TOKEN}" if login else None)
    assert "proxy-authorization" not in crm.requests[0].headers
    for secret in (TOKEN, PASSWORD, LOGIN):
        assert secret not in caplog.text + repr(proxy_for(HOST))


@pytest.mark.parametrize("url", ["http://127.0.0.1:%d", "http://127.0.0.1:%d/", "127.0.0.1:%d", " HTTP://localhost:%d"])
def test_the_proxys_address_is_taken_as_people_write_it(
    crm: RawServer, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with raw_server(tunnel(crm.port)) as proxy:
        monkeypatch.setenv("https_proxy", url % proxy.port)
        with transport(URL) as asking:
            assert isinstance(asking.request("GET", "/contacts"), Reply)


def test_a_host_whose_certificate_is_not_trusted_gets_nothing_through_the_tunnel_either(
    crm: RawServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    answer, _ = through(tunnel(crm.port), monkeypatch)
    assert (answer.kind, answer.sent) == (FailureKind.TLS, False)
    assert crm.requests == []


def test_this_machine_is_never_asked_through_a_proxy(crm: RawServer, monkeypatch: pytest.MonkeyPatch) -> None:
    with raw_server(tunnel(crm.port)) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://{proxy.host}")
        with transport(f"https://localhost:{crm.port}/v3") as asking:
            assert isinstance(asking.request("GET", "/contacts"), Reply)
        assert proxy.connections == 0
    assert [proxy_for(host) for host in ("localhost", "127.0.0.1", "127.1.2.3", "::1")] == [None] * 4


# --- which one


def named(host: str = HOST) -> str | None:
    proxy = proxy_for(host)
    return proxy and f"{proxy.variable}={proxy.address}"


def test_the_variable_in_lower_case_comes_first_and_an_empty_one_is_as_if_it_were_not_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert named() is None
    monkeypatch.setenv("HTTPS_PROXY", "http://upper.example:3128")
    assert named() == "HTTPS_PROXY=upper.example:3128"
    monkeypatch.setenv("https_proxy", "http://[fd00::1]:8080")
    assert named() == "https_proxy=[fd00::1]:8080"
    monkeypatch.setenv("https_proxy", " ")
    assert named() == "HTTPS_PROXY=upper.example:3128"
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setenv("NO_PROXY", HOST)
    assert named() is None


@pytest.mark.parametrize(
    ("no_proxy", "host", "is_asked_directly"),
    [
        ("*", "api.crm.example", True),
        ("api.crm.example", "api.crm.example", True),
        ("other.example, CRM.example", "api.crm.example", True),
        ("other.example .crm.example", "api.crm.example", True),
        ("crm.example", "notcrm.example", False),
        ("api.crm.example", "crm.example", False),
        ("10.0.0.0/8,192.0.2.7", "10.1.2.3", True),
        ("10.0.0.0/8,192.0.2.7", "192.0.2.7", True),
        ("10.0.0.0/8,192.0.2.7", "192.0.2.70", False),
        ("fd00::/8", "fd00::1", True),
        ("[fd00::1]", "fd00::1", True),
        ("[2001:db8::]/32", "2001:db8::1", True),
        ("[2001:db8::]/32", "2001:db9::1", False),
        ("[fd00::1]:443", "fd00::1", True),
        ("[fd00::1]:444", "fd00::1", False),
        ("api.crm.example:443", "api.crm.example", True),
        ("api.crm.example:8443", "api.crm.example", False),
        ("other.example:8443 crm.example:443", "api.crm.example", True),
        ("192.0.2.7:443", "192.0.2.7", True),
        ("*:443", "api.crm.example", True),
        ("*.crm.example", "api.crm.example", True),
        ("*.crm.example", "notcrm.example", False),
        ("*.", "api.crm.example", False),
        ("", "api.crm.example", False),
        (",. ,", "api.crm.example", False),
    ],
)
def test_no_proxy_names_hosts_domains_and_networks(
    no_proxy: str, host: str, is_asked_directly: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("https_proxy", "http://proxy.example:3128")
    for variable in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(variable, no_proxy)
        assert (named(host) is None) is is_asked_directly
        monkeypatch.delenv(variable)


def test_a_port_in_no_proxy_is_the_base_urls_own(crm: RawServer, monkeypatch: pytest.MonkeyPatch) -> None:
    with raw_server(tunnel(crm.port)) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://{proxy.host}")
        for port, connections in ((8443, 0), (443, 1)):
            monkeypatch.setenv("NO_PROXY", f"{HOST}:{port}")
            with transport(f"https://{HOST}:8443/v3") as asking:
                asking.request("GET", "/contacts")
            assert proxy.connections == connections


# --- one that cannot be used


@pytest.mark.parametrize(
    "url",
    [
        "http://", "http://proxy.example", "https://proxy.example:3128", "socks5://proxy.example:1080", "proxy.example",
        "://", "http://:s3cret@:3128", "http://ann:s3/cret@proxy.example:3128", "http://proxy.example:port", "http://a..b:3128",
        "http://s3cret host:3128", "http://[::s3cret]:3128", "http://proxy.example:0", "http://ann:s3cret@proxy\x00:3128",
    ],
)  # fmt: skip
def test_an_address_that_is_none_is_a_failure_that_names_the_variable_and_shows_nothing(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crm_pipeline.crms.network.os.environ", {"https_proxy": url})
    with transport(URL) as asking:
        answer = asking.request("POST", "/contacts", {})
    assert isinstance(answer, TransportFailure)
    assert (answer.kind, answer.sent) == (FailureKind.PROXY, False)
    assert answer.detail.startswith("https_proxy names no proxy that can be used")
    assert "s3" not in answer.detail


def hangs_up(peer: Peer) -> None:
    peer.request()


def is_silent(peer: Peer) -> None:
    peer.request()
    peer.wait_until_the_test_is_over()


def trickles(peer: Peer) -> None:
    peer.request()
    peer.trickle(b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 100, 0.05)


@pytest.mark.parametrize(
    ("script", "kind", "said"),
    [
        (says(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n"), FailureKind.PROXY, "407 Proxy Authentication"),
        (says(b"HTTP/1.1 403 Forbidden\r\n\r\n<html>"), FailureKind.PROXY, "403 Forbidden"),
        (says(b"HTTP/1.1 429 x\r\n\r\n"), FailureKind.PROXY, "429"),
        (says(b"HTTP/1.1 302 x\r\nLocation: http://login.example\r\n\r\n"), FailureKind.PROXY, "302"),
        (says(b"HTTP/1.1 501 Unsupported method\r\n\r\n"), FailureKind.PROXY, "501"),
        (says(b"SSH-2.0-OpenSSH_9.2\r\n"), FailureKind.PROXY, "SSH-2.0"),
        (says(b"HTTP/1.1 502 x\r\n\r\n"), FailureKind.CONNECTION, "502"),
        (says(b"HTTP/1.0 503 Service Unavailable\r\n\r\n"), FailureKind.CONNECTION, "503 Service Unavailable"),
        (says(b"HTTP/1.1 504 Gateway Timeout\r\n\r\n"), FailureKind.CONNECTION, "504"),
        (hangs_up, FailureKind.CONNECTION, "closed"),
        (is_silent, FailureKind.TIMEOUT, "time"),
        (trickles, FailureKind.TIMEOUT, "time"),
    ],
)
def test_a_proxy_that_gives_no_tunnel_is_named_with_its_variable_and_nothing_was_sent(
    script: Script, kind: FailureKind, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with at_most(1.5):
        answer, proxy = through(script, monkeypatch, read_seconds=0.3, total_seconds=0.6)
    assert (answer.kind, answer.sent) == (kind, False)
    assert f"the proxy {proxy.host} that HTTPS_PROXY names" in answer.detail
    assert said in answer.detail
    assert len(proxy.requests) == proxy.connections == 1


@pytest.mark.parametrize(
    ("host", "kind"), [("127.0.0.1", FailureKind.CONNECTION), ("proxy.invalid", FailureKind.PROXY)]
)
def test_a_proxy_that_is_not_there_is_named_with_its_variable(
    host: str, kind: FailureKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    monkeypatch.setenv("https_proxy", f"http://{host}:{port}")
    with transport(URL) as asking:
        answer = asking.request("POST", "/contacts", {})
    assert isinstance(answer, TransportFailure)
    assert (answer.kind, answer.sent) == (kind, False)
    assert f"the proxy {host}:{port} that https_proxy names" in answer.detail


def test_a_proxy_that_repeats_the_password_is_not_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    def parrot(peer: Peer) -> None:
        request = peer.request()
        assert request is not None
        said = request.headers["proxy-authorization"]
        peer.send(f"HTTP/1.1 407 {said} {PASSWORD}\r\n\r\n".encode("latin-1"))

    with raw_server(parrot) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://{LOGIN}@{proxy.host}")
        with transport(URL) as asking:
            answer = asking.request("GET", "/contacts")
    assert isinstance(answer, TransportFailure)
    assert "407" in answer.detail
    assert TOKEN not in answer.detail
    assert PASSWORD not in answer.detail


# --- behind it


@pytest.mark.parametrize("after_the_request", [False, True])
def test_what_breaks_behind_the_proxy_is_no_fault_of_it_and_says_whether_the_request_left(
    after_the_request: bool, certificate: Path, server_side: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with raw_server(*((hangs_up, server_side) if after_the_request else (lambda peer: None,))) as crm:
        answer, _ = through(tunnel(crm.port), monkeypatch)
    assert (answer.kind, answer.sent) == (FailureKind.CONNECTION, after_the_request)
    assert len(crm.requests) == after_the_request, "a request through a new tunnel is never sent again"


def test_what_a_proxy_says_is_no_answer_of_the_crm(monkeypatch: pytest.MonkeyPatch) -> None:
    exchange = Exchange(total_seconds=5, read_seconds=2)
    with raw_server(lambda peer: None) as crm, raw_server(tunnel(crm.port)) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://{proxy.host}")
        with transport(URL) as asking, taking_part(exchange), pytest.raises(RequestException):
            asking._sent(asking._prepared("GET", "/contacts", None), exchange)
    assert (exchange.answered, exchange.sent, exchange.at_proxy) == (False, False, False)


def close_at_the_second(peer: Peer) -> None:
    """Answers one request, reads another and hangs up."""
    peer.request()
    peer.answer(*OK)
    peer.request()


def test_a_tunnel_that_was_closed_while_idle_costs_nothing(
    certificate: Path, server_side: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with raw_server(close_at_the_second, server_side) as crm, raw_server(tunnel(crm.port)) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://{LOGIN}@{proxy.host}")
        with transport(URL) as asking:
            for _ in range(2):
                assert isinstance(asking.request("POST", "/contacts", {}), Reply)
    assert (len(crm.requests), len(proxy.requests)) == (3, 2)
    assert all("proxy-authorization" in request.headers for request in proxy.requests)


def test_a_request_that_may_have_landed_stays_so_when_the_proxy_is_gone_at_its_second_try(
    certificate: Path, server_side: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with raw_server(close_at_the_second, server_side) as crm:

        def once(peer: Peer) -> None:
            (tunnel(crm.port) if proxy.connections == 1 else says(b"HTTP/1.1 503 x\r\n\r\n"))(peer)

        with raw_server(once) as proxy:
            monkeypatch.setenv("HTTPS_PROXY", f"http://{proxy.host}")
            with transport(URL) as asking:
                asking.request("POST", "/contacts", {})
                answer = asking.request("POST", "/contacts", {})
    assert failure(answer) is FailureKind.CONNECTION
    assert isinstance(answer, TransportFailure)
    assert answer.sent
    assert "that HTTPS_PROXY names" in answer.detail
