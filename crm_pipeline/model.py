"""What passes between the parts: contacts, batches, answers and outcomes. Standard library only."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

SANDBOX_HEADER = "X-CRM-Sandbox"
"""Response header by which a sandbox names itself."""


class SyncStatus(StrEnum):
    """`{crm}_sync_status`: what a person wants and sees."""

    NEW = "New"
    SELECTED = "Selected"
    QUEUED = "Queued"
    PROCESSING = "Processing"
    COMPLETE = "Complete"
    ERROR = "Error"
    SKIPPED = "Skipped"


class ProcessingStatus(StrEnum):
    """`{crm}_processing_status`: what the system is doing. The column may also be NULL."""

    QUEUED = "Queued"
    PROCESSING = "Processing"
    COMPLETE = "Complete"
    ERROR = "Error"


class OutcomeKind(StrEnum):
    """How one push ended for one contact, as journalled in `crm_attempts.outcome`."""

    SYNCED = "synced"
    FAILED = "failed"
    BLOCKED = "blocked"
    REJECTED = "rejected"
    SKIPPED = "skipped"
    RELEASED = "released"


class NewsKind(StrEnum):
    """What a request taught about the CRM as a whole."""

    WELL = "well"
    THROTTLED = "throttled"
    """The CRM asked for a pause (429): the account's quota is used up for now."""
    UNAVAILABLE = "unavailable"
    """No usable answer: transport failure, 5xx, or a body that is not the CRM's."""
    CLOSED = "closed"
    """The account or the settings are at fault (401, 402, redirect, TLS): a person must act."""
    DOUBTFUL = "doubtful"
    """The account's fault or this contact's (403, 404, 405, 406): `check()` is asked before either is believed."""
    REFUSED = "refused"
    """A contact was refused for what may be the account's fault: believed when many are, one after another."""


@dataclass(frozen=True, slots=True)
class Contact:
    """One contact as it stood when it was claimed. `email` is as stored: not trimmed, maybe empty."""

    id: UUID
    email: str
    name: str | None = None
    phone_number: str | None = None
    email_type: str | None = None
    has_gmail: bool | None = None
    source_url: str | None = None
    domain_id: UUID | None = None
    page_id: UUID | None = None
    external_id: str | None = None
    """Its id at the CRM, from an earlier sync."""
    former_address_in_use: bool = False
    """`external_id` is an address that another contact of this CRM has today."""
    tried_address: str | None = None
    """Another address than today's, with which the process died that pushed it: the CRM may have it there, or not."""
    further: Mapping[str, Any] = field(default_factory=dict)
    """Values of further columns that the CRM's settings map, as JSON has them; numbers are Decimals."""
    attempt: int = 1
    """1 for the first try, 2 for the first retry, ..."""


@dataclass(frozen=True, slots=True)
class QueuedContact:
    """A contact that is due: what is needed to put it into a batch, and no personal data but its key."""

    id: UUID
    email_key: str | None
    crashes: int
    has_error: bool = False
    """An earlier push ended with one."""
    former_key: str | None = None
    """The address under which the CRM knows it, where it has another one today."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Contacts taken under one lease."""

    lease_id: UUID
    contacts: Sequence[Contact]
    seconds_left: float
    """Lease left when the claim returned; counted from before its statement, so never overestimated."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one push ended for one contact."""

    kind: OutcomeKind
    http_status: int | None = None
    code: str | None = None
    """The CRM's own error code, or ours (`timeout`, `connection`, ...)."""
    error: str | None = None
    """A sentence for a person, redacted, at most 500 characters."""
    external_id: str | None = None
    request_id: str | None = None
    """The CRM's id of the request, for its support."""
    note: str | None = None
    left_behind: str | None = None
    """An address of this contact that stays at the CRM beside its new one."""
    refused: bool = False
    """A clear validation refusal: trying the same data again cannot help unless somebody changes the CRM."""
    own: bool = False
    """What failed is surely this contact's own trouble: it says nothing about the account."""
    duration_ms: int = 0


@dataclass(frozen=True, slots=True)
class News:
    """What a request taught about the CRM's account, for the gate."""

    kind: NewsKind
    sentence: str | None = None
    """What happened and what to do; None when all is well."""
    pause_seconds: float | None = None
    """The pause that the CRM asked for; None when it named none."""
    limit_per_second: float | None = None
    """Requests that the account may make in one second, as the answer's headers say; None: they do not."""
    accepted: bool = False
    """With WELL: a contact was taken, so no fault of the account's keeps contacts out."""
    contacts: int = 1
    """With REFUSED: how many were refused in this request."""


WELL = News(NewsKind.WELL)


@dataclass(frozen=True, slots=True)
class Answer:
    """One request's result: an outcome for each contact in it, by contact id, and what it taught."""

    outcomes: Mapping[UUID, Outcome]
    """None for a contact whose push `then` goes on."""
    news: News = WELL
    sandbox: bool = False
    """The server named itself a sandbox."""
    then: Callable[[], Answer] | None = None
    """The push needs one more request: to be called at the next slot. None: it has ended."""


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What `check()` found: is the account usable with these settings?"""

    news: News
    sandbox: bool = False
    warnings: tuple[str, ...] = ()
    facts: Mapping[str, str] = field(default_factory=dict)
    """What a person would like to see, such as the list's name."""


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """One outcome on its way into `crm_attempts`."""

    contact_id: UUID
    outcome: Outcome
    age_seconds: float
    """How long ago the push began, by the worker's monotonic clock."""


@dataclass(frozen=True, slots=True)
class WriteBackCounts:
    """What a write-back, release or reap did, in contacts."""

    synced: int = 0
    failed: int = 0
    given_up: int = 0
    blocked: int = 0
    rejected: int = 0
    skipped: int = 0
    edited: int = 0
    """Edited while in flight: queued again."""
    overruled: int = 0
    """A person wrote a status while in flight: left as written."""
    fenced: int = 0
    """Answers whose lease was no longer their own."""
    released: int = 0
    crashed: int = 0

    def __add__(self, other: WriteBackCounts) -> WriteBackCounts:
        return WriteBackCounts(**{name: getattr(self, name) + getattr(other, name) for name in self.__slots__})


@dataclass(frozen=True, slots=True)
class PushResult:
    """What pushing one batch came to: counts and sentences, no contact's data."""

    lease_id: UUID
    listed: int
    claimed: int
    outcomes: Mapping[str, int] = field(default_factory=dict)
    """Journalled outcomes by kind, `released` included."""
    stopped_because: str | None = None
    """Why contacts were released or not claimed: a pause, a closed account, a cancelled run."""


@dataclass(frozen=True, slots=True)
class Failure:
    """One contact's failure, for tables that people read. The address is masked."""

    masked_email: str
    contact_id: UUID
    outcome: str
    error: str | None
    retry_count: int
    next_retry_at: datetime | None


@dataclass(frozen=True, slots=True)
class RunSummary:
    """What a run did, counted from `crm_attempts`, so that a re-executed step counts the same."""

    run_id: str
    attempts: Mapping[str, int]
    """Journal rows by outcome (`synced`, `failed`, ...)."""
    given_up: int
    requeued: int
    """Answers that were fenced or overtaken by an edit or a person."""
    throughput_per_second: float
    """Requests begun per second, from the first to the last; 0 for fewer than two."""
    p50_ms: float | None
    p95_ms: float | None
    failures: Sequence[Failure]
    queued: int
    """Due now."""
    waiting: int
    """Waiting for their backoff."""
