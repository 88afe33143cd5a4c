"""`crm-pipeline failures`: what the contacts that failed have in common."""

from __future__ import annotations

import json
from datetime import UTC
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from crm_pipeline.cli.choice import CrmOption, chosen
from crm_pipeline.contacts.counts import counted
from crm_pipeline.contacts.failure_groups import FailureGroup, FailureGroups, failure_groups
from crm_pipeline.logs import start_logging
from crm_pipeline.settings import Settings
from crm_pipeline.wiring import Pipeline

console = Console()
MOST = 1000


def failures(
    crm: CrmOption = None,
    limit: Annotated[int, typer.Option(help="How many causes.", min=1, max=MOST)] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document (docs/cli.md).")] = False,
) -> None:
    """Contacts whose last push failed, by cause, the most frequent first. Scans the table of contacts."""
    settings = Settings.load()
    start_logging(settings)
    pipeline = chosen(settings, crm)
    try:
        found = failure_groups(pipeline.queue, limit)
    finally:
        pipeline.close()
    if as_json:
        print(json.dumps(_document(pipeline, found), indent=2))
    else:
        _show(pipeline, found)


def _document(pipeline: Pipeline, found: FailureGroups) -> dict[str, Any]:
    return {
        "crm": pipeline.crm.name,
        "contacts": found.contacts,
        "causes": found.causes,
        "groups": [
            {
                "cause": group.cause,
                "contacts": group.waiting + group.given_up,
                "waiting": group.waiting,
                "given_up": group.given_up,
                "last_at": group.last_at and group.last_at.astimezone(UTC).isoformat(timespec="seconds"),
                "example": {
                    "contact_id": str(group.contact_id),
                    "email": group.masked_email,
                    "error": group.error,
                },
                "what_to_do": " ".join(_what_to_do(pipeline, group)).strip(),
                "command": _why(group),
            }
            for group in found.groups
        ],
    }


def _show(pipeline: Pipeline, found: FailureGroups) -> None:
    title = pipeline.crm.spec.title
    if not found.groups:
        console.print(f"No contact has failed at {title}: none waits for its retry, none was given up.")
        return
    causes = "1 cause" if found.causes == 1 else f"{found.causes:,} causes"
    console.print(f"{counted(found.contacts)} failed at {title}, for {causes}:", highlight=False)
    for group in found.groups:
        last = f", the last {group.last_at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC" if group.last_at else ""
        console.print()
        console.print(Text.assemble((counted(group.waiting + group.given_up), "bold"), f": {_states(group)}{last}"))
        sentence, step = _what_to_do(pipeline, group)
        console.print(_indented(group.error or "(no error is noted)", "yellow"))
        console.print(_indented(sentence))
        if step:
            console.print(f"    {step}", markup=False, highlight=False, soft_wrap=True)  # whole: to be copied
        console.print(_indented(f"One of them, {group.masked_email}:"))
        console.print(f"    {_why(group)}", markup=False, highlight=False, soft_wrap=True)
    if found.causes > len(found.groups):
        more = found.causes - len(found.groups)
        causes = "1 cause" if more == 1 else f"{more:,} causes"
        raised = min(found.causes, MOST)
        console.print(f"\n... and {causes} more: `crm-pipeline failures --limit {raised}`.", highlight=False)


def _states(group: FailureGroup) -> str:
    if not group.given_up:
        return "waiting for the retry"
    if not group.waiting:
        return "given up"
    return f"{group.waiting:,} waiting for their retry, {group.given_up:,} given up"


def _what_to_do(pipeline: Pipeline, group: FailureGroup) -> tuple[str, str]:
    """A sentence for a person, and with what it is done; empty: with nothing."""
    if not group.given_up:
        return "They are tried again by themselves.", ""
    if group.waiting + group.given_up == 1:
        return "Mend what the error names, then:", f"crm-pipeline contacts select {group.contact_id}"
    text = json.dumps(group.contains, ensure_ascii=False)  # a string of JSON is one of YAML
    chosen_by = f"error_contains: {text}" if group.contains else "ids: ..."
    return f"Mend what the error names, then launch {pipeline.crm.name}_requeue in Dagster with", chosen_by


def _why(group: FailureGroup) -> str:
    return f"crm-pipeline contacts why {group.contact_id}"


def _indented(line: str, style: str = "") -> Padding:
    return Padding(Text(line, style), (0, 0, 0, 4), expand=False)
