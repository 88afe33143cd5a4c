"""`crm-pipeline contacts`: who is wanted in a CRM, and what became of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Column, Table

from crm_pipeline.cli import csv_files
from crm_pipeline.cli.choice import CrmOption, chosen
from crm_pipeline.contacts.counts import counted, depth, pairs
from crm_pipeline.contacts.next_step import next_step
from crm_pipeline.logs import start_logging
from crm_pipeline.settings import Settings
from crm_pipeline.wiring import Pipeline

app = typer.Typer(help="Contacts: add, select for a CRM, and ask what became of them.", no_args_is_help=True)
app.command("import")(csv_files.import_)
app.command("export")(csv_files.export)
console = Console()
Names = Annotated[list[str], typer.Argument(help="E-mail addresses (any case) or ids.")]


@contextmanager
def _pipeline(crm: str | None) -> Iterator[Pipeline]:
    settings = Settings.load()
    start_logging(settings)
    pipeline = chosen(settings, crm)
    try:
        yield pipeline
    finally:
        pipeline.close()


@app.command()
def add(
    email: Annotated[str, typer.Argument(help="The address.")],
    name: Annotated[str | None, typer.Option(help="Full name.")] = None,
    phone: Annotated[str | None, typer.Option(help="Phone number with its country code.")] = None,
    select: Annotated[bool, typer.Option("--select", help="Select it for the CRM at once.")] = False,
    crm: CrmOption = None,
) -> None:
    """Add one contact. Nobody wants it in a CRM until it is selected."""
    with _pipeline(crm) as pipeline:
        contact_id = pipeline.contacts.add(email, name, phone, [pipeline.queue] if select else [])
        console.print(f"Added {email}, id {contact_id}{', and selected it' if select else ''}.", markup=False)


@app.command()
def select(names: Names, crm: CrmOption = None) -> None:
    """A person wants these contacts in the CRM: they are pushed with the next run, with fresh retries."""
    with _pipeline(crm) as pipeline:
        count = pipeline.queue.select(pipeline.contacts.find(names))
        console.print(f"Selected {counted(count)} for {pipeline.crm.spec.title}.")


@app.command()
def unselect(names: Names, crm: CrmOption = None) -> None:
    """Nobody wants these contacts in the CRM any more. What is there already stays there."""
    with _pipeline(crm) as pipeline:
        count = pipeline.queue.unselect(pipeline.contacts.find(names))
        console.print(f"Unselected {counted(count)}; {pipeline.crm.spec.title} keeps what it has.")


@app.command()
def status(
    names: Annotated[list[str] | None, typer.Argument(help="E-mail addresses or ids. None: counts.")] = None,
    crm: CrmOption = None,
) -> None:
    """How many contacts are in which state; or, for those named, the state of each."""
    with _pipeline(crm) as pipeline:
        queue, title = pipeline.queue, pipeline.crm.spec.title
        if names:
            rows = pipeline.contacts.statuses(queue.statements.columns, pipeline.contacts.find(names))
            console.print(_table(rows, title))
            return
        table = Table("sync status", "processing status", "contacts", title=title)
        for sync_status, processing_status, count in pairs(queue):
            table.add_row(sync_status, processing_status or "NULL", f"{count:,}")
        console.print(table)
        now = depth(queue)
        age = f", the oldest for {now.oldest_seconds / 60:.0f} minutes" if now.queued else ""
        console.print(f"{now.queued:,} due now{age}; {now.waiting:,} waiting for their retry.")


@app.command()
def why(name: Annotated[str, typer.Argument(help="E-mail address or id.")], crm: CrmOption = None) -> None:
    """Why is this contact (not) in the CRM? Its state, every attempt with its answer, and what can be done."""
    with _pipeline(crm) as pipeline:
        queue = pipeline.queue
        ids = pipeline.contacts.find([name])
        for row in pipeline.contacts.statuses(queue.statements.columns, ids):
            console.print(f"{row.email} ({row.id})", style="bold", markup=False, highlight=False)
            again = f"`crm-pipeline contacts select {row.email}`"
            means = next_step(row, pipeline.crm.spec.title, select=again, retry=again)
            console.print(f"{row.sync_status} / {row.processing_status or 'NULL'}: {means}", markup=False)
            if row.error:
                console.print(f"Error: {row.error}", markup=False)
            attempts = pipeline.contacts.attempts(row.id, queue.crm)
            lines = [_attempt(attempt, pipeline.settings) for attempt in attempts]
            lines = ["Attempts, the last first:", *lines] if lines else ["It was never pushed."]
            console.print("\n".join(lines), markup=False, highlight=False, soft_wrap=True)


def _table(rows: list[Any], title: str) -> Table:
    table = _folding("email", "sync", "processing", "retries", "next try", "id there", "error")
    table.title = title
    for row in rows:
        table.add_row(
            *map(_cell, (row.email, row.sync_status, row.processing_status or "NULL", row.retry_count)),
            *map(_cell, (row.next_retry_at, row.external_id, row.error)),
        )
    return table


def _attempt(row: Any, settings: Settings) -> str:
    """One row of `crm_attempts`, in a line or more."""
    answer = " ".join(str(part) for part in (row.http_status, row.code) if part is not None)
    took = None if row.duration_ms is None else f"{row.duration_ms} ms"
    applied = None if row.applied == "applied" else row.applied
    parts = (f"{row.started_at:%Y-%m-%d %H:%M:%S %Z}", f"attempt {row.attempt}", row.outcome, answer, took, applied)
    said = "; ".join(filter(None, (row.error, row.note)))
    run = row.run_id and (settings.general.run_url(row.run_id) or f"run {row.run_id}")
    return "\n      ".join(filter(None, ("  " + "  ".join(filter(None, parts)), said, run)))


def _folding(*names: str) -> Table:
    """A table that cuts nothing off, however narrow the terminal."""
    return Table(*(Column(name, overflow="fold") for name in names))


def _cell(value: Any) -> str:
    """As text, a time to the second; brackets are no markup."""
    if hasattr(value, "astimezone"):
        value = f"{value:%Y-%m-%d %H:%M:%S %Z}"
    return "" if value is None else str(value).replace("[", r"\[")
