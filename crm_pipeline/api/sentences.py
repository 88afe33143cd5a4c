"""What a contact's statuses mean for whoever asks, and what can be done, in a sentence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from crm_pipeline.api.schemas import UNKNOWN
from crm_pipeline.contacts.statuses import PAIRS, Meaning
from crm_pipeline.crms.protocol import CrmSpec
from crm_pipeline.model import ProcessingStatus, SyncStatus
from crm_pipeline.wiring import Pipeline

_WHAT_NEXT = {
    Meaning.UNWANTED: "Nobody wants it there: it is not pushed. queue-sync selects it.",
    Meaning.DUE: "The next run pushes it.",
    Meaning.WISH: "The next run pushes it.",
    Meaning.WAITING: "It is tried again by itself after next_retry_at; retry-sync tries it now.",
    Meaning.SYNCED: "It is there. queue-sync pushes it again.",
    Meaning.GIVEN_UP: "Mend what the error names, then retry-sync.",
    Meaning.UNCLEAR: "No event makes this pair of statuses, and it is left alone. queue-sync pushes it.",
}


def state_of(sync: str | None, processing: str | None) -> str:
    """What the pair means; `unknown` for labels of the application's own."""
    known = sync in set(SyncStatus) and (processing is None or processing in set(ProcessingStatus))
    if not known:
        return UNKNOWN
    assert sync is not None
    return PAIRS[SyncStatus(sync), None if processing is None else ProcessingStatus(processing)]


def what_next(row: Any) -> str:
    """For one row of `Contacts.statuses`."""
    state = state_of(row.sync_status, row.processing_status)
    if row.sync_status == SyncStatus.SKIPPED:
        return "It was set aside, or opted out there: it is not pushed. queue-sync selects it all the same."
    if state == Meaning.HELD:
        return "It is being pushed." if row.leased else "Its run died; the next run takes it back and pushes it."
    if state == UNKNOWN:
        return "It has a status that the pipeline does not know, and is left alone. queue-sync pushes it."
    return what_to_do(Meaning(state))


def what_to_do(meaning: Meaning) -> str:
    """For a pair that means this, unless it is HELD."""
    return _WHAT_NEXT[meaning]


def titles(pipelines: Sequence[Pipeline]) -> str:
    """`Brevo and HubSpot`."""
    return " and ".join(_spec(pipeline).title for pipeline in pipelines)


def without_key(pipelines: Sequence[Pipeline]) -> str:
    """What is to be said of CRMs that are off; empty when there is none."""
    off = [_spec(pipeline) for pipeline in pipelines if not pipeline.crm.enabled]
    return "".join(f" {spec.title} is off until {spec.key_variable} is set: contacts wait till then." for spec in off)


def _spec(pipeline: Pipeline) -> CrmSpec:
    spec: CrmSpec = pipeline.crm.spec
    return spec
