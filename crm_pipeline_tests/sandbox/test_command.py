"""`crm-pipeline sandbox`, as people start it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from crm_pipeline_tests.push.pushing import eventually


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def sandbox(*options: str) -> Iterator[str]:
    """Yields its address; ends it as Ctrl-C does, which must be well."""
    port = free_port()
    program = str(Path(sys.executable).parent / "crm-pipeline")
    process = subprocess.Popen([program, "sandbox", "--port", str(port), *options], stdout=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"

    def answers() -> bool:
        assert process.poll() is None, "it ended"
        try:
            return requests.get(url, timeout=2).ok
        except requests.ConnectionError:
            return False

    try:
        eventually(answers, 20)
        yield url
    finally:
        os.kill(process.pid, signal.SIGINT)
        assert process.wait(10) == 0


def state(url: str) -> Any:
    return requests.get(f"{url}/control/brevo", timeout=5).json()


def test_it_has_the_documented_limits_unless_told_otherwise() -> None:
    with sandbox() as url:
        quota = state(url)["quota"]
        assert quota == {"per_second": 10, "per_hour": 36_000, "elsewhere_per_hour": 100, "used_by_others": 0}


def test_its_options_are_as_the_control_shows_them_and_a_reset_keeps_its_limits() -> None:
    options = [
        "--latency",
        "0.01",
        "--share-429",
        "0.25",
        "--share-5xx",
        "0.5",
        "--per-second",
        "3",
        "--per-hour",
        "50",
    ]
    with sandbox(*options) as url:
        shown = state(url)
        assert (shown["quota"]["per_second"], shown["quota"]["per_hour"]) == (3, 50)
        assert (shown["shares"]["throttled"], shown["shares"]["failed"], shown["latency_seconds"]) == (0.25, 0.5, 0.01)
        after = requests.post(f"{url}/control/brevo", json={"reset": True}, timeout=5).json()
        assert (after["quota"]["per_second"], after["shares"]["failed"], after["latency_seconds"]) == (3, 0, 0)


def test_without_limits_it_answers_everything() -> None:
    with sandbox("--no-limits") as url, requests.Session() as session:
        answers = [session.get(f"{url}/v3/contacts", headers={"api-key": "any"}, timeout=5) for _ in range(30)]
        assert {answer.status_code for answer in answers} == {200}


@pytest.mark.parametrize(
    "options", [["--share-429", "0.6", "--share-5xx", "0.6"], ["--no-limits", "--per-second", "3"], ["--latency", "-1"]]
)
def test_options_that_cannot_be_end_it_with_a_sentence(options: list[str]) -> None:
    program = str(Path(sys.executable).parent / "crm-pipeline")
    ended = subprocess.run([program, "sandbox", *options], capture_output=True, text=True, timeout=30, check=False)
    assert ended.returncode == 2
    assert options[0] in ended.stderr
    assert "Traceback" not in ended.stderr
