"""What the failed contacts have in common: their errors by cause, the most frequent first."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from crm_pipeline.contacts.queue import Queue
from crm_pipeline.contacts.which import Which
from crm_pipeline.redaction import mask, mask_email

SHORTEST_TEXT = 8


@dataclass(frozen=True, slots=True)
class FailureGroup:
    """Contacts that failed for one cause."""

    cause: str
    """The error without what differs from contact to contact; # stands for an address, an id or a number."""
    waiting: int
    """Those that are tried again by themselves."""
    given_up: int
    last_at: datetime | None
    """When the last of them failed; None: another CRM's failure has taken its place."""
    contact_id: UUID
    """One of them."""
    masked_email: str
    error: str
    """That one's, masked: an application may have written it."""

    @property
    def contains(self) -> str | None:
        """The longest text that the errors of all of them contain, to choose them by; None: there is none of use."""
        longest = max(re.split(r"[#\r\n]", self.cause), key=len).strip(" .,:;")
        return longest if len(longest) >= SHORTEST_TEXT else None


@dataclass(frozen=True, slots=True)
class FailureGroups:
    """The most frequent causes, and how much there is in all."""

    groups: Sequence[FailureGroup]
    causes: int
    contacts: int


def failure_groups(queue: Queue, limit: int) -> FailureGroups:
    """The `limit` most frequent causes among contacts that wait for their retry or were given up. Scans the table."""
    statement = queue.statements.choosing(Which.FAILED)("failure_groups", "queries")

    def scan(connection: Connection) -> list[Any]:
        connection.execute(queue.statements("allow_scan", "queries"))
        return list(connection.execute(statement, {"crm": queue.crm, "limit": limit}).all())

    rows = queue.database.run(scan)
    groups = [
        FailureGroup(
            cause=mask(row.cause),
            waiting=row.waiting,
            given_up=row.contacts - row.waiting,
            last_at=row.last_at,
            contact_id=UUID(row.contact_id),
            masked_email=mask_email(row.email),
            error=mask(row.error or ""),
        )
        for row in rows
    ]
    return FailureGroups(groups, rows[0].all_groups if rows else 0, rows[0].all_contacts if rows else 0)
