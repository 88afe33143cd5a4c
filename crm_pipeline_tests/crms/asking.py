"""One request to a server of the test's own, and what a test expects of its answer."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from crm_pipeline.crms.transport import FailureKind, Reply, Transport, TransportFailure
from crm_pipeline_tests.crms.raw_server import RawServer

KEY = "xyz-secret-key-0815"
OK = (201, b'{"id":1}')


@contextmanager
def transport(url: str, threads: int = 2, **limits: Any) -> Iterator[Transport]:
    limits = {"total_seconds": 5.0, "connect_seconds": 1.0, "read_seconds": 2.0} | limits
    transport = Transport(url, {"api-key": KEY}, threads, (KEY,), **limits)
    try:
        yield transport
    finally:
        transport.close()


def ask(server: RawServer, **limits: Any) -> Reply | TransportFailure:
    with transport(server.url, **limits) as crm:
        return crm.request("POST", "/contacts", {"email": "a@example.com"})


def failure(answer: Reply | TransportFailure) -> FailureKind:
    assert isinstance(answer, TransportFailure), answer
    assert answer.detail
    return answer.kind


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    started = time.monotonic()
    yield
    assert time.monotonic() - started < seconds
