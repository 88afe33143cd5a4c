"""TLS: verified, 1.2 or newer, and a broken connection is not taken for a broken trust."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from crm_pipeline.crms.transport import FailureKind, Reply, Transport, TransportFailure, tls_context
from crm_pipeline_tests.crms.raw_server import Peer, answers, raw_server

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificate")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for `localhost` and its key, in one file."""
    folder = tmp_path_factory.mktemp("tls")
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
    command += " -addext subjectAltName=DNS:localhost -keyout key.pem -out cert.pem"
    subprocess.run(command.split(), cwd=folder, check=True, capture_output=True)
    both = folder / "both.pem"
    both.write_text((folder / "key.pem").read_text() + (folder / "cert.pem").read_text())
    return both


@pytest.fixture
def server_side(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


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


def test_tls_older_than_1_2_is_refused() -> None:
    assert tls_context().minimum_version is ssl.TLSVersion.TLSv1_2
    assert tls_context().verify_mode is ssl.CERT_REQUIRED
    assert tls_context().check_hostname


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
