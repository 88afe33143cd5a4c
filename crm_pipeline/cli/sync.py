"""`crm-pipeline sync`: one cycle in the foreground, by the same code that Dagster runs."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any
from uuid import UUID, uuid4, uuid5

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from crm_pipeline.contacts.counts import run_summary
from crm_pipeline.errors import ActionNeeded, UsageError
from crm_pipeline.logs import start_logging
from crm_pipeline.model import NewsKind, RunSummary
from crm_pipeline.settings import Settings
from crm_pipeline.wiring import Pipeline, connect

console = Console()


def sync(
    crm: Annotated[str, typer.Argument(help="The CRM, e.g. as `crm-pipeline --help` lists it.")],
    contact: Annotated[
        str | None, typer.Option(help="E-mail address or id: select this contact, and push it alone.")
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="One line per contact, by id.")] = False,
) -> None:
    """Push what is due, once: repair, list, claim, push, write back. Safe beside Dagster, and beside itself.

    Ctrl-C stops it: what is in flight has 3 s to answer, the rest is given back. Exit code 1: a person must act.
    """
    settings = Settings.load()
    start_logging(settings, logging.DEBUG if verbose else logging.INFO)
    pipeline = connect(settings, crm)
    try:
        with _stopped_by_ctrl_c() as stop:
            ids = None if contact is None else _wanted(pipeline, contact)
            pipeline.begin(stop)
            summary, stopped_because = _cycle(pipeline, ids, stop)
        if ids is not None and not summary.attempts:
            console.print("Nothing was pushed: another run is pushing it, or its address, just now.", style="yellow")
        _show(pipeline, summary, stopped_because, stopped=stop.is_set())
    finally:
        pipeline.close()


def _wanted(pipeline: Pipeline, name: str) -> list[UUID]:
    """The contacts with this address or id. Raises UnknownContact, and UsageError for those that opted out."""
    ids = pipeline.contacts.find([name])
    statuses = pipeline.contacts.statuses(pipeline.queue.statements.columns, ids)
    if any(row.sync_status == "Skipped" for row in statuses):
        raise UsageError(
            f"{name} is Skipped: it was set aside, or opted out. If you mean it: `crm-pipeline contacts select {name}`."
        )
    return ids


def _cycle(pipeline: Pipeline, ids: list[UUID] | None, stop: threading.Event) -> tuple[RunSummary, str | None]:
    """Push what is due, or just `ids`, which are selected first. What a failure leaves behind is given back.

    Returns what was done, and why it ended before all was sent, if it did.
    """
    run_id = str(uuid4())
    reason: str | None = None
    queue = pipeline.queue
    found = pipeline.find_due(take_back_always=True)
    batches = found.batches
    if ids is not None:
        queue.select(ids)
        batches = [[contact_id] for contact_id in ids]
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    try:
        with Progress(*columns, console=console) as progress:
            task = progress.add_task(f"{pipeline.crm.spec.title}", total=sum(map(len, batches)))
            for number, batch in enumerate(batches):
                if stop.is_set():
                    break
                reason = _push(pipeline, batch, run_id, number, stop, progress, task)
                if reason is not None:
                    break
    finally:
        queue.give_back(run_id, "the sync ended", crashed=False)
    return run_summary(queue, run_id), reason


def _push(
    pipeline: Pipeline,
    ids: list[UUID],
    run_id: str,
    number: int,
    stop: threading.Event,
    progress: Progress,
    task: TaskID,
) -> str | None:
    """Push and write back one batch; why the next would get nothing through either, or None."""
    lease_id = uuid5(UUID(run_id), str(number))
    pushed = pipeline.push.push(ids, lease_id, run_id, stop, lambda count: progress.advance(task, count))
    pipeline.queue.write_back(lease_id)
    progress.advance(task, len(ids) - sum(pushed.outcomes.values()))
    return pushed.stopped_because


def _show(pipeline: Pipeline, summary: RunSummary, stopped_because: str | None, stopped: bool) -> None:
    """The summary as people read it; raises ActionNeeded when the account is closed."""
    title = pipeline.crm.spec.title
    for failure in summary.failures:
        at = f"tried again after {failure.next_retry_at:%H:%M:%S %Z}" if failure.next_retry_at else "not tried again"
        console.print(
            f"{failure.masked_email} ({failure.contact_id}) {failure.outcome}, {at}:\n    {failure.error or ''}",
            style="yellow", markup=False, highlight=False,
        )  # fmt: skip
    counts = ", ".join(f"{count:,} {outcome}" for outcome, count in summary.attempts.items())
    counts = counts or ("nothing was sent" if stopped_because else "nothing was due")
    pace = f" at {summary.throughput_per_second:g} contacts/s" if summary.attempts else ""
    console.print(
        f"{title}: {counts}{pace}; {summary.queued:,} due now, {summary.waiting:,} waiting for their retry.",
        markup=False,
    )
    state = pipeline.gate.state()
    if state.cause_kind is NewsKind.CLOSED:
        raise ActionNeeded(f"{state.cause} The contacts wait, and go on by themselves once this is put right.")
    if state.paused:
        console.print(f"{title} is {state.sentence()}", style="yellow", markup=False)
    elif stopped_because and not stopped:
        console.print(f"It ended early: {stopped_because}.", style="yellow", markup=False)
    if stopped:
        raise typer.Exit(130)


@contextmanager
def _stopped_by_ctrl_c() -> Iterator[threading.Event]:
    """The first SIGINT or SIGTERM sets the event, the second ends the program."""
    stop = threading.Event()
    before: dict[int, Any] = {}

    def handler(number: int, _frame: object) -> None:
        stop.set()
        signal.signal(number, before[number])

    for wanted in (signal.SIGINT, signal.SIGTERM):
        before[wanted] = signal.signal(wanted, handler)
    try:
        yield stop
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)
