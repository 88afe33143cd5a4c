"""`crm-pipeline dev`, started as a person starts it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
import pytest
import requests
from playwright.sync_api import Page, expect

from crm_pipeline.database.embedded import EmbeddedPostgres
from crm_pipeline.database.engine import Database
from crm_pipeline_tests.support.contacts import sql
from crm_pipeline_tests.support.waiting import wait_for

ROOT = Path(__file__).resolve().parent.parent.parent
COMPLETE = [(f"test-dual-status-{n}@example.com", "Complete", "Complete", None, 0) for n in range(1, 6)]
STATUSES = """
    SELECT email, brevo_sync_status, brevo_processing_status, brevo_processing_error, brevo_contact_id, retry_count
    FROM contacts WHERE email LIKE 'test-dual-status-%@example.com' ORDER BY email
"""
SELECT_FOUR = """
    UPDATE contacts SET brevo_sync_status='Selected', brevo_processing_status='Queued'
    WHERE email IN ('test-dual-status-2@example.com','test-dual-status-3@example.com',
                    'test-dual-status-4@example.com','test-dual-status-5@example.com')
"""
A_REAL_ACCOUNT = "BREVO_LIST_ID=123\nBREVO_API_KEY=a-real-key\nBREVO_SYNC_SCHEDULER_BATCH_SIZE=20\n"

pytestmark = [pytest.mark.timeout(300), pytest.mark.xdist_group("dev")]


class Dev:
    """A running `crm-pipeline dev`."""

    def __init__(
        self, folder: Path, process: subprocess.Popen[str], port: int, sandbox_port: int, api_port: int, screen: Path
    ) -> None:
        self.folder = folder
        self.screen = screen
        self.process = process
        self.ui = f"http://127.0.0.1:{port}"
        self.sandbox = f"http://127.0.0.1:{sandbox_port}"
        self.api = f"http://127.0.0.1:{api_port}"

    @property
    def said(self) -> str:
        """What stands on its screen."""
        return self.screen.read_text()

    def all_complete(self) -> bool:
        """Are the five demo contacts synced?"""
        database = Database(EmbeddedPostgres(self.folder).start().url())
        rows = sql(database, STATUSES)
        database.dispose()
        return [(row[0], *row[1:4], row.retry_count) for row in rows if row.brevo_contact_id == row.email] == COMPLETE

    def select_four(self) -> None:
        """A person wants four of them pushed again, by SQL."""
        database = Database(EmbeddedPostgres(self.folder).start().url())
        sql(database, SELECT_FOUR)
        database.dispose()

    def pushes(self) -> int:
        """How many pushes the sandbox received since its start."""
        (account,) = requests.get(f"{self.sandbox}/contacts.json", timeout=5).json()["accounts"]
        return int(account["received"])


@pytest.fixture
def folder() -> Iterator[Path]:
    """Not below pytest's own: another session that starts makes that unreadable for the server's user."""
    with TemporaryDirectory(prefix="crm-dev-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@contextmanager
def dev(
    folder: Path, ports: tuple[int, int] | None = None, screen: str = "screen", **environment: str
) -> Iterator[Dev]:
    """Start it, wait for what its `screen`, a file of the folder, is to show, and end it with Ctrl-C."""
    port, sandbox_port = ports or free_ports(2)
    (api_port,) = free_ports(1)
    own = {"CRM_PIPELINE_DATA_DIR": str(folder), "CRM_PIPELINE_ENV_FILE": "", "COLUMNS": "200"}
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG")}
    folder.mkdir(exist_ok=True)
    options = [f"--port={port}", f"--sandbox-port={sandbox_port}", f"--api-port={api_port}"]
    command = [Path(sys.executable).parent / "crm-pipeline", "dev", *options]
    with (folder / screen).open("w") as shown:
        process = subprocess.Popen(
            command, env=kept | own | environment, stdout=shown, stderr=subprocess.STDOUT, text=True, cwd=ROOT
        )
    running = Dev(folder, process, port, sandbox_port, api_port, folder / screen)
    try:
        wait_for(lambda: "Ctrl-C stops it all" in running.said or process.poll() is not None, 120)
        yield running
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)


def free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [int(probe.getsockname()[1]) for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def processes_of(folder: Path) -> list[psutil.Process]:
    """What still runs over this folder."""
    found = []
    for process in psutil.process_iter():
        try:
            if str(folder) in " ".join(process.cmdline()) or process.environ().get("DAGSTER_HOME", "").startswith(
                str(folder)
            ):
                found.append(process)
        except psutil.Error:
            continue
    return found


@pytest.mark.browser
def test_everything_starts_syncs_and_shows_itself_survives_kill_9_and_ends_with_ctrl_c(
    folder: Path, page: Page
) -> None:
    ports = free_ports(2)
    ignored = {"DATABASE_URL": "postgresql://user:s3cret@db.invalid/app", "BREVO_API_KEY": "a-real-key"}
    with dev(folder / "data", ports, BREVO_LIST_ID="30", **ignored) as killed:
        assert "Ignored in this trial: DATABASE_URL, BREVO_API_KEY." in killed.said
        assert "s3cret" not in killed.said
        wait_for(killed.all_complete, every=1)
        killed.select_four()
        wait_for(lambda: killed.pushes() == 9 and killed.all_complete(), every=1)
        people_see_it(page, killed)
        the_api_asks_for_no_token(killed)
        a_second_start_says_that_it_is_running_already(killed)
        killed.process.kill()
        killed.process.wait()
    assert processes_of(killed.folder) != []
    (folder / "real.env").write_text(A_REAL_ACCOUNT)
    with dev(folder / "data", ports, CRM_PIPELINE_ENV_FILE=str(folder / "real.env")) as running:
        assert "that an earlier start had left behind" in running.said
        the_account_of_the_env_file_is_ignored_and_another_terminal_finds_the_trial(running)
        assert running.all_complete(), "the same data are found"
        assert running.pushes() == 0, "nothing is pushed anew"
        running.select_four()
        wait_for(lambda: running.pushes() == 4 and running.all_complete(), every=1)
    assert running.process.returncode == 0, running.said
    assert processes_of(running.folder) == []


def people_see_it(page: Page, running: Dev) -> None:
    """The contacts at the sandbox, in the list of the settings; the runs and the asset in Dagster's UI."""
    page.goto(running.sandbox)
    for number in range(1, 6):
        row = page.get_by_role("row").filter(has_text=f"test-dual-status-{number}@example.com")
        expect(row).to_contain_text("List 30")
    page.get_by_role("searchbox").fill("status-3 test")
    expect(page.get_by_role("row").filter(has_text="@example.com")).to_have_count(1)
    page.goto(f"{running.ui}/runs")
    expect(page.get_by_text("Success").first).to_be_visible()
    expect(page.get_by_text("brevo_sync").first).to_be_visible()
    page.goto(f"{running.ui}/assets/brevo/contacts")
    expect(page.get_by_text("contacts").first).to_be_visible()


