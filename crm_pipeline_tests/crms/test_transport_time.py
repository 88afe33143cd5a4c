"""No server can hold a thread for longer than one request may last."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from crm_pipeline.crms.transport import FailureKind, Reply
from crm_pipeline_tests.crms.asking import ask, at_most, failure, transport
from crm_pipeline_tests.crms.raw_server import Peer, raw_server


def test_a_server_that_never_answers_is_left_after_the_read_timeout() -> None:
    def silent(peer: Peer) -> None:
        peer.request()
        peer.wait_until_the_test_is_over()

    with raw_server(silent) as server, at_most(0.8):
        assert failure(ask(server, read_seconds=0.2)) is FailureKind.TIMEOUT


@pytest.mark.parametrize(
    ("head", "slow"),
    [
        (b"", b"HTTP/1.1 201 Created\r\n" + b"X-Padding: padding\r\n" * 10),
        (b"HTTP/1.1 201 x\r\nContent-Length: 100\r\n\r\n", b" " * 100),
        (b"HTTP/1.1 201 x\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n" * 50),
        (b"HTTP/1.1 500 x\r\n\r\n", b" " * 100),
    ],
    ids=["headers", "body", "chunks", "error"],
)
def test_bytes_that_trickle_do_not_extend_the_time_for_the_whole_request(head: bytes, slow: bytes) -> None:
    def trickling(peer: Peer) -> None:
        peer.request()
        peer.send(head)
        peer.trickle(slow, 0.05)

    with raw_server(trickling) as server, at_most(0.8):
        answer = ask(server, total_seconds=0.4, read_seconds=0.3)
        if isinstance(answer, Reply):
            assert answer.status == 500  # its status is known, whatever becomes of its body
        else:
            assert answer.kind is FailureKind.TIMEOUT
        assert answer.duration_ms >= 350


@contextmanager
def full_listener() -> Iterator[socket.socket]:
    """A listening port that lets no further connection in, for others already wait there."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        waiting = [socket.socket() for _ in range(3)]
        for sock in waiting:
            sock.setblocking(False)
            sock.connect_ex(listener.getsockname())
        yield listener
        for sock in waiting:
            sock.close()


def url(listener: socket.socket) -> str:
    return f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.parametrize("limits", [{"connect_seconds": 0.2}, {"connect_seconds": 5, "total_seconds": 0.3}])
def test_a_connection_that_is_not_accepted_is_left(limits: dict[str, float]) -> None:
    with full_listener() as listener, at_most(0.8), transport(url(listener), **limits) as crm:
        assert failure(crm.request("GET", "/x")) is FailureKind.TIMEOUT


def test_a_connection_that_fails_is_tried_once_more() -> None:
    def make_room_and_answer(listener: socket.socket) -> None:
        time.sleep(0.1)  # the first try, which began before, is not repeated by the network for a second
        listener.settimeout(2)
        while True:
            sock, _ = listener.accept()
            sock.settimeout(0.05)
            try:
                if sock.recv(1000):
                    sock.sendall(b"HTTP/1.1 204 x\r\n\r\n")
                    return
            except OSError:
                sock.close()  # one of those that only filled the queue

    with (
        full_listener() as listener,
        ThreadPoolExecutor(1) as thread,
        at_most(0.9),
        transport(url(listener), connect_seconds=0.4) as crm,
    ):
        answering = thread.submit(make_room_and_answer, listener)
        assert isinstance(crm.request("GET", "/x"), Reply)
        answering.result()


def test_a_closed_port_is_a_failed_connection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with transport(f"http://localhost:{port}") as crm, at_most(0.5):
        assert failure(crm.request("GET", "/x")) is FailureKind.CONNECTION
