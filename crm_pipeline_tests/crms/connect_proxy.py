"""A real http proxy on loopback: it answers CONNECT, and carries bytes to one port whatever host is named."""

from __future__ import annotations

from crm_pipeline_tests.crms.raw_server import Peer, Script

HOST = "crm.example"
"""Has no address: only a proxy can reach it."""
URL = f"https://{HOST}/v3"


def tunnel(port: int) -> Script:
    """Each CONNECT ends at 127.0.0.1:`port`."""

    def script(peer: Peer) -> None:
        if peer.request() is not None:
            peer.send(b"HTTP/1.1 200 Connection established\r\nVia: 1.1 proxy\r\n\r\n")
            peer.carry_to(port)

    return script


def says(head: bytes) -> Script:
    """Each CONNECT gets this for an answer, and the connection is closed."""

    def script(peer: Peer) -> None:
        if peer.request() is not None:
            peer.send(head)

    return script
