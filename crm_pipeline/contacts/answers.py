"""From a journalled answer to the contact's statuses: the outcome's event, or one that a person's deed makes of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from crm_pipeline.contacts.row_by_row import apart, warn
from crm_pipeline.contacts.statements import Statements
from crm_pipeline.database.engine import first_line
from crm_pipeline.model import WriteBackCounts

INTERVENTIONS = ("fenced", "overruled", "edited")
EVENTS_OF_OUTCOME = {
    "synced": ("synced",),
    "failed": ("failed", "given_up"),
    "blocked": ("blocked",),
    "rejected": ("rejected",),
    "skipped": ("skipped",),
}


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Waits after a failed push: `delay_minutes`, then each `factor` times the one before; `max_retries` in all."""

    max_retries: int = 3
    delay_minutes: float = 5
    factor: float = 2


@dataclass(frozen=True, slots=True)
class Answers:
    """One CRM's. The caller has locked the contacts; an answer has id, contact_id and outcome."""

    statements: Statements
    retries: RetryPolicy

    def apply(self, connection: Connection, answers: Sequence[Any]) -> WriteBackCounts:
        """Turn pending answers into statuses, all at once."""
        if not answers:
            return WriteBackCounts()
        return self._apply(connection, [answer.id for answer in answers], {answer.outcome for answer in answers})

    def apply_apart(self, connection: Connection, answers: Sequence[Any]) -> tuple[WriteBackCounts, DBAPIError | None]:
        """The same for each by itself; and what the table said, where it refused each of them.

        One that is refused counts as rejected if the table takes such answers of others; else it waits.
        """
        done, refused = apart(connection, answers, lambda one: self._apply(connection, [one.id], {one.outcome}))
        warn("written back", [(answer.contact_id, error) for answer, error in refused])
        turned_down, _ = apart(connection, refused, lambda one: self._turn_down(connection, *one))
        counts = sum([*done, *turned_down], WriteBackCounts())
        return counts, refused[0][1] if refused and counts == WriteBackCounts() else None

    def _turn_down(self, connection: Connection, answer: Any, error: DBAPIError) -> WriteBackCounts:
        reason = f"The table contacts refused what the CRM answered: {first_line(error)}"
        values = {"attempt": answer.id, "reason": reason}
        outcomes = connection.execute(self.statements("turn_down", "queries"), values).scalars().all()
        return self._apply(connection, [answer.id], set(outcomes)) if outcomes else WriteBackCounts()

    def _apply(self, connection: Connection, attempts: list[int], outcomes: set[str]) -> WriteBackCounts:
        values = {
            "crm": self.statements.columns.crm,
            "attempts": attempts,
            "max_retries": self.retries.max_retries,
            "delay_minutes": self.retries.delay_minutes,
            "delay_factor": self.retries.factor,
        }
        events = [*INTERVENTIONS, *(event for outcome in sorted(outcomes) for event in EVENTS_OF_OUTCOME[outcome])]
        return WriteBackCounts(
            **{event: len(connection.execute(self.statements(event), values).scalars().all()) for event in events}
        )
