"""Bodies of requests and answers, with the examples that the OpenAPI document shows."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from crm_pipeline.contacts.statuses import Meaning
from crm_pipeline.crms.registry import CRMS

MOST_IDS = 10_000
MOST_FAILURES = 1000
CRM_NAMES = sorted(CRMS)
UNKNOWN = "unknown"
"""The state of a contact with a status of the application's own."""
_CRM = CRM_NAMES[0]
_TITLE = CRMS[_CRM].title
EXAMPLE_ID = "0b6f6f0e-5a3c-4a59-9d0e-2f6f1f6f7a11"
_NEXT_TRY = "2026-01-31T09:05:00Z"
_ERROR = "400 invalid_parameter: Invalid phone number"

CrmName = Annotated[str, Field(json_schema_extra={"enum": CRM_NAMES}, examples=[_CRM])]
"""Checked by the routes, so that an unknown one is answered with those there are."""
CrmNames = Annotated[
    list[CrmName],
    Field(min_length=1, max_length=50, description="The CRMs that are meant.", examples=[[_CRM]]),
]


State = Annotated[
    str,
    Field(
        json_schema_extra={"enum": [*map(str, Meaning), UNKNOWN]},
        description="What the pair of statuses means, and so what happens next (docs/statuses.md).",
    ),
]


def _example(extra: Literal["ignore", "forbid"] = "ignore", **values: Any) -> ConfigDict:
    return ConfigDict(json_schema_extra={"examples": [values]}, extra=extra)


class Action(StrEnum):
    """Whether somebody wants the contacts in the CRM."""

    SELECT = "select"
    UNSELECT = "unselect"


class Selection(BaseModel):
    """Who is wanted where, or no longer."""

    model_config = _example("forbid", contact_ids=[EXAMPLE_ID], crms=[_CRM], action="select")

    contact_ids: list[UUID] = Field(min_length=1, max_length=MOST_IDS, description="Ids of contacts; each counts once.")
    crms: CrmNames
    action: Action


class Selected(BaseModel):
    """What a selection changed."""

    model_config = _example(
        updated_count=1, queued_count=1, crms=[_CRM], action="select", message=f"Selected 1 contact for {_TITLE}."
    )

    updated_count: int = Field(description="Contacts that there are, and so were changed.")
    queued_count: int = Field(description="Pushes that wait now: one for each contact and CRM; 0 after `unselect`.")
    crms: list[str]
    action: Action
    message: str = Field(description="The same as a sentence; it names what else is good to know.")


class Crms(BaseModel):
    """For which CRMs."""

    model_config = _example("forbid", crms=[_CRM])

    crms: CrmNames


class OfCrm(BaseModel):
    """Which CRM. A parameter that there is not is refused: it would be a mistake that nobody sees."""

    model_config = ConfigDict(extra="forbid")

    crm: CrmName = Field(description="The CRM.")


class Page(OfCrm):
    """Which page of a CRM's failures."""

    limit: int = Field(100, ge=1, le=MOST_FAILURES, description="Contacts on the page.")
    cursor: str | None = Field(
        None, pattern="^[A-Za-z0-9_-]{22}$", description="`next_cursor` of the page before; none: the first page."
    )


class Queued(BaseModel):
    """One contact that waits for its push now."""

    model_config = _example(contact_id=EXAMPLE_ID, crms=[_CRM], message=f"Due now for {_TITLE}.")

    contact_id: UUID
    crms: list[str] = Field(description="The CRMs that it was queued for.")
    message: str


class Attempt(BaseModel):
    """One push, as the journal has it."""

    started_at: datetime
    attempt: int = Field(description="1 for the first try, 2 for the first retry, ...")
    outcome: str = Field(description="synced, failed, blocked, rejected, skipped or released.")
    http_status: int | None
    code: str | None = Field(description="The CRM's error code, or the pipeline's own, such as `timeout`.")
    error: str | None
    duration_ms: int | None
    target: str = Field(description="The host that was asked.")
    applied: str = Field(description="pending, applied, fenced or overruled: what became of the answer.")
    note: str | None
    request_id: str | None = Field(description="The CRM's id of the request, for its support.")


class CrmStatus(BaseModel):
    """How one contact stands with one CRM."""

    crm: str
    state: State
    sync_status: str | None
    processing_status: str | None
    what_next: str = Field(description="What happens next, or what can be done.")
    error: str | None
    external_id: str | None = Field(description="Its id at the CRM.")
    retry_count: int = Field(description="Retries that the current wish has used up.")
    next_retry_at: datetime | None
    synced_at: datetime | None
    target: str | None = Field(description="The host that it was last synced to.")
    attempts: list[Attempt] = Field(description="The last ones, newest first.")


