"""What grows for ever unless somebody takes it away: Dagster's runs, and the journal.

Annotations are not postponed here: Dagster reads those of ops as they are.
"""

import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from dagster import (
    ConfigurableResource,
    DagsterInstance,
    DagsterRun,
    DagsterRunStatus,
    DefaultScheduleStatus,
    Failure,
    JobDefinition,
    OpExecutionContext,
    RunsFilter,
    ScheduleDefinition,
    graph,
    in_process_executor,
    op,
)

from crm_pipeline.contacts.prune import prune_attempts
from crm_pipeline.errors import PipelineError
from crm_pipeline.orchestration.resources import limited
from crm_pipeline.settings import GeneralSettings, Settings
from crm_pipeline.wiring import open_database

DAILY = "23 3 * * *"
LONGEST_SECONDS = 600
"""For each of the two parts: what is not done by then is left to the next day."""
AT_ONCE = 100
MOST_KEPT = 20
"""Runs whose files cannot be deleted: after so many, the folder is the matter."""
FINISHED = [DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED]
UNFINISHED = [status for status in DagsterRunStatus if status not in FINISHED]
REPOSITORY_TAG = ".dagster/repository"
"""On each run that was launched from a code location: which one."""
EARLIER_RUN_TAGS = ("dagster/parent_run_id", "dagster/root_run_id")


class Retention(ConfigurableResource[None]):
    """How long things are kept."""

    keep_runs_days: int = limited(
        GeneralSettings, "crm_pipeline_keep_runs_days", "Days after which a finished run of Dagster's is deleted."
    )
    keep_attempts_days: int = limited(
        GeneralSettings, "crm_pipeline_keep_attempts_days", "Days after which a row of crm_attempts is deleted."
    )


@op
def prune_runs(context: OpExecutionContext, retention: Retention) -> None:
    """Deletes Dagster's finished runs that are older than CRM_PIPELINE_KEEP_RUNS_DAYS, oldest first, with their files.

    With a run go its event log, its point in the plots, its captured logs and the outputs of its steps.
    """
    before = datetime.now(UTC) - timedelta(days=retention.keep_runs_days)
    ends = time.monotonic() + LONGEST_SECONDS
    total, kept = 0, _needed(context.instance)
    unreadable: list[str] = []
    while records := _finished(context.instance, context.run, before, [*kept, *unreadable]):
        for run_id in records:
            try:
                _delete(context.instance, run_id)
                total += 1
            except OSError as error:
                unreadable.append(run_id)
                context.log.warning(f"Run {run_id[:8]} is kept: its files cannot be deleted ({type(error).__name__})")
            if time.monotonic() > ends:
                context.log.warning(f"{total} runs deleted in {LONGEST_SECONDS} s; the next housekeeping goes on")
                return
            if len(unreadable) >= MOST_KEPT:
                raise Failure(
                    f"The files of {len(unreadable)} runs below {context.instance.storage_directory()} cannot be "
                    "deleted. May this process write there?",
                    allow_retries=False,
                )
        context.log.info(f"{total} runs deleted so far")
    context.log.info(f"{total} runs deleted that had finished before {before:%Y-%m-%d %H:%M} UTC")


@op
def prune_journal(context: OpExecutionContext, retention: Retention) -> None:
    """Deletes rows of `crm_attempts` that are older than CRM_PIPELINE_KEEP_ATTEMPTS_DAYS.

    Kept for ever: rows that name an address left behind at the CRM, and rows that are not written back yet.
    """
    ends = time.monotonic() + LONGEST_SECONDS
    total = 0
    with _said_plainly():
        database = open_database(Settings.load())
        try:
            for number, gone in enumerate(prune_attempts(database, retention.keep_attempts_days), 1):
                total += gone
                if number % AT_ONCE == 0:
                    context.log.info(f"{total} attempts deleted so far")
                if time.monotonic() > ends:
                    context.log.warning(f"{total} attempts deleted in {LONGEST_SECONDS} s; the next one goes on")
                    return
        finally:
            database.dispose()
    context.log.info(f"{total} attempts deleted that were older than {retention.keep_attempts_days} days")


@graph
def housekeeping() -> None:
    """Both, neither waiting for the other's success."""
    prune_runs()
    prune_journal()


def housekeeping_job(settings: GeneralSettings) -> JobDefinition:
    """`housekeeping`."""
    return housekeeping.to_job(
        description=(
            "Deletes what is old: finished runs with their logs and their points in the plots "
            f"({settings.crm_pipeline_keep_runs_days} days), rows of `crm_attempts` "
            f"({settings.crm_pipeline_keep_attempts_days} days). Runs daily; running it twice at once does no harm."
        ),
        resource_defs={
            "retention": Retention(
                keep_runs_days=settings.crm_pipeline_keep_runs_days,
                keep_attempts_days=settings.crm_pipeline_keep_attempts_days,
            )
        },
        executor_def=in_process_executor,
        tags={"dagster/max_runtime": str(3 * LONGEST_SECONDS)},
    )


def housekeeping_schedule(job: JobDefinition) -> ScheduleDefinition:
    """`housekeeping_schedule`: daily, running by default."""
    return ScheduleDefinition(
        name="housekeeping_schedule",
        job=job,
        cron_schedule=DAILY,
        default_status=DefaultScheduleStatus.RUNNING,
        description="Deletes old runs and old attempts, every night at 03:23 UTC.",
    )


def _needed(instance: DagsterInstance) -> set[str]:
    """Old runs that stay: each asset's newest point in its plots, and what an unfinished run was re-executed from."""
    newest = [record.asset_entry.last_materialization_record for record in instance.get_asset_records()]
    needed = {record.run_id for record in newest if record is not None}
    for run in instance.get_runs(RunsFilter(statuses=UNFINISHED)):
        needed.update(run.tags[tag] for tag in EARLIER_RUN_TAGS if tag in run.tags)
    return needed


def _finished(instance: DagsterInstance, own: DagsterRun, before: datetime, kept: Sequence[str]) -> list[str]:
    """Up to 100 finished runs, oldest first, of this code location alone: an instance may have others'."""
    origin = own.remote_job_origin
    records = instance.get_run_records(
        RunsFilter(
            statuses=FINISHED,
            updated_before=before,
            tags={REPOSITORY_TAG: origin.repository_origin.get_label()} if origin is not None else None,
        ),
        limit=AT_ONCE + len(kept),
        ascending=True,
    )
    return [record.dagster_run.run_id for record in records if record.dagster_run.run_id not in kept][:AT_ONCE]


def _delete(instance: DagsterInstance, run_id: str) -> None:
    """Files first: when they cannot be deleted, the run is still there to be found. Raises OSError."""
    with suppress(FileNotFoundError):  # another housekeeping was faster
        instance.compute_log_manager.delete_logs(prefix=[run_id, "compute_logs"])
    with suppress(FileNotFoundError):
        shutil.rmtree(Path(instance.storage_directory(), run_id))
    instance.delete_run(run_id)


@contextmanager
def _said_plainly() -> Iterator[None]:
    try:
        yield
    except PipelineError as error:
        raise Failure(str(error), allow_retries=False) from None
