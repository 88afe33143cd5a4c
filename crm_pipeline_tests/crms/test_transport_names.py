"""Every failure has a name, wrong use is a bug, and neither shows a secret."""

from __future__ import annotations

import http.client
import logging
import socket
import ssl
from decimal import Decimal

import pytest
import urllib3.exceptions
from requests import exceptions

from crm_pipeline.crms import transport as module
from crm_pipeline.crms.transport import FailureKind, Transport, TransportFailure, failure_kind
from crm_pipeline_tests.crms.asking import KEY, OK, ask, failure, transport
from crm_pipeline_tests.crms.raw_server import Peer, answers, raw_server


def test_a_host_without_address_is_a_dns_failure() -> None:
    unresolvable = ".".join(["a" * 60] * 5)  # too long a name to be asked for
    with transport(f"https://{unresolvable}/v3") as crm:
        assert failure(crm.request("GET", "/x")) is FailureKind.DNS


def test_a_name_server_that_does_not_answer_is_an_outage(monkeypatch: pytest.MonkeyPatch) -> None:
    def silent(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", silent)
    with transport("https://crm.example.com/v3") as crm:
        assert failure(crm.request("GET", "/x")) is FailureKind.CONNECTION


def test_every_exception_of_the_libraries_has_a_name_or_is_a_bug() -> None:
    foreign = [
        found
        for library in (exceptions, urllib3.exceptions, http.client)
        for found in vars(library).values()
        if isinstance(found, type)
        and issubclass(found, Exception)
        and not issubclass(found, Warning)
        and found.__module__ == library.__name__
    ]
    assert len(foreign) > 50
    strangers = [found for found in foreign if not issubclass(found, (*module.FOREIGN, *module.BUGS))]
    assert strangers == [urllib3.exceptions.ProxySchemeUnsupported], "and only http proxies are taken"
    assert all(failure_kind(found) in FailureKind for found in foreign if issubclass(found, tuple(module.FOREIGN)))


@pytest.mark.parametrize(
    ("foreign", "kind"),
    [
        (ConnectionRefusedError, FailureKind.CONNECTION),
        (socket.gaierror, FailureKind.DNS),
        (ssl.SSLCertVerificationError, FailureKind.TLS),
        (ssl.SSLEOFError, FailureKind.CONNECTION),
        (http.client.RemoteDisconnected, FailureKind.CONNECTION),
        (http.client.BadStatusLine, FailureKind.UNREADABLE),
        (http.client.IncompleteRead, FailureKind.TRUNCATED),
        (exceptions.ConnectTimeout, FailureKind.TIMEOUT),
        (exceptions.ReadTimeout, FailureKind.TIMEOUT),
        (exceptions.SSLError, FailureKind.TLS),
        (exceptions.ProxyError, FailureKind.CONNECTION),
        (exceptions.ChunkedEncodingError, FailureKind.TRUNCATED),
        (exceptions.ContentDecodingError, FailureKind.UNREADABLE),
        (urllib3.exceptions.ConnectTimeoutError, FailureKind.TIMEOUT),
        (urllib3.exceptions.NewConnectionError, FailureKind.CONNECTION),
        (urllib3.exceptions.NameResolutionError, FailureKind.DNS),
        (urllib3.exceptions.MaxRetryError, FailureKind.CONNECTION),
        (urllib3.exceptions.InvalidChunkLength, FailureKind.TRUNCATED),
    ],
)
def test_the_most_specific_class_names_the_failure(foreign: type[BaseException], kind: FailureKind) -> None:
    assert failure_kind(foreign) is kind


def test_wrong_use_is_a_bug_and_propagates() -> None:
    with raw_server(answers(OK)) as server, transport(server.url) as crm:
        with pytest.raises(UnicodeEncodeError):
            crm.request("POST", "/contacts", {"name": "\ud800"})
        for number in (float("nan"), Decimal("NaN"), Decimal("Infinity")):
            with pytest.raises(ValueError, match="not JSON compliant"):
                crm.request("POST", "/contacts", {"n": number})
        assert server.connections == 0


def test_a_failure_does_not_repeat_the_key() -> None:
    def parrot(peer: Peer) -> None:
        request = peer.request()
        assert request is not None
        peer.send(f"HTTP/1.1 {request.headers['api-key']}\r\n\r\n".encode())

    with raw_server(parrot) as server:
        answer = ask(server)
        assert isinstance(answer, TransportFailure)
        assert KEY not in answer.detail
        assert "***" in answer.detail


def test_nothing_secret_is_logged_at_any_level(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with raw_server(answers((400, b'{"message":"a@example.com"}'))) as server:
        ask(server)
    assert KEY not in caplog.text
    assert "a@example.com" not in caplog.text


def test_a_header_with_a_line_break_is_refused_without_being_shown() -> None:
    with pytest.raises(ValueError, match="header") as refused:
        Transport("https://api.example.com", {"api-key": "secret\r\nX-Evil: 1"}, 1, ())
    assert "secret" not in str(refused.value)


def test_an_unencrypted_address_beyond_this_machine_is_refused_unless_allowed() -> None:
    with pytest.raises(ValueError, match="not encrypted"):
        Transport("http://api.example.com", {}, 1, ())
    Transport("http://api.example.com", {}, 1, (), allow_http=True).close()
