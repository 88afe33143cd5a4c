"""What happens every few minutes: list what is due, push it in batches, write each batch back, count.

Annotations are not postponed here: Dagster reads those of ops as they are.
"""

import threading
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from uuid import UUID, uuid5

from dagster import (
    DagsterExecutionInterruptedError,
    DynamicOut,
    DynamicOutput,
    Failure,
    JobDefinition,
    OpExecutionContext,
    graph,
    in_process_executor,
    op,
)

from crm_pipeline.contacts.counts import run_summary
from crm_pipeline.contacts.which import Which
from crm_pipeline.model import NewsKind, RunSummary
from crm_pipeline.orchestration.assets import materialization
from crm_pipeline.orchestration.checks import evaluations
from crm_pipeline.orchestration.resources import SyncResource
from crm_pipeline.orchestration.schedules import every
from crm_pipeline.orchestration.steps import RETRIES, BatchReport, batch_step, step
from crm_pipeline.push.due import Found
from crm_pipeline.settings import CrmSettings

LONGEST_RUN_SECONDS = 900
PUSHING_SECONDS = 600
"""After so long a run claims no more, whatever is listed: it must end by itself before Dagster ends it."""
FAILURES_LOGGED = 20
CONTACTS_TAG = "contacts"
"""On each finished run: how many contacts it claimed."""


@op(out=DynamicOut(list))
def extract_queued_contacts(context: OpExecutionContext, crm: SyncResource) -> Iterator[DynamicOutput[list[str]]]:
    """Asks the account, repairs what dead processes left, and lists what is due, in batches of ids.

    Red when a person must act: the account is closed, the settings are wrong, or the database is not as it must be.
    No contact has been touched then.
    """
    with step(context, crm, then="No contact was touched; runs go on by themselves once this is put right.") as stop:
        context.log.info("Asking the database and the account")  # a sign of life: either may take its time
        crm.pipeline.begin(stop)
        context.log.info("Looking for what is due")
        found = crm.pipeline.find_due()
        context.log.info(_found(found))
    for number, ids in enumerate(found.batches):
        yield DynamicOutput([str(contact_id) for contact_id in ids], mapping_key=f"batch_{number:03d}")


@op(retry_policy=RETRIES)
def push_contacts(context: OpExecutionContext, crm: SyncResource, ids: list[str]) -> BatchReport:
    """Claims what is still due of one batch, sends it at the CRM's pace, and journals each answer.

    A retry goes on with the same lease. One contact's failure is an outcome; it never fails the step.
    """
    return push_batch(context, crm, ids, PUSHING_SECONDS)


def push_batch(
    context: OpExecutionContext, crm: SyncResource, ids: list[str], pushing_seconds: int, which: Which | None = None
) -> BatchReport:
    """Push one batch: of what is due, or of a backfill's choice. A run that has lasted too long claims no more."""
    key = context.get_mapping_key() or ""
    report = BatchReport(context.run_id, key, str(uuid5(UUID(context.run_id), key)), len(ids))

    def work(stop: threading.Event) -> BatchReport:
        if crm.stop.running_seconds > pushing_seconds:
            reason = f"the run has taken {pushing_seconds // 60} minutes"
            context.log.warning(f"{key} is left to the next run: {reason}")
            crm.pipeline.queue.release(UUID(report.lease_id), reason)
            return replace(report, stopped_because=reason)
        pushed = crm.pipeline.push.push(
            [UUID(i) for i in ids], UUID(report.lease_id), context.run_id, stop, which=which
        )
        context.log.info(f"{key}: pushed {pushed.claimed} of {pushed.listed} contacts: {_counted(pushed.outcomes)}")
        if pushed.stopped_because is not None:
            context.log.warning(f"{key} was cut short: {pushed.stopped_because}")
        return replace(report, claimed=pushed.claimed, stopped_because=pushed.stopped_because)

    return batch_step(context, crm, report, work)


@op(retry_policy=RETRIES, tags={"dagster/priority": "1"})
def write_statuses(context: OpExecutionContext, crm: SyncResource, report: BatchReport) -> BatchReport:
    """Turns the journal of one batch into statuses. Comes before the next batch's push, and even in a stopped run."""

    def work(_: threading.Event) -> BatchReport:
        lease = UUID(report.lease_id)
        try:
            counts = crm.pipeline.queue.write_back(lease)
        except DagsterExecutionInterruptedError:
            crm.pipeline.queue.write_back(lease)  # the interrupt may have rolled it back; it takes some ms
            raise
        context.log.info(f"{report.key}: written back: {_counted(asdict(counts))}")
        return report

    return batch_step(context, crm, report, work, finishing=True)


