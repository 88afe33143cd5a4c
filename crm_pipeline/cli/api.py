"""`crm-pipeline api`: the HTTP API alone."""

from __future__ import annotations

from typing import Annotated

import typer

from crm_pipeline.cli.stack import console, stopped_by_signal
from crm_pipeline.logs import start_logging
from crm_pipeline.settings import Settings


def api(
    host: Annotated[
        str | None, typer.Option(help="Address to listen on. Unset: CRM_PIPELINE_API_HOST, or 127.0.0.1.")
    ] = None,
    port: Annotated[
        int | None, typer.Option(help="Port. Unset: CRM_PIPELINE_API_PORT, or 8000.", min=1, max=65535)
    ] = None,
) -> None:
    """Serve the HTTP API (docs/api.md): select contacts, and ask what became of them. Ctrl-C stops it.

    Callers must send the token of CRM_PIPELINE_API_TOKEN. Without one it serves this machine alone, and the embedded
    database's demo contacts. The database must be upgraded before: `crm-pipeline db upgrade`.
    """
    from crm_pipeline.api.server import ApiServer  # no other command needs what it imports

    settings = Settings.load()
    start_logging(settings, others=("uvicorn",))
    general = settings.general
    with (
        stopped_by_signal() as stop,
        ApiServer(settings, host or general.crm_pipeline_api_host, port or general.crm_pipeline_api_port) as server,
    ):
        asked = "asks for the token of CRM_PIPELINE_API_TOKEN" if server.needs_token else "asks for no token"
        console.print(f"The API is at {server.url} and {asked}. Ctrl-C stops it.", highlight=False, soft_wrap=True)
        while not stop.wait(0.5):
            server.raise_if_ended()
