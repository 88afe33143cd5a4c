"""Fixtures of all tests: a real PostgreSQL with a cloned database per test, no settings from outside, loopback only."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from crm_pipeline.contacts.answers import RetryPolicy
from crm_pipeline.contacts.columns import CrmColumns
from crm_pipeline.contacts.queue import Queue
from crm_pipeline.database.embedded import EmbeddedPostgres
from crm_pipeline.database.engine import Database
from crm_pipeline_tests.support.postgres import cloned, start_server

pytest_plugins = [
    "crm_pipeline_tests.support.browser",
    "crm_pipeline_tests.support.receivers",
    "crm_pipeline_tests.support.sandbox",
]

SERVER_FOLDER = "CRM_TESTS_SERVER_FOLDER"
RAM = Path("/dev/shm")
ROOM_BYTES = 4 << 30
"""What the tests' folders need at most, with some to spare."""
OURS = ("DATABASE_URL", "DAGSTER_", "CRM_PIPELINE_", "BREVO_", "HUBSPOT_", "MAUTIC_", "N8N_")
BREVO = CrmColumns("brevo", "brevo_contact_id")


def pytest_configure(config: pytest.Config) -> None:
    """Forget the settings of whoever runs the tests, their `.env` included."""
    for name in [name for name in os.environ if name.startswith(OURS)]:
        del os.environ[name]
    os.environ["CRM_PIPELINE_ENV_FILE"] = ""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        _work_in_memory()
        # Not below pytest's own folder: another session that starts makes that unreadable for the server's user.
        os.environ[SERVER_FOLDER] = tempfile.mkdtemp(prefix="crm-tests-")
        Path(os.environ[SERVER_FOLDER]).chmod(0o755)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Groups first: one worker runs the tests of a group, one after the other, the others have all the rest meanwhile.

    The groups are the tests that wait for Dagster's processes, so that nothing long is left at the end and no more of
    Dagster's run at one time than there are groups.
    """
    items.sort(key=lambda item: item.get_closest_marker("xdist_group") is None)


def _work_in_memory() -> None:
    """Temporary folders in memory, where there is room: a database of its own per test is a thousand files on a disk.

    TMPDIR, when it is set, says where else.
    """
    if "TMPDIR" not in os.environ and RAM.is_dir() and shutil.disk_usage(RAM).free >= ROOM_BYTES:
        os.environ["TMPDIR"] = str(RAM)
        tempfile.tempdir = None  # it is found anew


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


@pytest.fixture(scope="session")
def postgres() -> EmbeddedPostgres:
    """The session's PostgreSQL server, shared by all workers."""
    return start_server(Path(os.environ[SERVER_FOLDER]))


def pytest_unconfigure() -> None:
    """The last one out stops the server."""
    folder = Path(os.environ[SERVER_FOLDER])
    if "PYTEST_XDIST_WORKER" not in os.environ and folder.exists():
        if (folder / "postgres" / "postmaster.pid").exists():
            EmbeddedPostgres(folder).stop()
        shutil.rmtree(folder, ignore_errors=True)


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
