"""`/api/v3/contacts`: who is wanted in a CRM, and what became of one contact."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Path

from crm_pipeline.api import sentences
from crm_pipeline.api.parts import TheParts
from crm_pipeline.api.problems import NotNow, answers
from crm_pipeline.api.schemas import (
    EXAMPLE_ID,
    Action,
    Attempt,
    Crms,
    CrmStatus,
    Queued,
    Selected,
    Selection,
    SyncStatus,
)
from crm_pipeline.contacts.counts import counted
from crm_pipeline.contacts.which import Which
from crm_pipeline.contacts.wishes import select, unselect
from crm_pipeline.errors import UnknownContact
from crm_pipeline.wiring import Pipeline

ATTEMPTS_SHOWN = 10
router = APIRouter(prefix="/api/v3/contacts", tags=["contacts"])
ContactId = Annotated[UUID, Path(description="The contact's id.", examples=[EXAMPLE_ID])]


@router.put("/crm/select", responses=answers(400, 401, 404, 503), operation_id="put_selection")
@router.post("/crm/select", responses=answers(400, 401, 404, 503), operation_id="post_selection")
def select_contacts(selection: Selection, parts: TheParts) -> Selected:
    """Say that somebody wants these contacts in these CRMs, or no longer: up to 10,000, all of them or none.

    Selected contacts are pushed within a minute, with fresh retries, whatever became of them before. One that is being
    pushed just now is pushed once more. What is at the CRM already stays there when a contact is unselected. Ids that
    no contact has are passed over; when none has a contact the answer is 404. PUT is the same as POST: asking twice
    changes nothing more.
    """
    pipelines = parts.named(selection.crms)
    queues = [pipeline.queue for pipeline in pipelines]
    ids = list(dict.fromkeys(selection.contact_ids))
    wanted = selection.action is Action.SELECT
    counts = select(queues, ids) if wanted else unselect(queues, ids)
    updated = max(counts)
    if not updated:
        raise UnknownContact("No contact has any of these ids.")
    verb = "Selected" if wanted else "Unselected"
    message = f"{verb} {counted(updated)} for {sentences.titles(pipelines)}."
    if unknown := len(ids) - updated:
        message += f" {unknown:,} of the ids {'has' if unknown == 1 else 'have'} no contact."
    return Selected(
        updated_count=updated,
        queued_count=sum(counts) if wanted else 0,
        crms=[pipeline.crm.name for pipeline in pipelines],
        action=selection.action,
        message=message + (sentences.without_key(pipelines) if wanted else ""),
    )


@router.post("/{contact_id}/queue-sync", responses=answers(400, 401, 404, 503), operation_id="queue_sync")
def queue_sync(contact_id: ContactId, body: Crms, parts: TheParts) -> Queued:
    """Push this contact, now and with fresh retries, whatever became of it before: the same as selecting it."""
    pipelines = parts.named(body.crms)
    if not max(select([pipeline.queue for pipeline in pipelines], [contact_id])):
        raise UnknownContact("No contact has this id.")
    return _queued(contact_id, pipelines)


@router.post("/{contact_id}/retry-sync", responses=answers(400, 401, 404, 409, 503), operation_id="retry_sync")
def retry_sync(contact_id: ContactId, body: Crms, parts: TheParts) -> Queued:
    """Try a contact again now whose last push failed: one that waits for its retry, or was given up. Fresh retries.

    409 when its last push has not failed at any of these CRMs.
    """
    pipelines = parts.named(body.crms)
    counts = select([pipeline.queue for pipeline in pipelines], [contact_id], Which.FAILED)
    retried = [pipeline for pipeline, count in zip(pipelines, counts, strict=True) if count]
    if retried:
        return _queued(contact_id, retried)
    rows = [_row(pipeline, contact_id) for pipeline in pipelines]
    found = ", ".join(
        f"{pipeline.crm.spec.title}: {row.sync_status} / {row.processing_status or 'NULL'}"
        for pipeline, row in zip(pipelines, rows, strict=True)
    )
    raise NotNow(f"Its last push has not failed ({found}). queue-sync pushes it whatever its state.")


@router.get("/{contact_id}/sync-status", responses=answers(401, 404, 503), operation_id="sync_status")
def sync_status(contact_id: ContactId, parts: TheParts) -> SyncStatus:
    """How the contact stands with each CRM: its statuses, retries, next try, id there, and its last attempts."""
    rows = [(pipeline, _row(pipeline, contact_id)) for pipeline in parts.pipelines.values()]
    return SyncStatus(
        contact_id=contact_id, email=rows[0][1].email or "", crms=[_status(pipeline, row) for pipeline, row in rows]
    )


def _queued(contact_id: UUID, pipelines: list[Pipeline]) -> Queued:
    return Queued(
        contact_id=contact_id,
        crms=[pipeline.crm.name for pipeline in pipelines],
        message=f"Due now for {sentences.titles(pipelines)}.{sentences.without_key(pipelines)}",
    )


def _row(pipeline: Pipeline, contact_id: UUID) -> Any:
    rows = pipeline.contacts.statuses(pipeline.queue.statements.columns, [contact_id])
    if not rows:
        raise UnknownContact("No contact has this id.")
    return rows[0]


def _status(pipeline: Pipeline, row: Any) -> CrmStatus:
    attempts = pipeline.contacts.attempts(row.id, pipeline.crm.name, ATTEMPTS_SHOWN)
    return CrmStatus(
        crm=pipeline.crm.name,
        state=sentences.state_of(row.sync_status, row.processing_status),
        sync_status=row.sync_status,
        processing_status=row.processing_status,
        what_next=sentences.what_next(row, pipeline),
        error=row.error,
        external_id=row.external_id,
        retry_count=row.retry_count,
        next_retry_at=row.next_retry_at,
        synced_at=row.synced_at,
        target=row.target,
        attempts=[Attempt.model_validate(attempt, from_attributes=True) for attempt in attempts],
    )