@op
def summarize(context: OpExecutionContext, crm: SyncResource, reports: list[BatchReport]) -> None:
    """Counts what the run did, for the plots and the log; red when a person must act.

    Contacts given up or refused do not redden a run, nor does a pause of the CRM: they are counted and listed.
    """
    with step(context, crm):
        own = [report for report in reports if report.run_id == context.run_id]
        failed = [report for report in own if report.failure is not None]
        queue = crm.pipeline.queue
        if failed:
            queue.give_back(context.run_id, "the batch could not be pushed", crashed=False)
        record(context, crm)
        for evaluation in evaluations(crm.pipeline, context.instance):
            context.log_event(evaluation)  # type: ignore[arg-type]  # Dagster takes it, and says otherwise
            if not evaluation.passed:
                context.log.warning(f"Check {evaluation.check_name}: {evaluation.description}")
        if len(own) < len(reports):
            context.log.warning("Batches that failed in an earlier run are queued again; they are not repeated here.")
        gate = crm.pipeline.gate.state()
        if failed:
            raise Failure(
                f"{len(failed)} of {len(reports)} batches could not be pushed: {failed[0].failure} "
                "Their contacts are queued again, and the next run pushes them. "
                "Do not re-execute this run from failure: that repeats only the summary.",
                allow_retries=False,
            )
        if gate.cause_kind is NewsKind.CLOSED:
            raise Failure(
                f"{gate.cause} The contacts wait, and go on by themselves once the account is well again.",
                allow_retries=False,
            )
        if gate.paused:
            context.log.warning(f"The CRM is {gate.sentence()} The contacts go on by themselves.")


def record(context: OpExecutionContext, crm: SyncResource) -> None:
    """What the run did: a point in the asset's plots, a tag, lines in the log."""
    summary = run_summary(crm.pipeline.queue, context.run_id)
    context.log_event(materialization(crm.crm, summary))
    context.instance.add_run_tags(context.run_id, {CONTACTS_TAG: str(sum(summary.attempts.values()))})
    _log(context, summary)


@graph
def sync() -> None:
    """List, push, write back, count."""
    summarize(extract_queued_contacts().map(push_contacts).map(write_statuses).collect())


def sync_job(crm: CrmSettings, resource: SyncResource) -> JobDefinition:
    """`{crm}_sync`."""
    title = crm.spec.title
    return sync.to_job(
        name=f"{crm.name}_sync",
        description=(
            f"Pushes to {title} the contacts that are due: selected by a person, or due for a retry.\n\n"
            f"Starts by itself {every(crm.sync.scheduler_interval_minutes)}, and as soon as something is due. "
            "To run it now: *Launchpad*, *Launch run*. Running it twice at once does no harm.\n\n"
            "Green: each claimed contact has its outcome. Red: a person must act; the failed step says what to do. "
            f"What became of the contacts stands in the asset `{crm.name}/contacts`, and row by row in `crm_attempts`."
        ),
        resource_defs={"crm": resource},
        executor_def=in_process_executor,
        tags={"crm": crm.name, "dagster/max_runtime": str(LONGEST_RUN_SECONDS)},
    )


def _found(found: Found) -> str:
    repaired = {
        "given back after their process had died": found.reaped.crashed,
        "taken back, being left behind": found.taken_back,
        "promoted, their wait being over": found.promoted,
    }
    notes = "".join(f"; {count} {what}" for what, count in repaired.items() if count)
    return f"Found {found.contacts} contacts in {len(found.batches)} batches{notes}"


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in counts.items() if count) or "nothing"


def _log(context: OpExecutionContext, summary: RunSummary) -> None:
    for failure in summary.failures[:FAILURES_LOGGED]:
        context.log.warning(
            f"{failure.masked_email} ({failure.contact_id}) {failure.outcome}: {failure.error}"
            + (f"; tried again after {failure.next_retry_at:%Y-%m-%d %H:%M:%S %Z}" if failure.next_retry_at else "")
        )
    if len(summary.failures) > FAILURES_LOGGED:
        context.log.warning("More failures stand in the table of this run's materialization, and in crm_attempts.")
    context.log.info(
        f"Finished: {_counted(summary.attempts)}; {summary.given_up} given up; "
        f"{summary.throughput_per_second} contacts/s; {summary.queued} due, {summary.waiting} waiting for their retry"
    )
