"""`crm-pipeline alerts`: who is told when something turns red."""

from __future__ import annotations

import socket

import typer
from rich.console import Console

from crm_pipeline.alerts.recipients import recipients
from crm_pipeline.alerts.sending import send
from crm_pipeline.errors import ActionNeeded, UsageError
from crm_pipeline.settings import Settings

app = typer.Typer(help="Alerts: who is told when something turns red.", no_args_is_help=True)
console = Console()


@app.callback()
def group() -> None:
    """Alerts: who is told when something turns red."""


@app.command()
def test() -> None:
    """Send a notice to every address in the settings, and say which took it. Exit code 1: one of them did not."""
    told = recipients(Settings.load())
    if not told:
        raise UsageError(
            "Nobody is to be told: set CRM_PIPELINE_ALERT_URLS, or CRM_PIPELINE_SMTP_URL and a CRM's "
            "..._SYNC_FAILURE_NOTIFICATION_EMAIL (docs/alerts.md)."
        )
    text = f"This is a test from {socket.gethostname()}: notices of crm_pipeline arrive here."
    problems = 0
    for recipient in told:
        problem = send(recipient, "crm_pipeline: a test", text)
        problems += problem is not None
        console.print(f"{recipient.name}: {problem or 'told'}", markup=False, highlight=False, soft_wrap=True)
    if problems:
        raise ActionNeeded(f"{problems} of {len(told)} did not take the notice: correct their URLs, then try again.")
