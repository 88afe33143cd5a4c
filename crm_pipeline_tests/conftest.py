"""Fixtures of all tests: a real PostgreSQL with a cloned database per test, no settings from outside, loopback only."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from crm_pipeline.contacts.columns import CrmColumns
from crm_pipeline.contacts.queue import Queue, RetryPolicy
from crm_pipeline.database.embedded import EmbeddedPostgres
from crm_pipeline.database.engine import Database
from crm_pipeline_tests.support.postgres import cloned, start_server

pytest_plugins = ["crm_pipeline_tests.support.browser", "crm_pipeline_tests.support.sandbox"]

OURS = ("DATABASE_URL", "DAGSTER_", "CRM_PIPELINE_", "BREVO_", "HUBSPOT_", "MAUTIC_", "N8N_")
BREVO = CrmColumns("brevo", "brevo_contact_id")


def pytest_configure(config: pytest.Config) -> None:
    """Forget the settings of whoever runs the tests, their `.env` included."""
    for name in [name for name in os.environ if name.startswith(OURS)]:
        del os.environ[name]
    os.environ["CRM_PIPELINE_ENV_FILE"] = ""


@pytest.fixture(autouse=True, scope="session")
def _loopback_only() -> Iterator[None]:
    """A test that would leave this machine fails."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        if self.family != socket.AF_UNIX and not str(address[0]).startswith(("127.", "::1", "localhost")):
            raise AssertionError(f"a test tried to connect to {address}")
        connect(self, address)

    socket.socket.connect = guarded  # type: ignore[method-assign]
    yield
    socket.socket.connect = connect  # type: ignore[method-assign]


def _server_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.getbasetemp()
    return (base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base) / "server"


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> EmbeddedPostgres:
    """The session's PostgreSQL server, shared by all workers."""
    return start_server(_server_folder(tmp_path_factory))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """The last one out stops the server."""
    if os.environ.get("PYTEST_XDIST_WORKER"):
        return
    factory = getattr(session.config, "_tmp_path_factory", None)
    if factory is not None and factory._basetemp is not None:
        folder = factory.getbasetemp() / "server"
        if (folder / "postgres" / "postmaster.pid").exists():
            EmbeddedPostgres(folder).stop()


@pytest.fixture
def database(postgres: EmbeddedPostgres) -> Iterator[Database]:
    """A fresh, migrated database."""
    with cloned(postgres) as url:
        database = Database(url)
        yield database
        database.dispose()


@pytest.fixture
def queue(database: Database) -> Queue:
    """Brevo's queue with the default retries."""
    return Queue(database, BREVO, RetryPolicy(), target="api.example.com")
