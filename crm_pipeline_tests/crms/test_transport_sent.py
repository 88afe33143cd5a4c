"""A request that failed says whether any of it may have reached the CRM."""

from __future__ import annotations

import socket
import threading

import pytest

from crm_pipeline.crms.transport import TransportFailure
from crm_pipeline_tests.crms.asking import OK, ask, transport
from crm_pipeline_tests.crms.raw_server import Peer, answers, raw_server


def failed(url: str, **limits: float) -> TransportFailure:
    with transport(url, **limits) as crm:
        failure = crm.request("POST", "/contacts", {"email": "a@example.com"})
    assert isinstance(failure, TransportFailure)
    return failure


def test_a_refused_connection_and_a_name_without_an_address_sent_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert not failed(f"http://127.0.0.1:{port}/v3").sent
    assert not failed("http://127.0.0.1.invalid/v3", allow_http=True).sent


def test_a_server_without_tls_got_nothing_of_the_request() -> None:
    with raw_server(answers(OK)) as server:
        assert not failed(server.url.replace("http:", "https:")).sent


def test_a_connection_that_takes_no_more_sent_nothing() -> None:
    """The queue of connections that nobody takes is full."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/v3"
        waiting = [socket.socket() for _ in range(3)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(listener.getsockname())
        try:
            assert not failed(url, connect_seconds=0.2, total_seconds=0.5).sent
        finally:
            for one in waiting:
                one.close()


def test_a_request_that_found_no_free_connection_in_time_sent_nothing() -> None:
    with raw_server(answers(OK)) as server, transport(server.url, threads=1, total_seconds=0.2) as crm:
        crm._pool.pool.get()  # as another thread's request has it
        answer = crm.request("POST", "/contacts", {})
    assert isinstance(answer, TransportFailure)
    assert not answer.sent


def hangs_up(peer: Peer) -> None:
    peer.request()


def resets(peer: Peer) -> None:
    peer.request()
    peer.reset()


def is_silent(peer: Peer) -> None:
    peer.request()
    peer.wait_until_the_test_is_over()


@pytest.mark.parametrize("script", [hangs_up, resets, is_silent])
def test_a_request_without_an_answer_may_have_landed(script: object) -> None:
    with raw_server(script) as server:  # type: ignore[arg-type]
        answer = ask(server, read_seconds=0.2)
    assert isinstance(answer, TransportFailure)
    assert answer.sent


def test_a_request_on_a_connection_that_was_closed_meanwhile_may_have_landed_although_the_next_one_is_refused() -> None:
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        """One answer; then the server goes down with the second request."""
        sock, _ = listener.accept()
        with sock:
            peer = Peer(sock, [], threading.Event())
            peer.request()
            peer.answer(*OK)
            peer.request()
            listener.close()

    server = threading.Thread(target=serve)
    server.start()
    with transport(f"http://127.0.0.1:{listener.getsockname()[1]}/v3") as crm:
        crm.request("GET", "/contacts")
        answer = crm.request("POST", "/contacts", {})
    server.join()
    assert isinstance(answer, TransportFailure)
    assert answer.sent
