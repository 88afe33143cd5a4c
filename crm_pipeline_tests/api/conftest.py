"""The API over the test's own database, by HTTP; requests carry the token unless a test says otherwise."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import requests

from crm_pipeline.api.server import ApiServer
from crm_pipeline.database.engine import Database
from crm_pipeline.sandbox.account import Account
from crm_pipeline.settings import Settings
from crm_pipeline_tests.support.sandbox import KEY

TOKEN = "the-token-of-the-tests"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


class Client(requests.Session):
    """Asks one server; paths stand for URLs."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.url = url
        self.trust_env = False
        self.headers.update(BEARER)

    def request(self, method: str, path: str, *arguments: Any, **options: Any) -> requests.Response:  # type: ignore[override]
        return super().request(method, self.url + path, *arguments, **{"timeout": 30} | options)


@contextmanager
def served() -> Iterator[Client]:
    """A client of the API with today's settings."""
    with ApiServer(Settings.load(), "127.0.0.1", 0) as server, Client(server.url) as client:
        yield client


@pytest.fixture
def environment(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database of one's own, and a token."""
    monkeypatch.setenv("DATABASE_URL", database.url.render_as_string(hide_password=False))
    monkeypatch.setenv("CRM_PIPELINE_API_TOKEN", TOKEN)


@pytest.fixture
def api(environment: None) -> Iterator[Client]:
    """The API of a person with a database and without a key."""
    with served() as client:
        yield client


@pytest.fixture
def account_settings(environment: None, account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key for a sandbox, which may be synced from a database of one's own."""
    monkeypatch.setenv("BREVO_API_KEY", KEY)
    monkeypatch.setenv("BREVO_API_BASE_URL", account.url)
    monkeypatch.setenv("CRM_PIPELINE_ALLOW_SANDBOX", "true")


@pytest.fixture
def with_account(account_settings: None) -> Iterator[Client]:
    """The API of a person with a database and a key."""
    with served() as client:
        yield client