class SyncStatus(BaseModel):
    """How one contact stands with each CRM."""

    model_config = _example(
        contact_id=EXAMPLE_ID,
        email="ann@example.com",
        crms=[
            {
                "crm": _CRM,
                "state": "waiting",
                "sync_status": "Queued",
                "processing_status": "Error",
                "what_next": "It is tried again after 2026-01-31 09:05:00 UTC. retry-sync tries it now.",
                "error": _ERROR,
                "external_id": "ann@example.com",
                "retry_count": 1,
                "next_retry_at": _NEXT_TRY,
                "synced_at": "2025-12-24T18:00:00Z",
                "target": "api.example.com",
                "attempts": [
                    {
                        "started_at": "2026-01-31T09:00:00Z",
                        "attempt": 1,
                        "outcome": "failed",
                        "http_status": 400,
                        "code": "invalid_parameter",
                        "error": _ERROR,
                        "duration_ms": 85,
                        "target": "api.example.com",
                        "applied": "applied",
                        "note": "The phone number is not valid: it was not sent",
                        "request_id": "3f1c0e8a",
                    }
                ],
            }
        ],
    )

    contact_id: UUID
    email: str
    crms: list[CrmStatus]


class Retried(BaseModel):
    """How many were given up and are due again."""

    model_config = _example(crm=_CRM, retried_count=12, message=f"12 contacts are due again for {_TITLE}.")

    crm: str
    retried_count: int
    message: str


class Pair(BaseModel):
    """How many contacts have one pair of statuses."""

    sync_status: str | None
    processing_status: str | None
    state: State
    contacts: int


class SyncStats(BaseModel):
    """How many contacts stand where."""

    model_config = _example(
        crm=_CRM,
        due=120,
        waiting=3,
        oldest_due_seconds=42.5,
        pairs=[{"sync_status": "Selected", "processing_status": "Queued", "state": "due", "contacts": 120}],
        pairs_counted_at="2026-01-31T09:00:00Z",
    )

    crm: str
    due: int = Field(description="Pushed by the next run. Counted now.")
    waiting: int = Field(description="Waiting for their retry. Counted now.")
    oldest_due_seconds: float = Field(description="How long the oldest of those due has not been changed; 0: none is.")
    pairs: list[Pair] = Field(description="Every pair of statuses that occurs. Counted at most once a minute.")
    pairs_counted_at: datetime


class Failed(BaseModel):
    """One contact whose last push failed."""

    contact_id: UUID
    email: str
    state: Literal["waiting", "given up"]
    error: str | None
    retry_count: int
    next_retry_at: datetime | None
    what_to_do: str


class SyncFailures(BaseModel):
    """One page of contacts whose last push failed, by id."""

    model_config = _example(
        crm=_CRM,
        failures=[
            {
                "contact_id": EXAMPLE_ID,
                "email": "ann@example.com",
                "state": "waiting",
                "error": _ERROR,
                "retry_count": 1,
                "next_retry_at": _NEXT_TRY,
                "what_to_do": "It is tried again after 2026-01-31 09:05:00 UTC. retry-sync tries it now.",
            }
        ],
        next_cursor="C29vDlo8SlmdDi9vH296EQ",
    )

    crm: str
    failures: list[Failed]
    next_cursor: str | None = Field(description="For the next page; null: this was the last.")


class Checked(BaseModel):
    """Is the account usable with these settings?"""

    model_config = _example(
        crm=_CRM,
        usable=True,
        message="The account is usable.",
        target="api.example.com",
        sandbox=False,
        facts={"list": "Newsletter"},
        warnings=[],
    )

    crm: str
    usable: bool
    message: str = Field(description="What is wrong and what to do, when it is not usable.")
    target: str = Field(description="The host that was asked.")
    sandbox: bool = Field(description="The server named itself a sandbox.")
    facts: dict[str, str]
    warnings: Sequence[str]


class Health(BaseModel):
    """The process is alive; or it can do its work."""

    model_config = _example(status="ok")

    status: Literal["ok"]


class Problem(BaseModel):
    """What went wrong, as RFC 9457 has it."""

    model_config = _example(
        title="Bad Request", status=400, detail=f"Unknown CRM. There are: {_CRM}.", valid_crms=[_CRM]
    )

    title: str
    status: int
    detail: str = Field(description="A sentence for a person.")
    valid_crms: list[str] | None = Field(None, description="The CRMs there are, when an unknown one was named.")
    retry_after_seconds: int | None = Field(None, description="When to try again; also in Retry-After.")


class Invalid(BaseModel):
    """What does not fit in one part of a request."""

    model_config = ConfigDict(title="InvalidPart")

    loc: list[str | int] = Field(description="Where: `body`, `contact_ids`, 0")
    msg: str
    type: str


class ValidationProblem(BaseModel):
    """The request does not fit the schema."""

    model_config = _example(
        detail=[{"loc": ["body", "action"], "msg": "Input should be 'select' or 'unselect'", "type": "enum"}]
    )

    detail: list[Invalid] = Field(description="The first 20 things that do not fit. What was sent is not repeated.")
