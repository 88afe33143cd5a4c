"""`crm-pipeline ledger`: does every contact that somebody wants have a next step?"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC

import typer
from rich.console import Console
from rich.table import Column, Table

from crm_pipeline.cli.choice import CrmOption, chosen
from crm_pipeline.contacts.ledger import Entry, heal, look
from crm_pipeline.errors import ActionNeeded
from crm_pipeline.logs import start_logging
from crm_pipeline.settings import Settings

app = typer.Typer(help="Contacts without a next step, or whose next step is overdue.", invoke_without_command=True)
console = Console()
SHOWN = 100


@app.callback()
def show(context: typer.Context, crm: CrmOption = None) -> None:
    """List them; exit code 1 when there are any."""
    if context.invoked_subcommand is not None:
        return
    settings = Settings.load()
    start_logging(settings)
    pipeline = chosen(settings, crm)
    try:
        paused = pipeline.crm.enabled and pipeline.gate.state().paused
        ledger = look(pipeline.queue, pipeline.crm.sync.scheduler_interval_minutes, paused)
    finally:
        pipeline.close()
    _print("Nobody wants these, although they are Queued", ledger.warnings)
    _print("Without a next step", ledger.lost)
    if ledger.lost:
        raise ActionNeeded(
            f"Contacts without a next step, or whose next step is overdue: {len(ledger.lost)}. "
            "`crm-pipeline ledger heal` mends what is safe to mend."
        )
    console.print("Every contact that somebody wants has a next step.")


@app.command("heal")
def heal_(crm: CrmOption = None) -> None:
    """Mend what is safe to mend: queue pairs that no event makes, and do what each run begins with."""
    settings = Settings.load()
    start_logging(settings)
    pipeline = chosen(settings, crm)
    try:
        healed = heal(pipeline.queue)
    finally:
        pipeline.close()
    console.print(
        f"{healed.queued} queued, {healed.reaped} given back after their process died, {healed.taken_back} taken back, "
        f"{healed.promoted} promoted."
    )


def _print(title: str, entries: Sequence[Entry]) -> None:
    if not entries:
        return
    whole = [Column(name, no_wrap=True) for name in ("address", "contact", "since (UTC)")]
    table = Table(*whole, "statuses", "what to do", title=title)
    for entry in entries[:SHOWN]:
        since = f"{entry.since.astimezone(UTC):%Y-%m-%d %H:%M}"
        table.add_row(entry.masked_email, str(entry.contact_id), since, entry.statuses, entry.what_to_do)
    console.print(table)
    if len(entries) > SHOWN:
        console.print(f"... and {len(entries) - SHOWN} more.")
