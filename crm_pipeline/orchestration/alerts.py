"""`alert_sensor`: tells a person when a job or a check turns red, and when it is well again.

It judges what Dagster has on record: each job's newest finished run (of a backfill: each day's), and each check's
newest evaluation. What is cancelled, and what warns, changes nothing. What was told stands in the sensor's cursor,
which is in Dagster's database: an outage of the application's can be told too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from time import time

from dagster import (
    AssetCheckEvaluation,
    AssetCheckKey,
    AssetCheckSeverity,
    DagsterEventType,
    DagsterInstance,
    DagsterRunStatus,
    DefaultSensorStatus,
    RunsFilter,
    SensorDefinition,
    SensorEvaluationContext,
    SkipReason,
)

from crm_pipeline.alerts.notices import Finding, Memory
from crm_pipeline.alerts.recipients import Recipient, recipients
from crm_pipeline.alerts.sending import deliver
from crm_pipeline.contacts.counts import depth, recent
from crm_pipeline.errors import PipelineError
from crm_pipeline.model import OutcomeKind
from crm_pipeline.orchestration.assets import contacts_key
from crm_pipeline.orchestration.checks import CHECKS
from crm_pipeline.redaction import mask
from crm_pipeline.settings import Settings
from crm_pipeline.wiring import Pipeline

ALERT_SENSOR_SECONDS = 30
Link = Callable[[str], str]
"""From a run's id to its page, or to the id where nobody has said where pages are."""
JUDGED = [DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE]
DAY_MINUTES = 24 * 60
LONGEST_SENTENCE = 800
PROCESS_ENDED = re.compile(r"terminated by signal|unexpectedly exited|crashed")
"""In what Dagster says of a run's process: of a killed one the run itself says nothing."""
NOBODY = "Nobody is to be told: CRM_PIPELINE_ALERT_URLS and {CRM}_SYNC_FAILURE_NOTIFICATION_EMAIL are not set"


@dataclass(frozen=True, slots=True)
class Job:
    """A job that is watched."""

    name: str
    crm: str | None = None
    """None: it is all CRMs'."""
    by_days: bool = False
    """Each partition is judged by its own newest run."""


def jobs_of(crm: str) -> list[Job]:
    """The jobs of one CRM. But not the requeue: whoever launches it looks at it, and mostly mistypes an address."""
    return [Job(f"{crm}_{name}", crm, by_days=name == "backfill") for name in ("sync", "backfill", "checks")]


def checks_of(crm: str) -> list[AssetCheckKey]:
    """The checks of one CRM."""
    return [AssetCheckKey(contacts_key(crm), name) for name in CHECKS]


def alert_sensor(settings: Settings, jobs: Sequence[Job], checks: Sequence[AssetCheckKey]) -> SensorDefinition:
    """`alert_sensor`, running by default when somebody is to be told."""
    told = recipients(settings)

    def link(run_id: str) -> str:
        return settings.general.run_url(run_id) or run_id

    def tick(context: SensorEvaluationContext) -> SkipReason:
        if not told:
            return SkipReason(NOBODY)
        now = time()
        memory = Memory.of(context.cursor)
        findings = [*_of_checks(context.instance, checks, link)]
        for job in jobs:
            findings += (_of_days if job.by_days else _of_job)(context.instance, job, link)
        memory.take(findings, told, now)
        due = {notice.recipient: notice for notice in memory.due([one.name for one in told], now)}
        results = deliver([(one, due[one.name]) for one in told if one.name in due])
        given_up = memory.settle(results, time())
        if not results:  # it asks the database, which may take its time
            _make_digest(settings, memory, told, now)
        context.update_cursor(memory.as_json())
        return SkipReason(_said(memory, results, given_up))

    return SensorDefinition(
        name="alert_sensor",
        evaluation_fn=tick,
        minimum_interval_seconds=ALERT_SENSOR_SECONDS,
        default_status=DefaultSensorStatus.RUNNING if told else DefaultSensorStatus.STOPPED,
        description=(
            "Tells the people named in CRM_PIPELINE_ALERT_URLS and {CRM}_SYNC_FAILURE_NOTIFICATION_EMAIL when a job "
            "or a check turns red, and when it is well again: one notice each. `crm-pipeline alerts test` tries them."
        ),
    )


def _of_job(instance: DagsterInstance, job: Job, link: Link) -> Iterator[Finding]:
    for run in instance.get_runs(RunsFilter(job_name=job.name, statuses=JUDGED), limit=1):
        bad = run.status is DagsterRunStatus.FAILURE
        says = _why(instance, run.run_id) if bad else f"Its last run succeeded. {_counts(instance, run.run_id)}"
        yield Finding(f"job {job.name}", job.crm, bad, says.strip(), link(run.run_id))


