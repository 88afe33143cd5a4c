"""All contacts with what became of each in one CRM, for a file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Connection

from crm_pipeline.contacts.queue import Queue
from crm_pipeline.model import SyncStatus

AT_ONCE = 5000
COLUMNS = (
    "id",
    "email",
    "name",
    "phone_number",
    "created_at",
    "sync_status",
    "processing_status",
    "error",
    "id_at_crm",
    "retry_count",
    "next_retry_at",
    "synced_at",
)


def exported(queue: Queue, statuses: Sequence[SyncStatus]) -> Iterator[Sequence[Any]]:
    """Rows of COLUMNS, 5,000 at a time in the order of ids; of these sync statuses alone, when there are any."""
    after = None
    while True:
        parameters = {"crm": queue.crm, "after": after, "limit": AT_ONCE, "statuses": [str(one) for one in statuses]}

        def read(connection: Connection, parameters: Any = parameters) -> Sequence[Any]:
            return connection.execute(queue.statements("exported", "queries"), parameters).all()

        rows = queue.database.run(read)
        if rows:
            yield rows
        if len(rows) < AT_ONCE:
            return
        after = str(rows[-1].id)
