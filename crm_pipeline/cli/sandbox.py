"""`crm-pipeline sandbox`: a local stand-in of the CRMs' APIs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from crm_pipeline.cli.stack import console, stopped_by_signal
from crm_pipeline.errors import UsageError
from crm_pipeline.sandbox.account import Account
from crm_pipeline.sandbox.mishaps import Shares
from crm_pipeline.sandbox.quota import Limits
from crm_pipeline.sandbox.registry import SANDBOXES
from crm_pipeline.sandbox.server import SandboxServer

HOST = "127.0.0.1"


def sandbox(
    port: Annotated[int, typer.Option(help="Port.", min=1, max=65535)] = 8025,
    host: Annotated[str, typer.Option(help="Address to listen on. Another than the default lets others in.")] = HOST,
    api_key: Annotated[str | None, typer.Option(help="The only key that is accepted. Unset: any key is.")] = None,
    state: Annotated[
        Path | None, typer.Option(help="Folder that keeps its contacts. Unset: they are gone at the end.")
    ] = None,
    latency: Annotated[float, typer.Option(help="Seconds that each answer takes.", min=0, max=600)] = 0.0,
    share_429: Annotated[float, typer.Option(help="Share of requests that get 429, e.g. 0.1.", min=0, max=1)] = 0.0,
    share_5xx: Annotated[float, typer.Option(help="Share of requests that get a 5xx, e.g. 0.1.", min=0, max=1)] = 0.0,
    per_second: Annotated[
        int | None, typer.Option(help="Requests a second that an account answers. Unset: as the CRM documents.", min=0)
    ] = None,
    per_hour: Annotated[
        int | None, typer.Option(help="Requests an hour that an account answers. Unset: as the CRM documents.", min=0)
    ] = None,
    limits: Annotated[bool, typer.Option(help="Whether an account answers only so many requests.")] = True,
) -> None:
    """Run a sandbox: it answers like the CRM, reaches nobody, and shows its contacts at http://127.0.0.1:PORT/."""
    try:
        shares = Shares(throttled=share_429, failed=share_5xx)
    except ValueError as error:
        raise UsageError(f"--share-429, --share-5xx: {error}.") from None
    if not limits and (per_second is not None or per_hour is not None):
        raise UsageError("--no-limits goes with neither --per-second nor --per-hour.")

    def prepare(account: Account) -> None:
        account.faults.latency_seconds, account.faults.shares = latency, shares
        if not limits:
            account.quota.enforce(Limits())
        if per_second is not None:
            account.quota.per_second = per_second
        if per_hour is not None:
            account.quota.per_hour = per_hour

    with (
        stopped_by_signal() as stop,
        SandboxServer(api_key, port, host, state, quota=True, prepare=prepare) as server,
    ):
        console.print(f"The sandbox shows its contacts at {server.url}/. Ctrl-C stops it.", highlight=False)
        for name in SANDBOXES:
            account = server.account(name)
            console.print(f"{account.title}'s API is at {account.url}", highlight=False)
        while not stop.wait(0.5):  # without an end, a signal that another thread took would not wake it
            pass
