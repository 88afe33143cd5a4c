"""What the database holds after a step, read as an outsider would, and what the step was."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from crm_pipeline.contacts.columns import CrmColumns
from crm_pipeline_tests.conftest import BREVO

CRMS = {"brevo": BREVO, "hubspot": CrmColumns("hubspot", "hubspot_contact_id")}
Key = tuple[UUID, str]
"""(contact, CRM): what has a pair of statuses."""
Payload = tuple[str, str | None, str | None]
"""(email, name, phone number): the data that the tests send and edit."""
RESTING = {"Complete": (None, "Complete", "Error"), "Error": (None, "Complete", "Error")}


def address(email: str) -> str | None:
    """What makes two contacts twins: the address without case and surrounding blanks; None when there is none."""
    return email.strip(" \t\n\r\f\v\u00a0").lower() or None


@dataclass(frozen=True, slots=True)
class Row:
    """One contact as one CRM's queue has it: its statuses and data, and its mechanics (empty at first)."""

    sync: str
    processing: str | None
    error: str | None
    external_id: str | None
    payload: Payload
    updated_at: datetime
    retry_count: int
    next_retry_at: datetime | None
    lease_id: UUID | None
    leased_until: datetime | None
    run_id: str | None
    prior: tuple[str | None, str | None]
    email_key: str | None
    crashes: int
    claimed_fingerprint: str | None
    synced_fingerprint: str | None
    lease_over: bool = field(compare=False)
    shared_retry_count: int = field(compare=False)
    """`contacts.retry_count`, when this CRM failed last: what a first claim starts from."""

    @property
    def pair(self) -> tuple[str, str | None]:
        return self.sync, self.processing

    @property
    def address(self) -> str | None:
        return address(self.payload[0])

    @property
    def known_as(self) -> str | None:
        """The address under which the CRM knows it."""
        return address(self.external_id) if self.external_id else None

    @property
    def former(self) -> str | None:
        """The same, where it has another one today."""
        return self.known_as if self.known_as != self.address else None

    @property
    def due(self) -> bool:
        return self.processing == "Queued" and self.sync in ("Selected", "Queued", "Complete", "Error")

    @property
    def in_flight(self) -> bool:
        return self.pair == ("Processing", "Processing")

    @property
    def rests(self) -> bool:
        """Synced, given up or refused: only a person or rule 6 moves it."""
        return self.processing in RESTING.get(self.sync, ())

    @property
    def synced(self) -> bool:
        return self.sync == "Complete" and self.rests

    @property
    def unwanted(self) -> bool:
        return self.sync in ("New", "Skipped")


@dataclass(frozen=True, slots=True)
class Attempt:
    """One row of the journal."""

    outcome: str
    applied: str
    external_id: str | None


@dataclass(frozen=True)
class Look:
    """All rows and the whole journal at one moment."""

    rows: Mapping[Key, Row]
    journal: Mapping[tuple[UUID, Key], Attempt]
    """By (lease, (contact, CRM))."""
    now: datetime

    def of(self, crm: str) -> dict[Key, Row]:
        return {key: row for key, row in self.rows.items() if key[1] == crm}


@dataclass(frozen=True)
class Action:
    """What somebody did: one verb, and what it was about."""

    verb: str
    crm: str | None = None
    lease_id: UUID | None = None
    run_id: str | None = None
    crashed: bool = False
    asked: tuple[UUID, ...] = ()
    """Contact ids that a claim asked for."""
    wrote: frozenset[Key] = frozenset()
    """Pairs of statuses that a person wrote."""
    person: bool = False


def look(connection: Connection) -> Look:
    """Read everything; the tests run one thing at a time, so three statements see one moment."""
    rows = {(row.id, row.crm): _row(row) for row in connection.execute(_ROWS)}
    journal = {
        (row.lease_id, (row.contact_id, row.crm)): Attempt(row.outcome, row.applied, row.external_id)
        for row in connection.execute(_JOURNAL)
    }
    return Look(rows, journal, connection.execute(_NOW).scalar_one())


def _row(row: Any) -> Row:
    return Row(
        sync=row.sync,
        processing=row.processing,
        error=row.error,
        external_id=row.external_id,
        payload=(row.email, row.name, row.phone_number),
        updated_at=row.updated_at,
        retry_count=row.retry_count or 0,
        next_retry_at=row.next_retry_at,
        lease_id=row.lease_id,
        leased_until=row.leased_until,
        run_id=row.run_id,
        prior=(row.prior_sync_status, row.prior_processing_status),
        email_key=row.email_key,
        crashes=row.crashes or 0,
        claimed_fingerprint=row.claimed_fingerprint,
        synced_fingerprint=row.synced_fingerprint,
        lease_over=bool(row.lease_over),
        shared_retry_count=row.shared_retry_count or 0,
    )


_ROWS = text(
    " UNION ALL ".join(
        f"""SELECT c.id, '{crm}' AS crm, c.email, c.name, c.phone_number, c.updated_at,
            c.{columns.sync_status}::text AS sync, c.{columns.processing_status}::text AS processing,
            c.{columns.error} AS error, c.{columns.external_id} AS external_id,
            s.retry_count, s.next_retry_at, s.lease_id, s.leased_until, s.run_id, s.prior_sync_status,
            s.prior_processing_status, s.email_key, s.crashes, s.claimed_fingerprint, s.synced_fingerprint,
            s.leased_until < clock_timestamp() AS lease_over,
            CASE WHEN s.contact_id IS NULL AND c.last_failed_crm = '{crm}' THEN c.retry_count END AS shared_retry_count
        FROM contacts c LEFT JOIN crm_sync s ON s.contact_id = c.id AND s.crm = '{crm}'"""
        for crm, columns in CRMS.items()
    )
)
_JOURNAL = text("SELECT lease_id, contact_id, crm, outcome, applied, external_id FROM crm_attempts")
_NOW = text("SELECT clock_timestamp()")
