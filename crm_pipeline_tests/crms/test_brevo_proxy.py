"""A company's proxy between the pushes and Brevo: one hiccup of it is no more than one of Brevo's own."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from crm_pipeline.contacts.queue import Queue
from crm_pipeline.database.engine import Database
from crm_pipeline.gate.gate import Gate
from crm_pipeline.model import WELL, CheckResult
from crm_pipeline_tests.crms.brevo_account import CREATED, connected
from crm_pipeline_tests.crms.connect_proxy import URL, says, tunnel
from crm_pipeline_tests.crms.raw_server import Peer, Script, answers, raw_server
from crm_pipeline_tests.push.pushing import Pushing
from crm_pipeline_tests.support.contacts import insert_many, pairs, sql
from crm_pipeline_tests.support.sandbox import KEY

CONTACTS = 12


def hangs_up(peer: Peer) -> None:
    peer.request()


@pytest.mark.parametrize("hiccup", [says(b"HTTP/1.1 503 x\r\n\r\n"), says(b"HTTP/1.1 502 x\r\n\r\n"), hangs_up])
def test_one_hiccup_of_the_proxy_is_retried_and_all_others_go_on(
    hiccup: Script,
    certificate: Path,
    server_side: ssl.SSLContext,
    monkeypatch: pytest.MonkeyPatch,
    database: Database,
    queue: Queue,
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    insert_many(database, CONTACTS)

    def way(peer: Peer) -> None:
        (hiccup if proxy.connections == 1 else tunnel(crm.port))(peer)

    with raw_server(answers(CREATED), server_side) as crm, raw_server(way) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://{proxy.host}")
        with connected(URL, 1, api_key=KEY) as brevo:
            gate = Gate(database, "brevo", brevo.identity, 1000)
            gate.begin()
            gate.tell_check(CheckResult(WELL), gate.state())
            Pushing(queue, gate, brevo, 1).push_and_write_back()
    assert gate.state().cause is None
    assert pairs(database)["Complete/Complete"] == CONTACTS - 1
    (failed,) = sql(database, "SELECT error FROM crm_attempts WHERE outcome <> 'synced'")
    assert "that HTTPS_PROXY names" in failed.error
