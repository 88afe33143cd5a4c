"""What `dev` and `up` share: the processes of Dagster and the API, one screen that says what runs where, their end."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from crm_pipeline.cli.processes import Processes
from crm_pipeline.errors import UsageError
from crm_pipeline.settings import ENV_FILE_VARIABLE, PROJECT_ROOT, Settings, env_file

READY_SECONDS = 90.0
console = Console()
Port = Annotated[int, typer.Option(help="Port of the Dagster UI on 127.0.0.1.", min=1, max=65535)]
ApiPort = Annotated[
    int | None, typer.Option(help="Port of the HTTP API. Unset: CRM_PIPELINE_API_PORT, or 8000.", min=1, max=65535)
]


def program(name: str) -> str:
    """Path of a program of this Python environment."""
    return str(Path(sys.executable).parent / name)


def start_dagster(processes: Processes, folder: Path, dagster_database: str, port: int, stop: threading.Event) -> None:
    """Start webserver and daemon, and wait for the UI. `folder` gets DAGSTER_HOME, `dagster_database` is a URL."""
    for name in ("dagster.yaml", "workspace.yaml"):
        if not (PROJECT_ROOT / name).exists():
            raise UsageError(f"{PROJECT_ROOT / name} is not there: run this from a checkout of the project.")
    home = folder / "dagster"
    home.mkdir(exist_ok=True)
    shutil.copy(PROJECT_ROOT / "dagster.yaml", home)
    environment = _environment(folder) | {"DAGSTER_HOME": str(home), "DAGSTER_DATABASE_URL": dagster_database}
    workspace = ["-w", str(PROJECT_ROOT / "workspace.yaml")]
    webserver = [program("dagster-webserver"), "-h", "127.0.0.1", "-p", str(port), *workspace]
    with console.status("Starting Dagster ..."):
        processes.start("dagster-webserver", webserver, environment, home)
        # One after the other: the first creates Dagster's tables.
        ui = f"http://127.0.0.1:{port}/server_info"
        processes.wait_until(lambda: stop.is_set() or answers(ui), "the Dagster UI", READY_SECONDS)
        if stop.is_set():
            return
        processes.start("dagster-daemon", [program("dagster-daemon"), "run", *workspace], environment, home)


def start_api(processes: Processes, folder: Path, host: str, port: int) -> None:
    """Start the HTTP API; it begins to answer while Dagster starts."""
    command = [program("crm-pipeline"), "api", "--host", host, "--port", str(port)]
    processes.start("api", command, _environment(folder), folder)


def wait_for_api(processes: Processes, host: str, port: int, stop: threading.Event) -> str:
    """Wait until the API answers; returns its address, as this machine reaches it."""
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    local = url.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:")
    processes.wait_until(lambda: stop.is_set() or answers(f"{local}/health"), "the API", READY_SECONDS)
    return url


def _environment(folder: Path) -> dict[str, str]:
    """This process's, with the settings' files by their full names: the others run elsewhere."""
    return os.environ | {
        "CRM_PIPELINE_DATA_DIR": str(folder),
        ENV_FILE_VARIABLE: str(Path(file).resolve()) if (file := env_file()) else "",
    }


def answers(url: str) -> bool:
    """Does a local server answer at this URL?"""
    try:
        with urllib.request.urlopen(url, timeout=5):  # noqa: S310 (a URL of our own)
            return True
    except (urllib.error.URLError, TimeoutError, ConnectionError):
        return False


def show(settings: Settings, database: str, addresses: Mapping[str, str], folder: Path) -> None:
    """One screen: what runs where, and how to end it."""
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    for name, address in addresses.items():
        table.add_row(name, address)
    table.add_row("Database", database)
    for crm in settings.crms.values():
        title, sync = crm.spec.title, crm.sync
        table.add_row(
            title,
            f"{sync.every}, and when something is due, at {crm.rate_per_second:g} requests/s"
            if crm.enabled
            else f"off: {crm.spec.key_variable} is not set",
        )
    table.add_row("Data and logs", f"{folder}, logs in {folder / 'logs'}")
    console.print(table, highlight=False)
    console.print("Ctrl-C stops it all.\n")


@contextmanager
def ended_together(folder: Path) -> Iterator[Processes]:
    """Processes that all end with the block, also when one fails."""
    processes = Processes(folder)
    try:
        yield processes
    finally:
        with suppress(OSError):  # the terminal may be gone
            console.print("Stopping ...")
        processes.end()


@contextmanager
def stopped_by_signal() -> Iterator[threading.Event]:
    """SIGINT (Ctrl-C) and SIGTERM set the event.

    That handlers are set matters: a program started in the background ignores SIGINT, and so would its children.
    """
    stop = threading.Event()
    before = {
        number: signal.signal(number, lambda *_: stop.set())
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    }
    try:
        yield stop
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)