def the_api_asks_for_no_token(running: Dev) -> None:
    assert f"API            {running.api}" in running.said
    assert requests.get(f"{running.api}/ready", timeout=10).json() == {"status": "ok"}
    assert requests.get(f"{running.api}/api/v3/crm/brevo/check", timeout=30).json()["sandbox"]


def a_second_start_says_that_it_is_running_already(running: Dev) -> None:
    with dev(running.folder, screen="second screen") as second:
        assert second.process.wait(60) == 2
        assert f"It is running already (process {running.process.pid})" in second.said
    assert running.process.poll() is None


def the_account_of_the_env_file_is_ignored_and_another_terminal_finds_the_trial(running: Dev) -> None:
    assert "Ignored in this trial: BREVO_LIST_ID, BREVO_API_KEY." in running.said
    written = (running.folder / "dev.env").read_text()
    assert f"CRM_PIPELINE_DATA_DIR={running.folder}" in written
    assert "BREVO_SYNC_SCHEDULER_BATCH_SIZE=20" in written
    assert "a-real-key" not in written


def test_a_stop_during_the_start_is_heeded(folder: Path) -> None:
    port, sandbox_port, api_port = free_ports(3)
    folder = folder / "data"
    process = subprocess.Popen(
        [Path(sys.executable).parent / "crm-pipeline", "dev", f"--port={port}", f"--sandbox-port={sandbox_port}"],
        env={
            "PATH": os.environ["PATH"],
            "CRM_PIPELINE_DATA_DIR": str(folder),
            "CRM_PIPELINE_ENV_FILE": "",
            "CRM_PIPELINE_API_PORT": str(api_port),
        },
        stdout=subprocess.DEVNULL,
    )
    wait_for(lambda: (folder / "logs" / "dagster-webserver.log").exists(), 60)
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0
    assert not (folder / "logs" / "dagster-daemon.log").exists()
    assert processes_of(folder) == []


@pytest.mark.parametrize("option", ["--port", "--sandbox-port", "--api-port"])
def test_a_port_that_is_taken_is_named_before_anything_is_started(tmp_path: Path, option: str) -> None:
    ports = dict(zip(("--port", "--sandbox-port", "--api-port"), free_ports(3), strict=True))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", ports[option]))
        taken.listen()
        ended = subprocess.run(
            [Path(sys.executable).parent / "crm-pipeline", "dev", *(f"{name}={port}" for name, port in ports.items())],
            env={
                "PATH": os.environ["PATH"],
                "CRM_PIPELINE_DATA_DIR": str(tmp_path / "data"),
                "CRM_PIPELINE_ENV_FILE": "",
            },
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert ended.returncode == 2
    assert f"Port {ports[option]} cannot be used" in ended.stderr
    assert f"Name another with {option}." in ended.stderr
    assert not (tmp_path / "data" / "postgres").exists()
