"""Threads share few connections; a request goes out twice only when an idle one turns out to be closed."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from crm_pipeline.crms.transport import LONGEST_BODY, FailureKind, Reply, TransportFailure
from crm_pipeline_tests.crms.asking import OK, ask, at_most, failure, transport
from crm_pipeline_tests.crms.raw_server import Peer, answers, raw_server


def test_threads_share_their_connections() -> None:
    with raw_server(answers(OK)) as server, transport(server.url, threads=8) as crm, ThreadPoolExecutor(8) as threads:
        replies = list(threads.map(lambda _: crm.request("POST", "/contacts", {}), range(200)))
        assert all(isinstance(reply, Reply) and reply.status == 201 for reply in replies)
        assert len(server.requests) == 200
        assert server.connections <= 8


def test_a_thread_waits_for_a_free_connection_no_longer_than_its_request_may_last() -> None:
    def silent(peer: Peer) -> None:
        peer.request()
        peer.wait_until_the_test_is_over()

    with (
        raw_server(silent) as server,
        transport(server.url, threads=1, total_seconds=0.4, read_seconds=0.4) as crm,
        ThreadPoolExecutor(3) as threads,
        at_most(0.9),
    ):
        found = [failure(answer) for answer in threads.map(lambda _: crm.request("GET", "/x"), range(3))]
        assert found == [FailureKind.TIMEOUT] * 3


@pytest.mark.parametrize("status", [201, 307, 500])
def test_an_answer_that_is_not_read_to_its_end_leaves_its_place_in_the_pool(status: int) -> None:
    def long(peer: Peer) -> None:
        while peer.request() is not None:
            peer.answer(status, b"x" * (2 * LONGEST_BODY))

    with raw_server(long) as server, transport(server.url, threads=1) as crm, at_most(1):
        for _ in range(4):
            answer = crm.request("GET", "/x")
            assert isinstance(answer, Reply) or answer.kind is FailureKind.OVERSIZE


def test_a_connection_that_was_closed_while_idle_costs_nothing() -> None:
    def close_after_each(peer: Peer) -> None:
        if peer.request() is not None:
            peer.answer(*OK)

    with raw_server(close_after_each) as server, transport(server.url) as crm:
        for _ in range(5):
            assert isinstance(crm.request("POST", "/contacts", {}), Reply)
        assert len(server.requests) == 5


@pytest.mark.parametrize("reset", [False, True])
def test_a_request_into_a_closing_idle_connection_is_sent_once_more(reset: bool) -> None:
    def close_at_the_second(peer: Peer) -> None:
        peer.request()
        peer.answer(*OK)
        if peer.request() is not None and reset:
            peer.reset()

    with raw_server(close_at_the_second) as server, transport(server.url) as crm:
        for _ in range(2):
            assert isinstance(crm.request("POST", "/contacts", {}), Reply)
        assert (len(server.requests), server.connections) == (3, 2)


def test_a_request_is_sent_again_only_once() -> None:
    def close_all_but_the_first(peer: Peer) -> None:
        if peer.request() is not None and server.connections == 1:
            peer.answer(*OK)
            peer.request()

    with raw_server(close_all_but_the_first) as server, transport(server.url) as crm:
        crm.request("POST", "/contacts", {})
        assert failure(crm.request("POST", "/contacts", {})) is FailureKind.CONNECTION
        assert len(server.requests) == 3


@pytest.mark.parametrize("reset", [False, True])
def test_a_request_on_a_new_connection_is_never_sent_again(reset: bool) -> None:
    def hang_up(peer: Peer) -> None:
        peer.request()
        if reset:
            peer.reset()

    with raw_server(hang_up) as server:
        assert failure(ask(server)) is FailureKind.CONNECTION
        assert len(server.requests) == 1


@pytest.mark.parametrize("begun", [b"H", b"HTTP/1.1 201 x\r\nContent-Le"])
def test_a_request_is_not_sent_again_once_a_byte_of_an_answer_came(begun: bytes) -> None:
    def break_off(peer: Peer) -> None:
        peer.request()
        peer.answer(*OK)
        peer.request()
        peer.send(begun)
        time.sleep(0.05)
        peer.reset()

    with raw_server(break_off) as server, transport(server.url) as crm:
        crm.request("POST", "/contacts", {})
        assert isinstance(crm.request("POST", "/contacts", {}), TransportFailure)
        assert len(server.requests) == 2
