"""`crm-pipeline status`: what is on, what is queued, how fast it goes, and what a person must do."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.console import Console, RenderableType
from rich.live import Live
from rich.text import Text

from crm_pipeline.cli.look import MINUTES, Look, look_at
from crm_pipeline.cli.stack import stopped_by_signal
from crm_pipeline.cli.status_page import page
from crm_pipeline.contacts.standing import GIVEN_UP_HOURS
from crm_pipeline.database.engine import where
from crm_pipeline.errors import PipelineError, UsageError
from crm_pipeline.gate.gate import GateState
from crm_pipeline.gate.hour import Hour
from crm_pipeline.logs import start_logging
from crm_pipeline.model import NewsKind, OutcomeKind
from crm_pipeline.settings import Settings
from crm_pipeline.wiring import Pipeline, open_database, pipelines

REFRESH_SECONDS = 2.0
console = Console()


def status(
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Anew every 2 seconds, until Ctrl-C.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document (docs/cli.md).")] = False,
) -> None:
    """What is on, what is queued, how fast it goes, and what a person must do. Reads indexes, not the whole table.

    Exit code 1: the gate of a CRM is closed for cause, a person must act.
    """
    if watch and as_json:
        raise UsageError("--watch is for people and --json for programs: give one of them.")
    if watch and not console.is_terminal:
        raise UsageError("--watch needs a terminal. Without it: `crm-pipeline status`, or with --json for programs.")
    settings = Settings.load()
    with _looking(settings) as crms:
        if watch:
            _watch(settings, crms)
            return
        start_logging(settings)
        seen = [look_at(pipeline) for pipeline in crms.values()]
        if as_json:
            print(json.dumps(_document(crms, seen), indent=2))
        else:
            console.print(page(_database(crms), seen))
    if any(look.closed for look in seen):
        raise typer.Exit(1)


@contextmanager
def _looking(settings: Settings) -> Iterator[dict[str, Pipeline]]:
    database = open_database(settings)
    crms = pipelines(settings, database)
    try:
        yield crms
    finally:
        for pipeline in crms.values():
            pipeline.close()
        database.dispose()


def _watch(settings: Settings, crms: Mapping[str, Pipeline]) -> None:
    """Until a signal. A database that is away is said, and asked again."""
    with stopped_by_signal() as stop, Live(console=console, auto_refresh=False) as live:
        start_logging(settings, logging.ERROR)  # of a database that is away the page tells
        while True:
            try:
                shown: RenderableType = page(_database(crms), [look_at(pipeline) for pipeline in crms.values()])
            except PipelineError as error:
                shown = Text(f"{error}\nAsked again every {REFRESH_SECONDS:g} s; Ctrl-C ends it.", style="red")
            live.update(shown, refresh=True)
            if stop.wait(REFRESH_SECONDS):
                return


def _document(crms: Mapping[str, Pipeline], seen: list[Look]) -> dict[str, Any]:
    return {
        "at": _iso(datetime.now(UTC)),
        "database": _database(crms),
        "crms": [
            {
                "crm": look.pipeline.crm.name,
                "enabled": look.disabled_because is None,
                "disabled_because": look.disabled_because,
                "target": look.pipeline.push_target or None,
                "interval_minutes": look.pipeline.crm.sync.scheduler_interval_minutes,
                "queue": {
                    "due": look.depth.queued,
                    "oldest_due_seconds": round(look.depth.oldest_seconds, 1),
                    "waiting": look.depth.waiting,
                    "retry_over": look.standing.retry_over,
                    "next_retry_at": _iso(look.standing.next_retry_at),
                    "being_pushed": look.standing.being_pushed,
                    "lease_over": look.standing.lease_over,
                    f"given_up_{GIVEN_UP_HOURS}h": look.standing.given_up,
                },
                "recent": {
                    "minutes": MINUTES,
                    "pushes_per_second": round(look.pushes_per_second, 3),
                    "pushes": {str(outcome): look.recent.pushes.get(outcome, 0) for outcome in OutcomeKind},
                    "answer_seconds": {str(share): seconds for share, seconds in look.recent.answer_seconds.items()},
                },
                "gate": look.gate and _gate_document(look.gate, look.hour),
                "last_run": look.last_run
                and {
                    "run_id": look.last_run.run_id,
                    "url": look.run_url,
                    "began_at": _iso(look.last_run.began_at),
                    "last_push_at": _iso(look.last_run.last_push_at),
                    "pushes": dict(look.last_run.pushes),
                },
                "to_do": look.to_do(),
            }
            for look in seen
        ],
    }


def _gate_document(gate: GateState, hour: Hour | None) -> dict[str, Any]:
    return {
        "state": "closed" if gate.cause_kind is NewsKind.CLOSED else "paused" if gate.paused else "open",
        "rate_per_second": round(gate.rate_per_second, 3),
        "paused_seconds": round(gate.paused_seconds, 1),
        "paused_until": _iso(gate.paused_until) if gate.paused else None,
        "failures_in_a_row": gate.failures_in_a_row,
        "refused_in_a_row": gate.refused_in_a_row,
        "cause": gate.cause,
        "cause_kind": gate.cause_kind,
        "hour": hour and {"used": hour.used, "allowed": hour.allowed, "ends_at": _iso(hour.ends_at)},
    }


def _iso(at: datetime | None) -> str | None:
    return None if at is None else at.astimezone(UTC).isoformat(timespec="seconds")


def _database(crms: Mapping[str, Pipeline]) -> str:
    return where(next(iter(crms.values())).database.url)
