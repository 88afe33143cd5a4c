"""Connections on which no wait outlasts the request's deadline: not a connect, not one byte of headers or body.

A socket's own timeout starts anew with each byte, so a server that trickles could hold a thread for hours.
"""

from __future__ import annotations

import http.client
import io
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError
from urllib3.util.connection import create_connection


class Exchange:
    """One request's deadline (monotonic), and what became of its connection."""

    def __init__(self, total_seconds: float, read_seconds: float) -> None:
        self.deadline = time.monotonic() + total_seconds
        self.read_seconds = read_seconds
        self.on_idle_connection = False
        """It was sent on a connection that an earlier request had opened."""
        self.sent = False
        """At least one byte of the request may have left this machine."""
        self.answered = False
        """At least one byte of a response came."""
        self.at_proxy = False
        """The connection to a proxy, or the tunnel through it, is being made."""

    def left(self, longest: float) -> float:
        """Seconds that may be waited now, at most `longest`; raises TimeoutError when the deadline has passed."""
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the time for the whole request is over")
        return min(left, longest)


_thread = threading.local()


@contextmanager
def taking_part(exchange: Exchange) -> Iterator[None]:
    """Connections used by this thread keep to the deadline of `exchange`."""
    _thread.exchange = exchange
    try:
        yield
    finally:
        del _thread.exchange


class _BoundedReader(io.RawIOBase):
    """Reads from a socket, each time for no longer than the exchange has left."""

    def __init__(self, sock: socket.socket, exchange: Exchange) -> None:
        self._sock = sock
        self._exchange = exchange
        self._raw = sock.makefile("rb", buffering=0)  # keeps the socket open until the body is read

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._sock.settimeout(self._exchange.left(self._exchange.read_seconds))
        count = self._raw.readinto(buffer)
        self._exchange.answered = self._exchange.answered or bool(count)
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


class _BoundedSource:
    """What `http.client` asks a socket for: its file."""

    def __init__(self, sock: socket.socket, exchange: Exchange) -> None:
        self._reader = _BoundedReader(sock, exchange)

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(self._reader)


class _BoundedConnection(HTTPConnection):
    """Keeps to the deadline of its thread's exchange, and tells it whether the connection was idle before."""

    _answers = 0

    def _new_conn(self) -> socket.socket:
        """Try each address, and each once more, until the deadline."""
        exchange: Exchange = _thread.exchange
        exchange.at_proxy = self.proxy is not None
        self._answers = 0
        try:
            found = socket.getaddrinfo(self._dns_host, self.port, type=socket.SOCK_STREAM)
        except socket.gaierror as error:
            raise NameResolutionError(self.host, self, error) from error
        addresses = list(dict.fromkeys(str(address[0]) for *_, address in found))
        failure: OSError = OSError("no address")
        for address in addresses * 2:
            try:
                return create_connection(
                    (address, self.port), exchange.left(float(self.timeout or 0)), socket_options=self.socket_options
                )
            except OSError as error:
                failure = error
        if isinstance(failure, TimeoutError):
            raise ConnectTimeoutError(self, "no connection in time") from failure
        raise NewConnectionError(self, "no connection") from failure

    def _tunnel(self) -> None:
        """Called when a proxy is connected: what it is sent is no part of the request, what it says no answer to it."""
        exchange: Exchange = _thread.exchange
        sent, answered = exchange.sent, exchange.answered
        try:
            super()._tunnel()
        finally:
            exchange.sent, exchange.answered = sent, answered
        exchange.at_proxy = False
        self._answers = 0

    def request(self, *args: Any, **kwargs: Any) -> None:
        _thread.exchange.on_idle_connection = self.sock is not None and self._answers > 0
        super().request(*args, **kwargs)

    def send(self, data: Any) -> None:
        """Called by `http.client` for each part of a request."""
        if self.sock is None:
            self.connect()
        _thread.exchange.sent = True
        super().send(data)

    def response_class(  # type: ignore[override]
        self, sock: socket.socket, debuglevel: int = 0, method: str | None = None
    ) -> http.client.HTTPResponse:
        """Called by `http.client` to read an answer."""
        self._answers += 1
        source: Any = _BoundedSource(sock, _thread.exchange)
        return http.client.HTTPResponse(source, debuglevel, method)


class _BoundedTlsConnection(_BoundedConnection, HTTPSConnection):
    pass


class BoundedPool(HTTPConnectionPool):
    """Keeps `http` connections. A thread that finds none free waits no longer than its exchange has left."""

    ConnectionCls = _BoundedConnection

    def _get_conn(self, timeout: float | None = None) -> Any:
        exchange: Exchange = _thread.exchange
        return super()._get_conn(timeout=exchange.left(timeout or exchange.read_seconds))


class BoundedTlsPool(BoundedPool, HTTPSConnectionPool):
    """The same for `https`."""

    ConnectionCls = _BoundedTlsConnection
