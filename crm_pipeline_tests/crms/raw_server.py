"""A loopback server whose every byte the test decides."""

from __future__ import annotations

import json
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Request:
    """A request as it came: `line` is `POST /v3/contacts HTTP/1.1`, header names are in lower case."""

    line: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Peer:
    """The server's end of one connection."""

    def __init__(self, sock: socket.socket, requests: list[Request], stopped: threading.Event) -> None:
        self._sock = sock
        self._requests = requests
        self._received = b""
        self.stopped = stopped

    def request(self) -> Request | None:
        """The next request, or None when the client has gone."""
        while b"\r\n\r\n" not in self._received:
            if not self._receive():
                return None
        head, _, self._received = self._received.partition(b"\r\n\r\n")
        line, *fields = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (field.partition(":") for field in fields)}
        length = int(headers.get("content-length", "0"))
        while len(self._received) < length:
            if not self._receive():
                return None
        body, self._received = self._received[:length], self._received[length:]
        request = Request(line, headers, body)
        self._requests.append(request)
        return request

    def send(self, data: bytes) -> None:
        self._sock.sendall(data)

    def answer(self, status: int, body: bytes = b"", headers: str = "") -> None:
        """A well-formed answer; `headers` are whole lines with their line ends."""
        length = "" if status == 204 else f"Content-Length: {len(body)}\r\n"
        self.send(f"HTTP/1.1 {status} x\r\n{headers}{length}\r\n".encode("latin-1") + body)

    def trickle(self, data: bytes, every_seconds: float) -> None:
        for byte in data:
            self.send(bytes([byte]))
            if self.stopped.wait(every_seconds):
                return

    def reset(self) -> None:
        """Close so that the client sees a reset, not an end."""
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._sock.close()

    def carry_to(self, port: int) -> None:
        """Bytes both ways between the client and another server, until both have ended or one has gone."""
        with socket.create_connection(("127.0.0.1", port)) as other:
            back = threading.Thread(target=_carry, args=(other, self._sock), daemon=True)
            back.start()
            other.sendall(self._received)
            _carry(self._sock, other)
            back.join(10)

    def wait_until_the_test_is_over(self) -> None:
        self.stopped.wait(10)

    def _receive(self) -> bool:
        try:
            piece = self._sock.recv(65536)
        except OSError:
            return False
        self._received += piece
        return bool(piece)


def _carry(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):  # one of the two has gone
        while piece := source.recv(65536):
            target.sendall(piece)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)


Script = Callable[[Peer], None]
"""What the server does on each connection. When it returns, the connection is closed."""


@dataclass
class RawServer:
    port: int
    requests: list[Request]
    connections: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v3"

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"


@contextmanager
def raw_server(script: Script, tls: ssl.SSLContext | None = None) -> Iterator[RawServer]:
    """Runs `script` in a thread for each connection to a port of its own."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)
    stopped = threading.Event()
    server = RawServer(listener.getsockname()[1], [])
    threads: list[threading.Thread] = []

    def serve(sock: socket.socket) -> None:
        try:
            with tls.wrap_socket(sock, server_side=True) if tls else sock as talking:
                script(Peer(talking, server.requests, stopped))
        except OSError:
            pass  # the client went away, which is often what is tested

    def accept() -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            if stopped.is_set():
                sock.close()
                return
            server.connections += 1
            sock.settimeout(10)
            thread = threading.Thread(target=serve, args=(sock,), daemon=True)
            thread.start()
            threads.append(thread)

    accepting = threading.Thread(target=accept, daemon=True)
    accepting.start()
    try:
        yield server
    finally:
        stopped.set()
        with socket.create_connection(("127.0.0.1", server.port)):
            accepting.join()
        listener.close()
        for thread in threads:
            thread.join(0.05)  # one that still waits for its client ends with the process


def answers(*each: tuple[int, bytes] | tuple[int, bytes, str]) -> Script:
    """Answer requests in this order, over all connections; the last answer is repeated for ever."""
    left = list(each)
    lock = threading.Lock()

    def script(peer: Peer) -> None:
        while peer.request() is not None:
            with lock:
                answer = left.pop(0) if len(left) > 1 else left[0]
            peer.answer(*answer)

    return script
