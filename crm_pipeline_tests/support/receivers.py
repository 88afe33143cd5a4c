"""Where notices arrive: a webhook and a mail server, in this process."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.header import decode_header, make_header
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from aiosmtpd.controller import Controller


@dataclass
class Webhook:
    """What was posted, in its order; answers with `status`, once `open` is set."""

    url: str = ""
    received: list[dict[str, Any]] = field(default_factory=list)
    status: int = 200
    open: threading.Event = field(default_factory=threading.Event)

    @property
    def titles(self) -> list[str]:
        """The titles of the notices that it took."""
        return [str(notice["title"]) for notice in self.received]


@contextmanager
def _webhook() -> Iterator[Webhook]:
    hook = Webhook()
    hook.open.set()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            hook.open.wait(10)
            if hook.status == 200:
                hook.received.append(body)
            self.send_response(hook.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Not on the terminal."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    hook.url = f"json://127.0.0.1:{server.server_port}/secret-path"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield hook
    finally:
        hook.open.set()
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    with _webhook() as hook:
        yield hook


@pytest.fixture
def second_webhook() -> Iterator[Webhook]:
    with _webhook() as hook:
        yield hook


@dataclass
class Mail:
    """One mail that arrived."""

    recipients: list[str]
    subject: str
    text: str


@dataclass
class MailServer:
    """An SMTP server without encryption."""

    url: str = ""
    received: list[Mail] = field(default_factory=list)

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 (aiosmtpd's name)
        message = message_from_bytes(envelope.content)
        payload = next(part for part in message.walk() if part.get_content_type().startswith("text/"))
        text = payload.get_payload(decode=True)
        assert isinstance(text, bytes)
        subject = str(make_header(decode_header(message["Subject"])))
        self.received.append(Mail(list(envelope.rcpt_tos), subject, text.decode()))
        return "250 OK"


@pytest.fixture
def mail_server() -> Iterator[MailServer]:
    server = MailServer()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    controller = Controller(server, hostname="127.0.0.1", port=port)  # it takes no 0
    controller.start()
    server.url = f"mailto://127.0.0.1:{port}?from=pipeline@example.com&mode=insecure"
    yield server
    controller.stop()
