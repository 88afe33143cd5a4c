"""`crm-pipeline {crm} ...`: what concerns a CRM's account."""

from __future__ import annotations

import threading
from datetime import UTC
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from crm_pipeline.contacts.orphans import orphans as listed
from crm_pipeline.contacts.orphans import settle
from crm_pipeline.crms.protocol import CrmSpec
from crm_pipeline.errors import ActionNeeded, UsageError
from crm_pipeline.logs import start_logging
from crm_pipeline.model import NewsKind
from crm_pipeline.settings import Settings
from crm_pipeline.wiring import connect


def commands(spec: CrmSpec) -> typer.Typer:
    """The commands of one CRM."""
    app = typer.Typer(help=f"{spec.title}'s account.", no_args_is_help=True)

    @app.command(help=f"Is the account at {spec.title} usable with these settings? A pass opens a closed gate.")
    def check() -> None:
        console = Console()
        settings = Settings.load()
        start_logging(settings)
        pipeline = connect(settings, spec.name)
        try:
            pipeline.gate.begin()
            result = pipeline.push.check(threading.Event(), by_hand=True)
        finally:
            pipeline.close()
        for warning in result.warnings:
            console.print(warning, style="yellow", markup=False)
        if result.news.kind is not NewsKind.WELL:
            raise ActionNeeded(result.news.sentence or f"{spec.title} gives no usable answer.")
        kind = "a sandbox of " if result.sandbox else ""
        facts = "".join(f", {name}: {value}" for name, value in result.facts.items())
        console.print(f"{pipeline.push_target} is {kind}{spec.title} and accepts the key{facts}.", markup=False)

    @app.command(help=f"Create at {spec.title} what these settings need and the account lacks, such as attributes.")
    def setup() -> None:
        settings = Settings.load()
        start_logging(settings)
        pipeline = connect(settings, spec.name)
        console = Console()
        try:
            pipeline.gate.begin()
            for step in pipeline.push.setup(threading.Event()):
                console.print(step.says, markup=False)
                if step.news.kind is not NewsKind.WELL:
                    raise ActionNeeded(step.news.sentence or f"{spec.title} gives no usable answer.")
        finally:
            pipeline.close()

    @app.command(help=f"Addresses that stayed at {spec.title} when their contact got another one.")
    def orphans(
        done: Annotated[
            str | None, typer.Option(help="You have deleted or merged this address: list it no more.")
        ] = None,
    ) -> None:
        settings = Settings.load()
        start_logging(settings)
        pipeline = connect(settings, spec.name)
        try:
            if done is not None and not settle(pipeline.queue, done):
                raise UsageError(f"{done} is not listed. `crm-pipeline {spec.name} orphans` lists what is.")
            found = listed(pipeline.queue)
        finally:
            pipeline.close()
        if not found:
            Console().print(f"Nothing was left behind at {spec.title}.")
            return
        table = Table(f"at {spec.title}", "the contact's address now", "contact", "since (UTC)")
        for row in found:
            since = row.started_at.astimezone(UTC)
            table.add_row(row.address, row.email, str(row.contact_id), f"{since:%Y-%m-%d %H:%M}")
        Console().print(table)
        Console().print(
            f"Delete or merge them at {spec.title}: nothing here does. `orphans --done ADDRESS` takes one off.",
            soft_wrap=True,
        )

    return app