def _of_days(instance: DagsterInstance, job: Job, link: Link) -> Iterator[Finding]:
    days = instance.get_run_partition_data(RunsFilter(job_name=job.name, statuses=JUDGED))
    failed = sorted((day for day in days if day.status is DagsterRunStatus.FAILURE), key=lambda day: day.partition)
    subject = f"job {job.name}"
    if failed:
        last = failed[-1]
        which = f"{len(failed)} days failed, the last of them {last.partition}"
        says = f"{last.partition if len(failed) == 1 else which}: {_why(instance, last.run_id)}"
        yield Finding(subject, job.crm, True, says, link(last.run_id))
    elif days:
        last = max(days, key=lambda day: day.end_time or 0.0)
        yield Finding(subject, job.crm, False, "Every day's last run succeeded.", link(last.run_id))


def _of_checks(instance: DagsterInstance, checks: Sequence[AssetCheckKey], link: Link) -> Iterator[Finding]:
    newest = instance.event_log_storage.get_latest_asset_check_execution_by_key(list(checks))
    for key in checks:
        record = newest.get(key)
        evaluation = record.evaluation if record is not None else None
        if record is None or not isinstance(evaluation, AssetCheckEvaluation):
            continue  # it was never made, or is being made just now
        bad = not evaluation.passed
        if bad and evaluation.severity is not AssetCheckSeverity.ERROR:
            continue
        subject = f"check {key.asset_key.to_user_string()}: {key.name}"
        says = mask(evaluation.description or "")[:LONGEST_SENTENCE]
        yield Finding(subject, key.asset_key.path[0], bad, says, link(record.run_id))


def _why(instance: DagsterInstance, run_id: str) -> str:
    """What a failed run says of itself, and what became of its contacts."""
    says = "It failed."
    kinds = {DagsterEventType.STEP_FAILURE, DagsterEventType.RUN_FAILURE, DagsterEventType.ENGINE_EVENT}
    for record in instance.get_records_for_run(run_id, of_type=kinds, limit=200).records:
        event = record.event_log_entry.dagster_event
        if event is None:
            continue
        if event.is_engine_event:
            if PROCESS_ENDED.search(event.message or ""):
                says = f"{event.message} What it held is given back; the next run goes on."
        elif event.is_step_failure:
            failure = event.step_failure_data
            own = failure.user_failure_data.description if failure.user_failure_data else None
            cause = failure.error.cause or failure.error if failure.error else None
            says = own or (cause.message if cause else None) or says
        elif says == "It failed." and event.message:
            says = event.message
    return f"{mask(' '.join(says.split()))[:LONGEST_SENTENCE]} {_counts(instance, run_id)}".strip()


def _counts(instance: DagsterInstance, run_id: str) -> str:
    """`12 synced, 3 failed; 120 due, 4 waiting for their retry.`, of the point that the run added to the plots."""
    records = instance.get_records_for_run(run_id, of_type=DagsterEventType.ASSET_MATERIALIZATION, limit=1).records
    materialization = records[0].event_log_entry.asset_materialization if records else None
    if materialization is None:
        return ""
    counts = {name: value.value for name, value in materialization.metadata.items() if isinstance(value.value, int)}
    outcomes = [f"{counts[kind.value]} {kind.value}" for kind in OutcomeKind if counts.get(kind.value)]
    left = f"{counts.get('queued', 0)} due, {counts.get('waiting', 0)} waiting for their retry"
    return f"Contacts: {', '.join(outcomes) or 'none pushed'}; {left}."


def _make_digest(settings: Settings, memory: Memory, told: Sequence[Recipient], now: float) -> None:
    """Once a day, in the hour that the settings name or later on that day."""
    hour, moment = settings.general.crm_pipeline_alert_digest_hour, datetime.fromtimestamp(now, UTC)
    day = f"{moment:%Y-%m-%d}"
    if hour is None or moment.hour < hour or memory.digest_day == day:
        return
    memory.digest_day = day
    lines = {crm: _last_day(Pipeline(settings, settings.crms[crm])) for crm in settings.crms}
    for recipient in told:
        memory.digest(recipient, "\n".join(line for crm, line in lines.items() if recipient.crm in (None, crm)), now)


def _last_day(pipeline: Pipeline) -> str:
    title = pipeline.crm.spec.title
    try:
        day, now = recent(pipeline.queue, DAY_MINUTES, []), depth(pipeline.queue)
    except PipelineError as error:
        return f"{title}: {error}"
    finally:
        pipeline.close()
    outcomes = ", ".join(f"{count} {outcome}" for outcome, count in sorted(day.pushes.items())) or "nothing pushed"
    return f"{title}, the last 24 hours: {outcomes}; now {now.queued} due, {now.waiting} waiting for their retry."


def _said(memory: Memory, results: Mapping[str, str | None], given_up: Sequence[str]) -> str:
    """What the tick did, as the UI shows it."""
    parts = [f"{recipient}: {problem or 'told'}" for recipient, problem in results.items()]
    if memory.outbox:
        parts.append(f"{len(memory.outbox)} notices wait to be delivered")
    red = f"red: {', '.join(memory.troubles)}" if memory.troubles else "nothing is red"
    return "; ".join([*parts, *given_up, red])
