"""Many contacts through the job `brevo_sync`, at a sandbox that takes 20 ms for each answer, without a cap."""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

from rich.progress import Progress

from benchmarks.measured import Measured
from benchmarks.server import data_folder
from crm_pipeline.database.embedded import DAGSTER, EmbeddedPostgres
from crm_pipeline.database.engine import Database
from crm_pipeline.database.upgrade import upgrade
from crm_pipeline.sandbox.server import SandboxServer
from crm_pipeline_tests.support.contacts import insert_many, pairs

ROOT = Path(__file__).resolve().parent.parent
LATENCY_SECONDS = 0.02
THREADS = 16
CONTACTS = 10_000
FEWER = 1_000
KEY = "benchmark-key"


def measure(progress: Progress) -> list[Measured]:
    """Wall time, CPU and memory for 10,000 contacts; Dagster's events for 1,000."""
    task = progress.add_task(f"{CONTACTS:,} contacts through brevo_sync", total=3)
    with data_folder() as folder, slow_sandbox() as url:
        postgres = EmbeddedPostgres(folder).start()
        database = Database(postgres.url())
        upgrade(database)
        environment = job_environment(folder, postgres, url)
        progress.advance(task)
        few = _run_job(database, environment, FEWER)
        progress.advance(task)
        many = _run_job(database, environment, CONTACTS)
        progress.advance(task)
        database.dispose()
    waiting = CONTACTS * LATENCY_SECONDS / THREADS
    goal = max(1.25 * waiting, CONTACTS * 0.0015)
    return [
        Measured(f"{CONTACTS:,} contacts, {THREADS} threads", f"{many['seconds']:.1f} s", f"{goal:.1f} s",
                 many["seconds"] <= goal),
        Measured("CPU of the run per contact", f"{1000 * many['cpu_seconds'] / CONTACTS:.2f} ms"),
        Measured("peak memory of the run", f"{many['peak_mb']:.0f} MB"),
        Measured(f"Dagster events per contact at {FEWER:,}", f"{few['events'] / FEWER:.2f}", "0.5",
                 few["events"] / FEWER <= 0.5),
    ]  # fmt: skip


@contextmanager
def slow_sandbox(latency_seconds: float = LATENCY_SECONDS) -> Iterator[str]:
    """A sandbox in a process of its own; yields its address."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, latency_seconds), daemon=True)
    process.start()
    try:
        yield ours.recv()
    finally:
        ours.send(None)
        process.join()


def _serve(pipe: Connection, latency_seconds: float) -> None:
    with SandboxServer(api_key=KEY) as sandbox:
        sandbox.account("brevo").faults.latency_seconds = latency_seconds
        pipe.send(sandbox.url)
        pipe.recv()


def job_environment(folder: Path, postgres: EmbeddedPostgres, sandbox_url: str) -> dict[str, str]:
    """What the pipeline's processes need, with a rate that never limits."""
    home = folder / "dagster"
    home.mkdir(exist_ok=True)
    (home / "dagster.yaml").write_bytes((ROOT / "dagster.yaml").read_bytes())
    dagster = postgres.url(DAGSTER).set(drivername="postgresql").render_as_string(hide_password=False)
    return {
        "PATH": os.environ["PATH"],
        "DAGSTER_HOME": str(home),
        "DAGSTER_DATABASE_URL": dagster,
        "CRM_PIPELINE_DATA_DIR": str(folder),
        "CRM_PIPELINE_ENV_FILE": "",
        "BREVO_API_KEY": KEY,
        "BREVO_API_BASE_URL": sandbox_url + "/v3",
        "BREVO_SYNC_RATE_PER_SECOND": "2000",
        "BREVO_SYNC_CONCURRENCY": str(THREADS),
        "BREVO_SYNC_MAX_CONTACTS_PER_RUN": str(CONTACTS),
    }


def _run_job(database: Database, environment: dict[str, str], contacts: int) -> dict[str, float]:
    """Queue so many contacts, run the job in a process of its own, and see that all are Complete."""
    before = pairs(database).get("Complete/Complete", 0)
    insert_many(database, contacts, domain=f"of-{contacts}.example.com")
    ran = subprocess.run(
        [sys.executable, "-m", "benchmarks.one_run"], env=environment, cwd=ROOT, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    assert pairs(database) == {"Complete/Complete": before + contacts}
    measured: dict[str, float] = json.loads(ran.stdout.splitlines()[-1])
    return measured
