"""`{crm}_backfill`: contacts of whole days (UTC, by `created_at`) are pushed again, one run a day.

Annotations are not postponed here: Dagster reads those of ops as they are.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Literal

from dagster import (
    Config,
    DailyPartitionsDefinition,
    DynamicOut,
    DynamicOutput,
    Failure,
    JobDefinition,
    MetadataValue,
    OpExecutionContext,
    Out,
    Output,
    TableRecord,
    graph,
    in_process_executor,
    op,
)
from pydantic import Field

from crm_pipeline.contacts.chosen import day_pairs, list_day
from crm_pipeline.contacts.which import Which
from crm_pipeline.model import NewsKind
from crm_pipeline.orchestration.requeue import CONTACT_COLUMNS, SHOWN, contact_record
from crm_pipeline.orchestration.resources import SyncResource
from crm_pipeline.orchestration.steps import RETRIES, BatchReport, step
from crm_pipeline.orchestration.sync import push_batch, record, write_statuses
from crm_pipeline.settings import CrmSettings, Settings
from crm_pipeline.wiring import Pipeline, oldest_day

PUSHING_SECONDS = 4 * 3600
"""After so long a run claims no more: at 8 contacts a second it has pushed 115,000."""
LONGEST_RUN_SECONDS = PUSHING_SECONDS + 600
LONGEST_HISTORY = timedelta(days=3 * 365)
HISTORY_UNKNOWN = timedelta(days=90)
CONCURRENCY_TAG = "crm_backfill"
"""dagster.yaml lets two runs of each value go on at once."""
WHICH_TAG, DRY_RUN_TAG = "which", "dry_run"
CHOICES = (Which.WANTED, Which.GIVEN_UP, Which.COMPLETE, Which.EVERYONE)
AGAIN = "Run this day again: *Partitions*, *Launch backfill*. Unless you choose otherwise, it sends only what is left."


class Backfill(Config):
    """Which contacts of the day are pushed again."""

    which: Literal["wanted", "given_up", "complete", "everyone"] = Field(
        default="wanted",
        description=(
            "wanted: whatever the sync would push now or later, without its waiting; given_up: Error at rest; "
            "complete: what is in the CRM already; everyone: all but Skipped, also New ones, whom nobody has selected."
        ),
    )
    dry_run: bool = Field(default=False, description="true: count and show whom it would push, and push nobody.")


@dataclass(frozen=True, slots=True)
class Day:
    """What was listed: counts alone."""

    day: str
    contacts: int
    left: int
    """More than one run takes."""


@dataclass(frozen=True, slots=True)
class ChosenBatch:
    """Ids of one push step, and as what they were chosen."""

    which: str
    ids: list[str]


@op(out={"day": Out(Day), "batches": DynamicOut(ChosenBatch)})
def list_contacts_of_day(
    context: OpExecutionContext, config: Backfill, crm: SyncResource
) -> Iterator[Output[Day] | DynamicOutput[ChosenBatch]]:
    """Asks the account, then lists the chosen contacts that were created on the partition's day, in batches of ids.

    The output `day` shows how many there are, with a dry run by statuses. Nothing is changed here.
    """
    with step(context, crm, then=f"No contact was touched. {AGAIN}") as stop:
        if not context.has_partition_key:
            raise Failure("Launch this job from its *Partitions* page: each run takes one day.", allow_retries=False)
        day = date.fromisoformat(context.partition_key)
        which, is_dry_run = _asked(context, config)
        if is_dry_run:
            with crm.without_crm() as pipeline:
                day_found, metadata = _dry_run(context, pipeline, which, day)
            batches = []
        else:
            context.log.info("Asking the database and the account")  # a sign of life: either may take its time
            crm.pipeline.begin(stop)
            found = crm.pipeline.list_day(which, day)
            batches = found.batches
            day_found, metadata = Day(day.isoformat(), found.contacts, found.left), {}
            context.log.info(f"{day}: {found.contacts} contacts in {len(batches)} batches ({which})")
    for number, ids in enumerate(batches):
        chosen = ChosenBatch(which.value, [str(contact_id) for contact_id in ids])
        yield DynamicOutput(chosen, output_name="batches", mapping_key=f"batch_{number:05d}")
    yield Output(day_found, output_name="day", metadata={"contacts": day_found.contacts, **metadata})


@op(retry_policy=RETRIES)
def push_chosen_contacts(context: OpExecutionContext, crm: SyncResource, batch: ChosenBatch) -> BatchReport:
    """Claims what of one batch still is as it was chosen, sends it at the CRM's pace, and journals each answer.

    While live contacts are due, each request takes two of the CRM's slots, but for `wanted`, which are such. Contacts
    that cannot be sent get back the statuses that they had.
    """
    return push_batch(context, crm, batch.ids, PUSHING_SECONDS, Which(batch.which))


@op
def summarize_day(context: OpExecutionContext, crm: SyncResource, day: Day, reports: list[BatchReport]) -> None:
    """Counts what the run did; red when the day is not done, for nothing but this run pushes what it chose.

    Contacts given up or refused do not redden a run: they are counted and listed.
    """
    with step(context, crm):
        if not reports:
            context.log.info(f"{day.day}: nobody was to be pushed")
            return
        failed = [report.failure for report in reports if report.failure is not None]
        if failed:
            crm.pipeline.queue.give_back(context.run_id, "the batch could not be pushed", crashed=False)
        record(context, crm)
        not_taken = sum(report.listed - report.claimed for report in reports)
        stopped = [report.stopped_because for report in reports if report.stopped_because is not None]
        if not_taken and not stopped and not failed:
            context.log.warning(f"{not_taken} contacts were not taken: others push them, or acted meanwhile")
        gate = crm.pipeline.gate.state()
        reason = next(iter(failed), None) or (gate.cause if gate.cause_kind is NewsKind.CLOSED else None)
        reason = reason or next(iter(stopped), None)
        if reason is None and day.left:
            reason = f"{day.left} contacts are more than one run takes."
        if reason is not None:
            raise Failure(
                f"{day.day} is not done: {reason} What was not sent is as it was before. {AGAIN}",
                allow_retries=False,
            )


@graph
def backfill() -> None:
    """List one day, push, write back, count."""
    day, batches = list_contacts_of_day()
    summarize_day(day, batches.map(push_chosen_contacts).map(write_statuses).collect())


def backfill_job(crm: CrmSettings, resource: SyncResource, first: date) -> JobDefinition:
    """`{crm}_backfill`, with a partition for each day from `first` to today."""
    return backfill.to_job(
        name=f"{crm.name}_backfill",
        description=(
            f"Pushes contacts to {crm.spec.title} by the day on which they were created (UTC), whatever the schedule "
            "does.\n\n*Partitions*, *Launch backfill*: choose the days; each gets a run of its own, two at once. "
            "Unless you say otherwise, whatever the sync would push: another choice is the tag `which` of the backfill "
            f"({', '.join(CHOICES)}), and so is `dry_run: true`. For one day the Launchpad takes both as config.\n\n"
            "Green: the day is done. Red: run that day again."
        ),
        resource_defs={"crm": resource},
        partitions_def=DailyPartitionsDefinition(start_date=first.isoformat(), end_offset=1),
        executor_def=in_process_executor,
        tags={"crm": crm.name, CONCURRENCY_TAG: crm.name, "dagster/max_runtime": str(LONGEST_RUN_SECONDS)},
    )


def first_day(settings: Settings, crm: CrmSettings) -> date:
    """The first day that can be chosen: as set, or the oldest contact's; 90 days back while the database cannot say."""
    if crm.backfill.start_date is not None:
        return crm.backfill.start_date
    today = datetime.now(UTC).date()
    oldest = oldest_day(settings)
    if oldest is None:
        return today - HISTORY_UNKNOWN
    return min(max(oldest, today - LONGEST_HISTORY), today)


