"""A body is read whole or not believed, and never costs more than 1 MiB."""

from __future__ import annotations

import gzip
import tracemalloc

import pytest

from crm_pipeline.crms.transport import LONGEST_BODY, FailureKind, Reply
from crm_pipeline_tests.crms.asking import ask, at_most, failure, transport
from crm_pipeline_tests.crms.raw_server import Peer, answers, raw_server


@pytest.mark.parametrize(
    "answer",
    [
        b'HTTP/1.1 201 x\r\nContent-Length: 50\r\n\r\n{"id":1}',
        b'HTTP/1.1 201 x\r\nTransfer-Encoding: chunked\r\n\r\n8\r\n{"id":1}\r\n',
        b'HTTP/1.1 201 x\r\nTransfer-Encoding: chunked\r\n\r\n20\r\n{"id":1}',
    ],
    ids=["short", "no last chunk", "cut chunk"],
)
def test_a_success_whose_body_is_cut_is_no_answer(answer: bytes) -> None:
    def cut(peer: Peer) -> None:
        peer.request()
        peer.send(answer)

    with raw_server(cut) as server:
        assert failure(ask(server)) is FailureKind.TRUNCATED


@pytest.mark.parametrize("status", [401, 429, 500])
def test_the_status_of_an_error_counts_though_its_body_is_cut(status: int) -> None:
    def cut(peer: Peer) -> None:
        peer.request()
        peer.send(b"HTTP/1.1 %d x\r\nContent-Length: 50\r\n\r\n{" % status)

    with raw_server(cut) as server:
        answer = ask(server)
        assert isinstance(answer, Reply)
        assert (answer.status, answer.json) == (status, None)


def test_a_gzip_bomb_costs_little_memory() -> None:
    bomb = gzip.compress(bytes(50 * 1024 * 1024))
    with raw_server(answers((201, bomb, "Content-Encoding: gzip\r\n"))) as server, at_most(1):
        tracemalloc.start()
        try:
            assert failure(ask(server)) is FailureKind.OVERSIZE
            assert tracemalloc.get_traced_memory()[1] < 8 * 1024 * 1024
        finally:
            tracemalloc.stop()


def test_a_body_of_1_mib_is_read_and_a_byte_more_is_not() -> None:
    longest = b" " * (LONGEST_BODY - 2) + b"{}"
    with raw_server(answers((200, longest), (200, b" " + longest))) as server, transport(server.url) as crm:
        reply = crm.request("GET", "/x")
        assert isinstance(reply, Reply)
        assert reply.json == {}
        assert failure(crm.request("GET", "/x")) is FailureKind.OVERSIZE


def test_a_body_that_cannot_be_decoded_is_no_answer() -> None:
    with raw_server(answers((201, b"this is no gzip", "Content-Encoding: gzip\r\n"))) as server:
        assert failure(ask(server)) is FailureKind.UNREADABLE


@pytest.mark.parametrize("line", [b"SSH-2.0-OpenSSH_9.6\r\n", b"\x00\x01\x02", b"HTTP/1.1 abc\r\n\r\n"])
def test_a_server_that_does_not_speak_http_gives_no_answer(line: bytes) -> None:
    def babble(peer: Peer) -> None:
        peer.request()
        peer.send(line)

    with raw_server(babble) as server:
        assert failure(ask(server)) is FailureKind.UNREADABLE


@pytest.mark.parametrize("body", [b"<html>Welcome</html>", b"", b"[" * 100_000, b'"\xff"', b"9" * 5000, b"nul"])
def test_what_is_no_json_is_none(body: bytes) -> None:
    assert Reply(200, {}, body, 0).json is None


def test_a_sandbox_names_itself() -> None:
    with raw_server(answers((204, b"", "x-crm-sandbox: 1\r\n"), (204, b""))) as server, transport(server.url) as crm:
        found = [crm.request("POST", "/contacts", {}) for _ in range(2)]
        assert [isinstance(reply, Reply) and reply.sandbox for reply in found] == [True, False]
