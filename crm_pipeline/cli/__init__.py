"""What can be done from a terminal: `crm-pipeline`. One module per group of commands."""

from __future__ import annotations

import io
import os
import sys

import typer
from rich.console import Console

from crm_pipeline.cli import (
    alerts,
    api,
    config,
    contacts,
    crm,
    database,
    dev,
    failures,
    ledger,
    sandbox,
    status,
    sync,
    up,
)
from crm_pipeline.crms.registry import CRMS
from crm_pipeline.errors import PipelineError

app = typer.Typer(
    name="crm-pipeline",
    help="Keeps a CRM in step with a PostgreSQL table of contacts. Settings come from the environment and from .env.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("dev")(dev.dev)
app.command("up")(up.up)
app.command("api")(api.api)
app.command("sandbox")(sandbox.sandbox)
app.command("sync")(sync.sync)
app.command("status")(status.status)
app.command("failures")(failures.failures)
app.command("config")(config.config)
app.add_typer(contacts.app, name="contacts")
app.add_typer(database.app, name="db")
app.add_typer(ledger.app, name="ledger")
app.add_typer(alerts.app, name="alerts")
for spec in CRMS.values():
    app.add_typer(crm.commands(spec), name=spec.name)


def main() -> None:
    """Run a command. Exit codes: 0 well, 1 a person must act, 2 wrong use, settings, schema or unreachable database."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # of a terminal that has not every character
    try:
        app()
    except PipelineError as error:
        Console(stderr=True).print(str(error), style="red", markup=False, highlight=False, soft_wrap=True)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # whoever read the output has seen enough
        sys.exit(1)
