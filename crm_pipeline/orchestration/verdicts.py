"""What each check finds, in words and numbers: is every contact on its way, and if not, what is to be done?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from time import time
from typing import Any

from dagster import AssetCheckSeverity, MetadataValue, TableColumn, TableRecord, TableSchema

from crm_pipeline.contacts.counts import depth, recent, refusals
from crm_pipeline.contacts.ledger import Entry, look
from crm_pipeline.model import NewsKind, OutcomeKind
from crm_pipeline.wiring import Pipeline

SHOWN = 100
FEWEST_ATTEMPTS = 20
"""A share of fewer says nothing."""
INTERVALS_WITHOUT_AN_ANSWER = 3
ANSWERED = (OutcomeKind.SYNCED, OutcomeKind.FAILED, OutcomeKind.REJECTED, OutcomeKind.SKIPPED)
WAITING_MINUTES = "waiting_minutes"
ENTRY_COLUMNS = TableSchema(
    [
        TableColumn("email", "string", "The address, masked."),
        TableColumn("contact_id", "string"),
        TableColumn("statuses", "string"),
        TableColumn("since", "string", "First seen so, UTC."),
        TableColumn("what_to_do", "string"),
    ]
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one check found."""

    name: str
    passed: bool
    says: str
    severity: AssetCheckSeverity = AssetCheckSeverity.ERROR
    numbers: dict[str, float] = field(default_factory=dict)
    entries: tuple[Entry, ...] = ()

    @property
    def metadata(self) -> dict[str, MetadataValue[Any]]:
        """For the UI: numbers as plots, contacts as a table."""
        shown: dict[str, MetadataValue[Any]] = {
            name: MetadataValue.int(number) if isinstance(number, int) else MetadataValue.float(number)
            for name, number in self.numbers.items()
        }
        if self.entries:
            shown["contacts"] = MetadataValue.table([_record(entry) for entry in self.entries[:SHOWN]], ENTRY_COLUMNS)
        return shown


def loss_ledger(pipeline: Pipeline) -> Verdict:
    """Each contact that somebody wants has a next step, which is taken in time (3 intervals between runs)."""
    paused = pipeline.gate.state().paused
    ledger = look(pipeline.queue, pipeline.crm.sync.scheduler_interval_minutes, paused)
    numbers: dict[str, float] = {"lost": len(ledger.lost), "half_wanted": len(ledger.warnings)}
    entries = (*ledger.lost, *ledger.warnings)
    if ledger.lost:
        says = f"Without a next step, or overdue: {len(ledger.lost)} contacts. `crm-pipeline ledger` lists them."
        return Verdict("loss_ledger", False, says, numbers=numbers, entries=entries)
    if ledger.warnings:
        says = f"Queued, although nobody wants them (New or Skipped): {len(ledger.warnings)} contacts."
        return Verdict("loss_ledger", False, says, AssetCheckSeverity.WARN, numbers, entries)
    return Verdict("loss_ledger", True, "Every contact that somebody wants has a next step.", numbers=numbers)


def refused_share(pipeline: Pipeline) -> Verdict:
    """The share of pushes that failed or were rejected, of the last 24 hours."""
    sync = pipeline.crm.sync
    found = refusals(pipeline.queue)
    percent = round(100 * found.refused / found.attempts, 2) if found.attempts else 0.0
    numbers: dict[str, float] = {"attempts": found.attempts, "refused": found.refused, "refused_percent": percent}
    says = f"{percent:g} % of {found.attempts} pushes of the last 24 hours failed or were rejected"
    judged = found.attempts >= FEWEST_ATTEMPTS
    if judged and percent >= sync.refusals_warn_percent:
        worse = percent >= sync.refusals_error_percent
        severity = AssetCheckSeverity.ERROR if worse else AssetCheckSeverity.WARN
        return Verdict("refusals", False, f"{says}: the runs' tables of failures say why.", severity, numbers)
    return Verdict("refusals", True, f"{says}.", numbers=numbers)


def pace(pipeline: Pipeline) -> Verdict:
    """Is the gate open? Closed for cause a person must act; a CRM that is down is a warning."""
    state = pipeline.gate.state()
    numbers: dict[str, float] = {"paused_seconds": round(state.paused_seconds, 1)}
    if state.cause_kind is NewsKind.CLOSED:
        now = depth(pipeline.queue)
        says = f"{state.cause} Until then {now.queued} contacts that are due wait."
        return Verdict("pace", False, says, numbers=numbers)
    if state.cause_kind is NewsKind.UNAVAILABLE and state.paused:
        return Verdict("pace", False, f"The CRM is {state.sentence()}", AssetCheckSeverity.WARN, numbers)
    return Verdict("pace", True, "Contacts may be sent.", numbers=numbers)


def drift(pipeline: Pipeline) -> Verdict:
    """Is the database as the pipeline needs it?"""
    findings = pipeline.schema_findings()
    numbers: dict[str, float] = {"problems": len(findings.problems), "warnings": len(findings.warnings)}
    if findings.problems:
        says = " ".join((*findings.problems[:5], "`crm-pipeline db check` says more."))
        return Verdict("drift", False, says, numbers=numbers)
    return Verdict("drift", True, "The database is as it must be.", numbers=numbers)


def freshness(pipeline: Pipeline, waiting_since: float | None) -> Verdict:
    """Work that waits goes on: contacts got an answer of the CRM within the last 3 intervals between runs.

    `waiting_since`: the Unix time, in seconds, since which earlier looks found work waiting, and nothing answered.
    """
    minutes = INTERVALS_WITHOUT_AN_ANSWER * pipeline.crm.sync.scheduler_interval_minutes
    pushes = recent(pipeline.queue, minutes, []).pushes
    answered = sum(pushes.get(kind.value, 0) for kind in ANSWERED)
    due = depth(pipeline.queue).queued if pipeline.queue.due_now() else 0
    waited = 0.0 if answered or not due or waiting_since is None else max(time() - waiting_since, 0) / 60
    numbers: dict[str, float] = {"answered": answered, "due": due, WAITING_MINUTES: round(waited, 1)}
    if waited < minutes:
        says = f"{answered} contacts got their answer within the last {minutes} minutes; {due} are due."
        return Verdict("freshness", True, says, numbers=numbers)
    state = pipeline.gate.state()
    why = f"it is {state.sentence()}" if state.paused else "are the schedule and the daemon running?"
    says = f"{due} contacts are due, and for {waited:.0f} minutes {pipeline.crm.spec.title} answered for none: {why}"
    return Verdict("freshness", False, says, numbers=numbers)


def waiting_since(made_at: float, numbers: Mapping[str, float]) -> float | None:
    """What `freshness` is to be told of its last verdict, which was made then (Unix time) and found these numbers."""
    if numbers.get("answered") or not numbers.get("due"):
        return None
    return made_at - 60 * numbers.get(WAITING_MINUTES, 0.0)


def _record(entry: Entry) -> TableRecord:
    return TableRecord(
        {
            "email": entry.masked_email,
            "contact_id": str(entry.contact_id),
            "statuses": entry.statuses,
            "since": f"{entry.since:%Y-%m-%d %H:%M:%S}",
            "what_to_do": entry.what_to_do,
        }
    )
