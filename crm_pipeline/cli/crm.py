"""`crm-pipeline {crm} ...`: what concerns a CRM's account."""

from __future__ import annotations

import threading

import typer
from rich.console import Console

from crm_pipeline.crms.protocol import CrmSpec
from crm_pipeline.errors import ActionNeeded
from crm_pipeline.logs import start_logging
from crm_pipeline.model import NewsKind
from crm_pipeline.settings import Settings
from crm_pipeline.wiring import connect


def commands(spec: CrmSpec) -> typer.Typer:
    """The commands of one CRM."""
    app = typer.Typer(help=f"{spec.title}'s account.", no_args_is_help=True)

    @app.callback()
    def group() -> None:
        """Keeps `check` a command of its own while it is the only one."""

    @app.command(help=f"Is the account at {spec.title} usable with these settings? A pass opens a closed gate.")
    def check() -> None:
        console = Console()
        settings = Settings.load()
        start_logging(settings)
        pipeline = connect(settings, spec.name)
        try:
            pipeline.gate.begin()
            result = pipeline.push.check(threading.Event())
        finally:
            pipeline.close()
        for warning in result.warnings:
            console.print(warning, style="yellow", markup=False)
        if result.news.kind is not NewsKind.WELL:
            raise ActionNeeded(result.news.sentence or f"{spec.title} gives no usable answer.")
        kind = "a sandbox of " if result.sandbox else ""
        facts = "".join(f", {name}: {value}" for name, value in result.facts.items())
        console.print(f"{pipeline.push_target} is {kind}{spec.title} and accepts the key{facts}.", markup=False)

    return app
