"""Contacts whose last push failed, some at a time: for applications that list them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from crm_pipeline.contacts.queue import Queue
from crm_pipeline.contacts.statuses import Meaning
from crm_pipeline.contacts.which import Which


@dataclass(frozen=True, slots=True)
class FailedContact:
    """One contact whose last push failed, its address whole."""

    contact_id: UUID
    email: str
    meaning: Meaning
    """WAITING for its retry, or GIVEN_UP."""
    error: str | None
    retry_count: int
    next_retry_at: datetime | None


def failures(queue: Queue, after: UUID | None, limit: int) -> list[FailedContact]:
    """At most `limit` of them behind the id `after`, by id. Scans the table."""
    statement = queue.statements.choosing(Which.FAILED)("failures", "queries")
    values = {"crm": queue.crm, "after": after and str(after), "limit": limit}

    def scan(connection: Connection) -> list[Any]:
        connection.execute(queue.statements("allow_scan", "queries"))
        return list(connection.execute(statement, values).all())

    return [
        FailedContact(
            row.id,
            row.email,
            Meaning.WAITING if row.waiting else Meaning.GIVEN_UP,
            row.error,
            row.retry_count,
            row.next_retry_at,
        )
        for row in queue.database.run(scan)
    ]
