"""Takes from the journal what is old and of no more use."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from typing import Any

from sqlalchemy import Connection, text

from crm_pipeline.contacts.statements import file_text
from crm_pipeline.database.engine import Database

STRETCH = 1000
"""Rows that one transaction looks at: some ms, and no lock on `contacts`."""
PAUSE_SECONDS = 0.02
"""Between two transactions: pushes go first."""


def prune_attempts(database: Database, days: int) -> Iterator[int]:
    """Deletes rows of `crm_attempts` older than `days` days, of all CRMs; yields how many went in each transaction.

    Stops at the first stretch that has no old row: ids follow time, but for the length of a run. May be left at any
    time, and two may run at once. Raises DatabaseFailure.
    """
    pause = threading.Event()
    after: int | None = 0
    while after is not None:
        row = database.run(partial(_prune_some, {"after": after, "days": days, "limit": STRETCH}))
        if not row.old:
            return
        yield row.gone
        after = row.last
        pause.wait(PAUSE_SECONDS)


def _prune_some(values: dict[str, int], connection: Connection) -> Any:
    return connection.execute(text(file_text("queries", "prune_attempts")), values).one()
