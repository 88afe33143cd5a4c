"""`crm-pipeline sandbox`: a local stand-in of the CRMs' APIs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from crm_pipeline.cli.stack import console, stopped_by_signal
from crm_pipeline.sandbox.registry import SANDBOXES
from crm_pipeline.sandbox.server import SandboxServer


def sandbox(
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1.", min=1, max=65535)] = 8025,
    api_key: Annotated[str | None, typer.Option(help="The only key that is accepted. Unset: any key is.")] = None,
    state: Annotated[
        Path | None, typer.Option(help="Folder that keeps its contacts. Unset: they are gone at the end.")
    ] = None,
) -> None:
    """Run a sandbox: it answers like the CRM, reaches nobody, and shows its contacts at http://127.0.0.1:PORT/."""
    with stopped_by_signal() as stop, SandboxServer(api_key, port, state_dir=state) as server:
        console.print(f"The sandbox shows its contacts at {server.url}/. Ctrl-C stops it.", highlight=False)
        for name in SANDBOXES:
            account = server.account(name)
            console.print(f"{account.title}'s API is at {account.url}", highlight=False)
        stop.wait()
