"""Asset checks on `{crm}/contacts`: green means green. Made after every sync, and hourly.

Annotations are not postponed here: Dagster reads those of checks as they are.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from dagster import (
    AssetCheckEvaluation,
    AssetCheckExecutionContext,
    AssetCheckResult,
    AssetChecksDefinition,
    AssetCheckSeverity,
    AssetSelection,
    DefaultScheduleStatus,
    MetadataValue,
    ScheduleDefinition,
    TableColumn,
    TableRecord,
    TableSchema,
    asset_check,
    define_asset_job,
    in_process_executor,
)

from crm_pipeline.contacts.counts import refusals
from crm_pipeline.contacts.ledger import Entry, look
from crm_pipeline.crms.protocol import CrmSpec
from crm_pipeline.model import NewsKind
from crm_pipeline.orchestration.assets import contacts_key
from crm_pipeline.orchestration.resources import SyncResource
from crm_pipeline.settings import CrmSettings
from crm_pipeline.wiring import Pipeline

SHOWN = 100
FEWEST_ATTEMPTS = 20
"""A share of fewer says nothing."""
HOURLY = "17 * * * *"
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
        return Verdict("pace", False, str(state.cause), numbers=numbers)
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


CHECKS = {"loss_ledger": loss_ledger, "refusals": refused_share, "pace": pace, "drift": drift}


def evaluations(pipeline: Pipeline) -> Iterator[AssetCheckEvaluation]:
    """All checks, for a run that is no check's own."""
    for check in CHECKS.values():
        verdict = check(pipeline)
        yield AssetCheckEvaluation(
            asset_key=contacts_key(pipeline.crm.name),
            check_name=verdict.name,
            passed=verdict.passed,
            severity=verdict.severity,
            description=verdict.says,
            metadata=verdict.metadata,
        )


def asset_checks(spec: CrmSpec) -> list[AssetChecksDefinition]:
    """The four checks of one CRM, as the UI shows them and runs them on demand."""
    return [_asset_check(spec, name) for name in CHECKS]


def checks_schedule(crm: CrmSettings) -> ScheduleDefinition:
    """`{crm}_checks_schedule`: all checks every hour, also when nothing is synced."""
    job = define_asset_job(
        f"{crm.name}_checks",
        selection=AssetSelection.checks_for_assets(contacts_key(crm.name)),
        description=f"Asks whether all is well with the contacts of {crm.spec.title}.",
        executor_def=in_process_executor,
        tags={"crm": crm.name},
    )
    return ScheduleDefinition(
        name=f"{crm.name}_checks_schedule",
        job=job,
        cron_schedule=HOURLY,
        default_status=DefaultScheduleStatus.RUNNING if crm.enabled else DefaultScheduleStatus.STOPPED,
        description="Makes the checks every hour, also when nothing is synced.",
    )


def _asset_check(spec: CrmSpec, name: str) -> AssetChecksDefinition:
    check = CHECKS[name]

    @asset_check(
        asset=contacts_key(spec.name), name=name, description=check.__doc__, required_resource_keys={spec.name}
    )
    def checked(context: AssetCheckExecutionContext) -> AssetCheckResult:
        crm: SyncResource = getattr(context.resources, spec.name)
        verdict = check(crm.pipeline)
        return AssetCheckResult(
            passed=verdict.passed,
            severity=verdict.severity,
            description=verdict.says,
            metadata=verdict.metadata,
        )

    return checked


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
