"""`crm-pipeline` in this process: a call gives exit code, output and errors, as a terminal would show them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from crm_pipeline import cli
from crm_pipeline.database.engine import Database
from crm_pipeline.sandbox.account import Account
from crm_pipeline_tests.support.sandbox import KEY


@dataclass(frozen=True)
class Said:
    """What a command ended with and said, on one line: terminals differ in where they wrap."""

    code: int
    out: str
    err: str


Run = Callable[..., Said]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: str) -> Said:
        monkeypatch.setattr(sys, "argv", ["crm-pipeline", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, err = capsys.readouterr()
        return Said(int(ended.value.code or 0), " ".join(out.split()), " ".join(err.split()))

    return run


@pytest.fixture
def environment(database: Database, account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database of one's own, and a sandbox that may be synced from it."""
    monkeypatch.setenv("DATABASE_URL", database.url.render_as_string(hide_password=False))
    monkeypatch.setenv("CRM_PIPELINE_ALLOW_SANDBOX", "true")
    monkeypatch.setenv("BREVO_API_KEY", KEY)
    monkeypatch.setenv("BREVO_API_BASE_URL", account.url)
    monkeypatch.setenv("BREVO_SYNC_RATE_PER_SECOND", "200")
