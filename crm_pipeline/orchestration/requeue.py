"""`{crm}_requeue`: a person asks again for contacts that rest, by address, by id, or all that were given up.

Annotations are not postponed here: Dagster reads those of ops as they are.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any
from uuid import UUID

from dagster import (
    Config,
    Failure,
    JobDefinition,
    MetadataValue,
    OpExecutionContext,
    RunConfig,
    TableColumn,
    TableRecord,
    TableSchema,
    graph,
    in_process_executor,
    op,
)
from pydantic import Field

from crm_pipeline.contacts.chosen import given_up, select_again
from crm_pipeline.contacts.which import Which
from crm_pipeline.model import SyncStatus
from crm_pipeline.orchestration.resources import SyncResource
from crm_pipeline.orchestration.steps import step
from crm_pipeline.redaction import mask, mask_email
from crm_pipeline.settings import CrmSettings
from crm_pipeline.wiring import Pipeline

SHOWN = 100
NAMED_IN_A_SENTENCE = 20
CHOICES = "emails, ids, all_given_up or error_contains"
CONTACT_COLUMNS = TableSchema(
    [
        TableColumn("email", "string", "The address, masked."),
        TableColumn("contact_id", "string", "The contact's id, for `crm-pipeline` and SQL."),
        TableColumn("statuses", "string", "Sync status / processing status."),
        TableColumn("error", "string"),
    ]
)


class Requeue(Config):
    """Whom to queue again. Fill in exactly one of the first four."""

    emails: list[str] = Field(
        default=[],
        description="Addresses, any case. Dagster keeps what is filled in here; ids keep addresses out of it.",
    )
    ids: list[str] = Field(default=[], description="Contacts' ids.")
    all_given_up: bool = Field(
        default=False, description="true: every contact that was given up or refused (Error at rest)."
    )
    error_contains: str = Field(
        default="",
        description="Those of them whose error contains this text, any case, such as `Invalid phone number`.",
    )
    dry_run: bool = Field(default=True, description="true: show who it would be, and change nothing.")


@dataclass(frozen=True, slots=True)
class Found:
    """Whom a choice means."""

    which: Which
    ids: list[UUID]
    refused: int
    """Skipped: they opted out, or were set aside."""


@op
def requeue_contacts(context: OpExecutionContext, config: Requeue, crm: SyncResource) -> None:
    """Queues contacts again: they become Selected/Queued, with fresh retries, and are pushed within a minute.

    Fill in exactly one of `emails`, `ids`, `all_given_up` and `error_contains`, and launch it: a dry run shows whom you
    mean. Then launch it again with `dry_run: false`. Who is Skipped is left alone and counted. When one of the
    addresses or ids is unknown, nothing is changed.
    """
    with step(context, crm, then="Nothing was changed."), crm.without_crm() as pipeline:
        found = _found(config, pipeline)
        rows = pipeline.contacts.statuses(pipeline.queue.statements.columns, found.ids[:SHOWN])
        requeued = 0 if config.dry_run else select_again(pipeline.queue, found.ids, found.which)
        chosen = len(found.ids)
        context.add_output_metadata(
            {
                "chosen": chosen,
                "requeued": requeued,
                "refused_as_skipped": found.refused,
                "contacts_before": MetadataValue.table([contact_record(row) for row in rows], CONTACT_COLUMNS),
            }
        )
        refused = f"; {found.refused} more are Skipped and stay so" if found.refused else ""
        if config.dry_run:
            context.log.info(
                f"Dry run: {chosen} contacts would be queued again{refused}. Set dry_run to false to do it."
            )
        else:
            context.log.info(f"{requeued} of {chosen} contacts are queued again{refused}.")


@graph
def requeue() -> None:
    """One step."""
    requeue_contacts()


def requeue_job(crm: CrmSettings, resource: SyncResource) -> JobDefinition:
    """`{crm}_requeue`, its Launchpad filled with the defaults."""
    return requeue.to_job(
        name=f"{crm.name}_requeue",
        description=(
            f"Asks again for contacts that should be in {crm.spec.title}: by address or id, or all that were given up. "
            f"In the *Launchpad* fill in one of {CHOICES}; `dry_run: true` shows whom you mean, `false` does it. "
            f"Nothing is sent here: `{crm.name}_sync` pushes them."
        ),
        resource_defs={"crm": resource},
        config=RunConfig(ops={"requeue_contacts": Requeue()}),
        executor_def=in_process_executor,
        tags={"crm": crm.name},
    )


def _found(config: Requeue, pipeline: Pipeline) -> Found:
    emails, ids = _filled_in(config.emails), _filled_in(config.ids)
    contains = config.error_contains.strip()
    given = [bool(emails), bool(ids), config.all_given_up, bool(contains)]
    if sum(given) != 1:
        raise Failure(
            f"{'More than one way of choosing is' if any(given) else 'Nobody is'} chosen: fill in exactly one of "
            f"{CHOICES} in the Launchpad. Nothing was changed.",
            allow_retries=False,
        )
    if emails or ids:
        return _named(pipeline, emails or ids, by_id=bool(ids))
    return Found(Which.GIVEN_UP, given_up(pipeline.queue, contains), 0)


def _named(pipeline: Pipeline, names: list[str], by_id: bool) -> Found:
    """Raises Failure, before anything is changed, when one of them is nobody's."""
    known = pipeline.contacts.known([name for name in names if _is_id(name) == by_id])
    unknown = [name for name in names if name not in known]
    if unknown:
        shown = ", ".join(name if _is_id(name) else mask_email(name) for name in unknown[:NAMED_IN_A_SENTENCE])
        more = f" and {len(unknown) - NAMED_IN_A_SENTENCE} more" if len(unknown) > NAMED_IN_A_SENTENCE else ""
        raise Failure(
            f"{len(unknown)} of {len(names)} {'ids' if by_id else 'addresses'} are no contact's: {shown}{more}. "
            "Nothing was changed.",
            metadata={"unknown": len(unknown)},
            allow_retries=False,
        )
    rows = pipeline.contacts.statuses(pipeline.queue.statements.columns, list(chain.from_iterable(known.values())))
    skipped = sum(row.sync_status == SyncStatus.SKIPPED for row in rows)
    chosen = [row.id for row in rows if row.sync_status != SyncStatus.SKIPPED]
    return Found(Which.NAMED, chosen, skipped)


def _filled_in(names: Sequence[str]) -> list[str]:
    """Without blanks and repetitions, as contacts are looked up."""
    return list(dict.fromkeys(name.strip().lower() for name in names if name.strip()))


def _is_id(name: str) -> bool:
    try:
        return str(UUID(name)) == name
    except ValueError:
        return False


def contact_record(row: Any) -> TableRecord:
    """One row of `Contacts.statuses` for a table in the UI: nothing personal."""
    return TableRecord(
        {
            "email": mask_email(row.email),
            "contact_id": str(row.id),
            "statuses": f"{row.sync_status} / {row.processing_status or 'NULL'}",
            "error": mask(row.error or ""),
        }
    )
