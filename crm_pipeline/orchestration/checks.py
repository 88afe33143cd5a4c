"""Asset checks on `{crm}/contacts`: green means green. Made after every sync, and hourly.

Annotations are not postponed here: Dagster reads those of checks as they are.
"""

from collections.abc import Callable, Iterator

from dagster import (
    AssetCheckEvaluation,
    AssetCheckExecutionContext,
    AssetCheckKey,
    AssetCheckResult,
    AssetChecksDefinition,
    AssetSelection,
    DagsterInstance,
    DefaultScheduleStatus,
    ScheduleDefinition,
    asset_check,
    define_asset_job,
    in_process_executor,
)

from crm_pipeline.crms.protocol import CrmSpec
from crm_pipeline.orchestration.assets import contacts_key
from crm_pipeline.orchestration.resources import SyncResource
from crm_pipeline.orchestration.verdicts import (
    Verdict,
    drift,
    freshness,
    loss_ledger,
    pace,
    refused_share,
    waiting_since,
)
from crm_pipeline.settings import CrmSettings
from crm_pipeline.wiring import Pipeline

HOURLY = "17 * * * *"


OF_THE_DATABASE: dict[str, Callable[[Pipeline], Verdict]] = {
    "loss_ledger": loss_ledger,
    "refusals": refused_share,
    "pace": pace,
    "drift": drift,
}
CHECKS = {name: check.__doc__ for name, check in OF_THE_DATABASE.items()} | {"freshness": freshness.__doc__}
"""All checks, with what each asks."""
EARLIER = 5
"""Records among which a check's last evaluation is looked for; the newest is of the one that is being made."""


def judge(name: str, pipeline: Pipeline, instance: DagsterInstance) -> Verdict:
    """Make one check. Raises PipelineError."""
    if name == "freshness":
        return freshness(pipeline, _waiting_since(instance, pipeline.crm.name))
    return OF_THE_DATABASE[name](pipeline)


def evaluations(pipeline: Pipeline, instance: DagsterInstance) -> Iterator[AssetCheckEvaluation]:
    """All checks, for a run that is no check's own."""
    for name in CHECKS:
        verdict = judge(name, pipeline, instance)
        yield AssetCheckEvaluation(
            asset_key=contacts_key(pipeline.crm.name),
            check_name=name,
            passed=verdict.passed,
            severity=verdict.severity,
            description=verdict.says,
            metadata=verdict.metadata,
        )


def asset_checks(spec: CrmSpec) -> list[AssetChecksDefinition]:
    """The five checks of one CRM, as the UI shows them and runs them on demand."""
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
    @asset_check(asset=contacts_key(spec.name), name=name, description=CHECKS[name], required_resource_keys={spec.name})
    def checked(context: AssetCheckExecutionContext) -> AssetCheckResult:
        crm: SyncResource = getattr(context.resources, spec.name)
        verdict = judge(name, crm.pipeline, context.instance)
        return AssetCheckResult(
            passed=verdict.passed,
            severity=verdict.severity,
            description=verdict.says,
            metadata=verdict.metadata,
        )

    return checked


def _waiting_since(instance: DagsterInstance, crm: str) -> float | None:
    key = AssetCheckKey(contacts_key(crm), "freshness")
    for record in instance.event_log_storage.get_asset_check_execution_history(key, EARLIER):
        evaluation = record.evaluation
        if isinstance(evaluation, AssetCheckEvaluation):
            numbers = {
                name: float(number)
                for name, value in evaluation.metadata.items()
                if isinstance(number := value.value, int | float)
            }
            return waiting_since(record.create_timestamp, numbers)
    return None
