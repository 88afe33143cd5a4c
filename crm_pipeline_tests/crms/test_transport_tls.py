"""TLS: verified, 1.2 or newer, and a broken connection is not taken for a broken trust."""

from __future__ import annotations

import socket
import ssl
from dataclasses import replace
from pathlib import Path

import pytest

from crm_pipeline.crms.transport import FailureKind, Reply, Transport, TransportFailure, tls_context
from crm_pipeline_tests.crms.raw_server import Peer, answers, raw_server


def trusting(certificate: Path) -> ssl.SSLContext:
    context = tls_context()
    context.load_verify_locations(certificate)
    return context


def ask(port: int, tls: ssl.SSLContext | None, host: str = "localhost") -> Reply | TransportFailure:
    transport = Transport(f"https://{host}:{port}/v3", {}, 1, (), tls=tls, total_seconds=3)
    try:
        transport.request("POST", "/contacts", {})
        return transport.request("POST", "/contacts", {})
    finally:
        transport.close()


def test_a_trusted_server_is_asked_over_one_connection(certificate: Path, server_side: ssl.SSLContext) -> None:
    with raw_server(answers((201, b'{"id":1}')), server_side) as server:
        reply = ask(server.port, trusting(certificate))
        assert isinstance(reply, Reply)
        assert reply.json == {"id": 1}
        assert (len(server.requests), server.connections) == (2, 1)


def test_a_server_whose_certificate_is_not_trusted_gets_nothing(server_side: ssl.SSLContext) -> None:
    with raw_server(answers((201, b"{}")), server_side) as server:
        answer = ask(server.port, None)
        assert isinstance(answer, TransportFailure)
        assert answer.kind is FailureKind.TLS
        assert "certificate" in answer.detail
        assert server.requests == []


def test_a_certificate_for_another_host_is_not_trusted(certificate: Path, server_side: ssl.SSLContext) -> None:
    with raw_server(answers((201, b"{}")), server_side) as server:
        answer = ask(server.port, trusting(certificate), host="127.0.0.1")
        assert isinstance(answer, TransportFailure)
        assert answer.kind is FailureKind.TLS
        assert server.requests == []


def test_a_server_without_tls_is_a_tls_failure(certificate: Path) -> None:
    def plain(peer: Peer) -> None:
        peer.send(b"HTTP/1.1 400 x\r\n\r\n")
        peer.wait_until_the_test_is_over()

    with raw_server(plain) as server:
        answer = ask(server.port, trusting(certificate))
        assert isinstance(answer, TransportFailure)
        assert answer.kind is FailureKind.TLS


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tls_older_than_1_2_is_refused(
    certificate: Path, server_side: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where Python leaves the version to the system, as some builds of it do, and the system takes an old one."""
    real = ssl.create_default_context

    def lenient(**options: str) -> ssl.SSLContext:
        context = real(**options)  # type: ignore[arg-type]
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.set_ciphers("DEFAULT:@SECLEVEL=0")
        return context

    monkeypatch.setattr(ssl, "create_default_context", lenient)
    server_side.minimum_version = ssl.TLSVersion.TLSv1
    server_side.maximum_version = ssl.TLSVersion.TLSv1_1
    server_side.set_ciphers("DEFAULT:@SECLEVEL=0")
    with raw_server(answers((201, b"{}")), server_side) as server:
        answer = ask(server.port, trusting(certificate))
        assert isinstance(answer, TransportFailure)
        assert answer.kind is FailureKind.TLS
        assert "version" in answer.detail.lower()
        assert server.requests == []
        willing = lenient(cafile=str(certificate))
        assert isinstance(ask(server.port, willing), Reply), "the version is all that stands in the way"


def test_a_server_that_hangs_up_in_the_handshake_is_a_failed_connection(certificate: Path) -> None:
    with raw_server(lambda peer: None) as server:
        answer = ask(server.port, trusting(certificate))
        assert isinstance(answer, TransportFailure)
        assert answer.kind is FailureKind.CONNECTION


def test_a_tls_connection_cut_in_the_body_is_a_cut_body(certificate: Path, server_side: ssl.SSLContext) -> None:
    def cut(peer: Peer) -> None:
        peer.request()
        peer.send(b"HTTP/1.1 201 x\r\nContent-Length: 50\r\n\r\n{")

    with raw_server(cut, server_side) as server:
        answer = ask(server.port, trusting(certificate))
        assert isinstance(answer, TransportFailure)
        assert answer.kind is FailureKind.TRUNCATED


def test_an_ipv6_address_can_be_asked() -> None:
    try:
        listener = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
        pytest.skip("this machine has no IPv6 loopback")
    with listener:
        listener.settimeout(2)
        transport = Transport(f"http://[::1]:{listener.getsockname()[1]}", {}, 1, (), read_seconds=0.1)
        answer = transport.request("GET", "/x")
        transport.close()
        assert isinstance(answer, TransportFailure)
        assert replace(answer, detail="", duration_ms=0) == TransportFailure(FailureKind.TIMEOUT, "", 0)


def test_a_company_s_own_authority_is_trusted_when_ssl_cert_file_names_it(
    certificate: Path, server_side: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with raw_server(answers((201, b"{}")), server_side) as server:
        assert isinstance(ask(server.port, None), Reply)
        monkeypatch.setenv("SSL_CERT_FILE", "")
        assert isinstance(ask(server.port, None), TransportFailure)


@pytest.mark.parametrize("content", [None, "", "no certificate"])
def test_a_bundle_that_cannot_be_read_is_a_tls_failure_that_names_its_variable(
    content: str | None, tmp_path: Path, server_side: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = tmp_path / "bundle.pem"
    if content is not None:
        bundle.write_text(content)
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    with raw_server(answers((201, b"{}")), server_side) as server:
        answer = ask(server.port, None)
        assert server.connections == 0
    assert isinstance(answer, TransportFailure)
    assert (answer.kind, answer.sent) == (FailureKind.TLS, False)
    assert "SSL_CERT_FILE names no bundle" in answer.detail
