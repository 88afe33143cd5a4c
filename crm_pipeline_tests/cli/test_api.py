"""`crm-pipeline api`, started as a person starts it, and what it refuses to start with."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from crm_pipeline.database.embedded import EmbeddedPostgres
from crm_pipeline.database.engine import Database
from crm_pipeline_tests.api.conftest import BEARER, TOKEN
from crm_pipeline_tests.cli.conftest import Run
from crm_pipeline_tests.support.contacts import insert, pair
from crm_pipeline_tests.support.waiting import wait_for

PROGRAM = Path(sys.executable).parent / "crm-pipeline"


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def settings(database: Database, port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", database.url.render_as_string(hide_password=False))
    monkeypatch.setenv("CRM_PIPELINE_API_TOKEN", TOKEN)
    monkeypatch.setenv("CRM_PIPELINE_API_PORT", str(port))


@pytest.fixture
def process(settings: None, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    with (tmp_path / "screen").open("wb") as screen:
        process = subprocess.Popen([PROGRAM, "api"], env=os.environ | {"COLUMNS": "200"}, stdout=screen, stderr=screen)
    yield process
    process.kill()
    process.wait()


def test_it_serves_selects_logs_no_secret_and_ends_with_ctrl_c(
    process: subprocess.Popen[bytes], database: Database, port: int, tmp_path: Path
) -> None:
    url = f"http://127.0.0.1:{port}"
    wait_for(lambda: "Ctrl-C stops it" in (tmp_path / "screen").read_text() or process.poll() is not None, 30)
    assert requests.get(f"{url}/ready", timeout=10).json() == {"status": "ok"}
    ann = insert(database, "ann@example.com", "New", None)
    selection = {"contact_ids": [str(ann)], "crms": ["brevo"], "action": "select"}
    path = f"{url}/api/v3/contacts/crm/select"
    assert requests.post(path, json=selection, timeout=10).status_code == 401
    assert requests.post(path, json=selection, headers=BEARER, timeout=10).json()["updated_count"] == 1
    assert pair(database, ann) == ("Selected", "Queued")
    requests.get(f"{url}/{TOKEN}/ann@example.com", headers=BEARER, timeout=10)
    process.send_signal(signal.SIGINT)
    assert process.wait(10) == 0
    said = (tmp_path / "screen").read_text()
    assert f"The API is at {url} and asks for the token of CRM_PIPELINE_API_TOKEN" in said
    assert "POST /api/v3/contacts/crm/select 200" in said
    assert "POST /api/v3/contacts/crm/select 401" in said
    assert TOKEN not in said
    assert "ann@example.com" not in said


def test_a_port_that_is_taken_ends_it_with_2_and_is_named(settings: None, port: int, run: Run) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        said = run("api")
    assert said.code == 2
    assert f"The API cannot listen on 127.0.0.1:{port}: Address already in use." in said.err
    assert "--port" in said.err


def test_an_address_that_this_machine_has_not_ends_it_with_2(settings: None, run: Run) -> None:
    for host in ("192.0.2.1", "no such host"):
        said = run("api", "--host", host)
        assert (said.code, f"cannot listen on {host}:" in said.err) == (2, True)


def test_without_a_token_it_ends_with_2_and_says_so(settings: None, monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    monkeypatch.delenv("CRM_PIPELINE_API_TOKEN")
    said = run("api")
    assert (said.code, "CRM_PIPELINE_API_TOKEN is not set" in said.err) == (2, True)


@pytest.mark.parametrize(("token", "reason"), [("too-short", "at least 16 characters"), ("a blank is in it", "blanks")])
def test_a_token_that_is_none_is_refused_and_not_shown(
    settings: None, monkeypatch: pytest.MonkeyPatch, run: Run, token: str, reason: str
) -> None:
    monkeypatch.setenv("CRM_PIPELINE_API_TOKEN", token)
    said = run("api")
    assert (said.code, "CRM_PIPELINE_API_TOKEN must" in said.err, reason in said.err) == (2, True, True)
    assert token not in said.err


def test_a_database_that_is_not_there_ends_it_with_2_within_ten_seconds(
    settings: None, monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://user:s3cret@127.0.0.1:1/app")
    started = time.monotonic()
    said = run("api")
    assert time.monotonic() - started < 10
    assert (said.code, "DATABASE_URL (host 127.0.0.1, port 1, database app)" in said.err) == (2, True)
    assert "s3cret" not in said.err


def test_a_database_without_our_tables_ends_it_with_2_and_names_the_upgrade(
    settings: None, postgres: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    monkeypatch.setenv("DATABASE_URL", postgres.url("postgres").render_as_string(hide_password=False))
    said = run("api")
    assert (said.code, "crm-pipeline db upgrade" in said.err) == (2, True)