def _asked(context: OpExecutionContext, config: Backfill) -> tuple[Which, bool]:
    """The choice, and whether it is a dry run: of the backfill's tags, else of the config.

    The dialog of the Partitions page takes tags, and no config.
    """
    tags = context.run.tags
    which = tags.get(WHICH_TAG, config.which)
    dry_run = tags.get(DRY_RUN_TAG, str(config.dry_run)).lower()
    if which not in CHOICES or dry_run not in ("true", "false"):
        raise Failure(
            f"The tags of this run say {WHICH_TAG}: {which}, {DRY_RUN_TAG}: {dry_run}. {WHICH_TAG} is one of "
            f"{', '.join(CHOICES)}; {DRY_RUN_TAG} is true or false.",
            allow_retries=False,
        )
    return Which(which), dry_run == "true"


def _dry_run(
    context: OpExecutionContext, pipeline: Pipeline, which: Which, day: date
) -> tuple[Day, dict[str, MetadataValue]]:
    queue = pipeline.queue
    pairs = day_pairs(queue, which, day)
    listed = next(list_day(queue, which, day), [])
    ids = [contact.id for contact in listed[:SHOWN]]
    rows = pipeline.contacts.statuses(queue.statements.columns, ids)
    count = sum(contacts for _, _, contacts in pairs)
    context.log.info(f"Dry run: {count} contacts of {day} would be pushed ({which}). Set dry_run to false to do it.")
    by_pair = [
        TableRecord({"statuses": f"{sync} / {processing or 'NULL'}", "contacts": contacts})
        for sync, processing, contacts in pairs
    ]
    return Day(day.isoformat(), count, 0), {
        "by_statuses": MetadataValue.table(by_pair),
        "first_contacts": MetadataValue.table([contact_record(row) for row in rows], CONTACT_COLUMNS),
    }
