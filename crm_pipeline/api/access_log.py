"""One line for each request, without its query, its headers and its body."""

from __future__ import annotations

import logging
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from crm_pipeline.api.health import OPEN_PATHS

LONGEST_PATH = 300
"""Characters that are logged: anybody may send 60,000."""

logger = logging.getLogger(__name__)


class AccessLog:
    """Logs method, path, status and time; what only watches the process, at DEBUG."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI has it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.monotonic(), 500

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noted)
        finally:
            path = _shown(scope.get("raw_path", b"").partition(b"?")[0].decode("ascii", "replace"))
            level = logging.DEBUG if scope["path"] in OPEN_PATHS else logging.INFO
            logger.log(level, "%s %s %d %.0f ms", scope["method"], path, status, (time.monotonic() - started) * 1000)


def _shown(path: str) -> str:
    """As it was sent: on one line. The part at which it is cut is left out: half an address is not recognised."""
    return path if len(path) <= LONGEST_PATH else path[:LONGEST_PATH].rpartition("/")[0] + "/…"
