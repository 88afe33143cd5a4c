"""`/api/v3/contacts`: what failed, how much is where, and all that was given up once more."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from crm_pipeline.api import sentences
from crm_pipeline.api.parts import PipelineOfQuery, TheParts
from crm_pipeline.api.problems import answers
from crm_pipeline.api.schemas import Failed, Page, Pair, Retried, SyncFailures, SyncStats
from crm_pipeline.contacts.chosen import given_up, select_again
from crm_pipeline.contacts.counts import counted, depth, pairs
from crm_pipeline.contacts.failures import failures
from crm_pipeline.contacts.queue import Queue
from crm_pipeline.contacts.which import Which

router = APIRouter(prefix="/api/v3/contacts", tags=["contacts"])


@router.post("/retry-all-failures", responses=answers(400, 401, 503), operation_id="retry_all_failures")
def retry_all_failures(pipeline: PipelineOfQuery) -> Retried:
    """Try all contacts that were given up or refused again now, with fresh retries. Scans the table.

    Those that wait for their retry keep it. A thousand at a time; asking again after a failure goes on with the rest.
    """
    queue = pipeline.queue
    count = select_again(queue, given_up(queue), Which.GIVEN_UP)
    due = "is due again" if count == 1 else "are due again"
    message = f"{counted(count)} {due} for {pipeline.crm.spec.title}."
    return Retried(
        crm=pipeline.crm.name, retried_count=count, message=message + sentences.without_key([pipeline] if count else [])
    )


@router.get("/sync-stats", responses=answers(400, 401, 503), operation_id="sync_stats")
def sync_stats(pipeline: PipelineOfQuery, parts: TheParts) -> SyncStats:
    """How many contacts stand where. What is due and what waits is counted now, by index.

    To count every pair the table is scanned: at most once a minute, whoever asks.
    """
    queue = pipeline.queue
    counted_at, counted = parts.kept[pipeline.crm.name].pairs.get(lambda: _count(queue))
    now = depth(queue)
    return SyncStats(
        crm=pipeline.crm.name,
        due=now.queued,
        waiting=now.waiting,
        oldest_due_seconds=now.oldest_seconds,
        pairs=counted,
        pairs_counted_at=counted_at,
    )


@router.get("/sync-failures", responses=answers(400, 401, 503), operation_id="sync_failures")
def sync_failures(page: Annotated[Page, Query()], parts: TheParts) -> SyncFailures:
    """Contacts whose last push failed, by id, with their whole addresses: waiting for their retry, or given up.

    Scans the table, once a page. A contact that fails meanwhile, behind the cursor's place, is not missed.
    """
    (pipeline,) = parts.named([page.crm])
    after = None if page.cursor is None else UUID(bytes=urlsafe_b64decode(page.cursor + "=="))
    found = failures(pipeline.queue, after, page.limit + 1)
    shown = found[: page.limit]
    return SyncFailures(
        crm=pipeline.crm.name,
        failures=[
            Failed(
                contact_id=one.contact_id,
                email=one.email,
                state=one.meaning,
                error=one.error,
                retry_count=one.retry_count,
                next_retry_at=one.next_retry_at,
                what_to_do=sentences.what_to_do(one),
            )
            for one in shown
        ],
        next_cursor=_cursor(shown[-1].contact_id) if len(found) > page.limit else None,
    )


def _cursor(contact_id: UUID) -> str:
    return urlsafe_b64encode(contact_id.bytes).decode().rstrip("=")


def _count(queue: Queue) -> tuple[datetime, list[Pair]]:
    return datetime.now(UTC), [
        Pair(
            sync_status=sync,
            processing_status=processing,
            state=sentences.state_of(sync, processing),
            contacts=count,
        )
        for sync, processing, count in pairs(queue)
    ]
