"""`crm-pipeline dev`: everything on this machine, with demo contacts and a sandbox."""

from __future__ import annotations

import os
import threading
from itertools import chain
from pathlib import Path
from typing import Annotated

import typer
from dotenv import dotenv_values

from crm_pipeline.cli.processes import Processes, check_free, the_only_one
from crm_pipeline.cli.stack import (
    ApiPort,
    Port,
    answers,
    console,
    ended_together,
    program,
    show,
    start_api,
    start_dagster,
    stopped_by_signal,
    wait_for_api,
)
from crm_pipeline.crms.registry import CRMS
from crm_pipeline.database.embedded import DAGSTER, EmbeddedPostgres
from crm_pipeline.database.engine import address, where
from crm_pipeline.database.upgrade import upgrade
from crm_pipeline.settings import ENV_FILE_VARIABLE, Settings, env_file
from crm_pipeline.wiring import Pipeline, open_database

KEY = "sandbox-key"
HOST = "127.0.0.1"
ENV_FILE = "dev.env"
PAGE = "CRM_PIPELINE_DAGSTER_URL"
ALERTS = {"CRM_PIPELINE_ALERT_URLS", "CRM_PIPELINE_SMTP_URL"}
"""In `.env` they are meant for the real thing: nobody is told of a trial, unless the environment names them."""
DEMO_CONTACTS = tuple(f"test-dual-status-{number}@example.com" for number in range(1, 6))


def dev(
    port: Port = 3000,
    sandbox_port: Annotated[int, typer.Option(help="Port of the sandbox on 127.0.0.1.", min=1, max=65535)] = 8025,
    sandbox_api_key: Annotated[
        str,
        typer.Option(help="The key that the sandbox accepts. Any other than the default shows what a wrong key does."),
    ] = KEY,
    api_port: ApiPort = None,
) -> None:
    """Try it on this machine: embedded PostgreSQL, sandbox, Dagster, five demo contacts. Ctrl-C stops it all.

    DATABASE_URL and the CRMs' keys are ignored: it touches no other database and no real CRM. A second start finds the
    same data.
    """
    sandbox_url = f"http://127.0.0.1:{sandbox_port}"
    ignored = _enter_environment(sandbox_url, f"http://127.0.0.1:{port}")
    if ignored:
        console.print(f"Ignored in this trial: {', '.join(ignored)}. `make up` uses them.", style="yellow")
    settings = Settings.load()
    folder = settings.general.crm_pipeline_data_dir
    api_port = api_port or settings.general.crm_pipeline_api_port
    with the_only_one(folder), stopped_by_signal() as stop:
        check_free(port, "--port")
        check_free(sandbox_port, "--sandbox-port")
        check_free(api_port, "--api-port")
        with console.status("Starting PostgreSQL ..."):
            postgres = EmbeddedPostgres(folder).start()
        try:
            with ended_together(folder) as processes:
                pipelines = [Pipeline(settings, crm) for crm in settings.crms.values()]
                _prepare_database(settings, pipelines)
                _start_sandbox(processes, folder, sandbox_port, sandbox_api_key)
                start_api(processes, folder, HOST, api_port)
                start_dagster(processes, folder, address(postgres.url(DAGSTER)), port, stop)
                api = wait_for_api(processes, HOST, api_port, stop)
                addresses = {"Dagster": f"http://127.0.0.1:{port}", "Sandbox": sandbox_url, "API": api}
                if stop.is_set():
                    return
                show(settings, where(postgres.url()), addresses, folder)
                _write_env_file(folder / ENV_FILE)
                _watch(pipelines, stop, processes)
        finally:
            postgres.stop()


def _enter_environment(sandbox_url: str, dagster_url: str) -> list[str]:
    """Give this process, and so its children, the trial's environment; returns what was set and is ignored."""
    file = {name: value for name, value in dotenv_values(env_file()).items() if value}
    accounts_settings = {f"{spec.name}_{name}".upper() for spec in CRMS.values() for name in spec.settings.model_fields}
    accounts_settings |= {f"{spec.name}_SYNC_FAILURE_NOTIFICATION_EMAIL".upper() for spec in CRMS.values()} | ALERTS
    given = {name: value for name, value in file.items() if name not in accounts_settings} | dict(os.environ)
    accounts = {spec.key_variable: KEY for spec in CRMS.values()}
    accounts |= {spec.base_url_variable: sandbox_url + spec.sandbox_path for spec in CRMS.values()}
    ignored = [name for name in file if name in accounts_settings and name not in os.environ]
    ignored += [
        name
        for name in ("DATABASE_URL", "DAGSTER_DATABASE_URL", "CRM_PIPELINE_SCHEMA", *accounts)
        if given.pop(name, None) not in (None, "", accounts.get(name))
    ]
    os.environ.clear()
    os.environ.update(given | accounts | {ENV_FILE_VARIABLE: "", PAGE: dagster_url})
    return ignored


def _write_env_file(path: Path) -> None:
    """The trial's settings, for `crm-pipeline` in other terminals."""
    names = [spec.name.upper() for spec in CRMS.values()]
    lines = [f"{name}={value}" for name, value in os.environ.items() if name.partition("_")[0] in names]
    lines += [f"CRM_PIPELINE_DATA_DIR={path.parent}", f"{PAGE}={os.environ[PAGE]}"]
    path.write_text("# Written by `crm-pipeline dev`.\n" + "\n".join(sorted(lines)) + "\n")
    console.print(
        f"In another terminal, `crm-pipeline` works on the same contacts after\n  export {ENV_FILE_VARIABLE}={path}\n",
        highlight=False,
        soft_wrap=True,
    )


def _prepare_database(settings: Settings, pipelines: list[Pipeline]) -> None:
    """Bring the schema up to date, and add the demo contacts unless there are some."""
    database = open_database(settings)
    upgrade(database)
    database.dispose()
    contacts = pipelines[0].contacts
    if not contacts.known(DEMO_CONTACTS):
        queues = [pipeline.queue for pipeline in pipelines]
        for email in DEMO_CONTACTS:
            contacts.add(email, f"Test Contact{email[17]}", wanted_by=queues)


def _start_sandbox(processes: Processes, folder: Path, port: int, api_key: str) -> None:
    state = folder / "sandbox"
    state.mkdir(exist_ok=True)
    options = ["--port", str(port), "--api-key", api_key, "--state", str(state)]
    processes.start("sandbox", [program("crm-pipeline"), "sandbox", *options], os.environ, folder)
    processes.wait_until(lambda: answers(f"http://127.0.0.1:{port}/"), "the sandbox", 30)


def _watch(pipelines: list[Pipeline], stop: threading.Event, processes: Processes) -> None:
    """Until stopped: see that everything runs, and say when the demo contacts are in the sandbox."""
    waiting = list(pipelines)
    while not stop.wait(1):
        processes.raise_if_one_ended()
        for pipeline in waiting.copy():
            ids = list(chain.from_iterable(pipeline.contacts.known(DEMO_CONTACTS).values()))
            rows = pipeline.contacts.statuses(pipeline.queue.statements.columns, ids)
            if rows and all(row.sync_status == "Complete" for row in rows):
                console.print(f"{pipeline.crm.spec.title}: all {len(rows)} demo contacts are Complete.", style="green")
                waiting.remove(pipeline)
