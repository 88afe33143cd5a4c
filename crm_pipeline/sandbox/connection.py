"""What a server can do to a connection besides answering: reset it, end it too early, leave it waiting."""

from __future__ import annotations

import asyncio
import socket
import struct
from http import HTTPStatus
from typing import Any

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.auto import AutoHTTPProtocol

TRANSPORT = "crm_pipeline.transport"
"""Key of the connection's transport in an ASGI scope."""


class Protocol(AutoHTTPProtocol):  # type: ignore[misc,valid-type]
    """uvicorn's, with the connection's transport in each scope."""

    def connection_made(self, transport: Any) -> None:
        """A client has connected."""
        super().connection_made(transport)
        app: ASGIApp = self.app  # type: ignore[has-type]

        async def with_transport(scope: Scope, receive: Receive, send: Send) -> None:
            scope[TRANSPORT] = transport
            await app(scope, receive, send)

        self.app = with_transport


class Reset(Response):
    """The connection is reset."""

    async def __call__(self, scope: Scope, receive: Receive, _: Send) -> None:
        """Instead of sending."""
        transport = scope[TRANSPORT]
        reset_at_once = struct.pack("ii", 1, 0)  # SO_LINGER: on, 0 seconds
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset_at_once)
        transport.abort()
        await _left(receive)


class Truncated(Response):
    """The first half of another answer's body, or of its status line when it has none; then the connection ends."""

    def __init__(self, whole: Response) -> None:
        super().__init__()
        self._whole = whole

    async def __call__(self, scope: Scope, receive: Receive, _: Send) -> None:
        """Instead of sending."""
        whole, body = self._whole, bytes(self._whole.body)
        head = f"HTTP/1.1 {whole.status_code} {HTTPStatus(whole.status_code).phrase}\r\n".encode()
        head += b"".join(b"%s: %s\r\n" % header for header in whole.raw_headers) + b"\r\n"
        # A 204 is complete with its status line: that has to break off.
        scope[TRANSPORT].write(head + body[: len(body) // 2] if body else head[: len(b"HTTP/1.1 2")])
        scope[TRANSPORT].close()
        await _left(receive)


class Unanswered(Response):
    """Nothing, until the client gives up or the sandbox ends."""

    def __init__(self, ended: asyncio.Event) -> None:
        super().__init__()
        self._when = ended

    async def __call__(self, scope: Scope, receive: Receive, _: Send) -> None:
        """Instead of sending."""
        leaving, ending = asyncio.create_task(_left(receive)), asyncio.create_task(self._when.wait())
        waiting = (await asyncio.wait([leaving, ending], return_when=asyncio.FIRST_COMPLETED))[1]
        for one in waiting:
            one.cancel()
        scope[TRANSPORT].abort()
        await _left(receive)


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
