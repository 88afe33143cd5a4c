"""What a contact's pair of statuses means for whoever asks, and what can be done, in a sentence."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from crm_pipeline.contacts.statuses import PAIRS, Meaning
from crm_pipeline.model import ProcessingStatus, SyncStatus


def meaning_of(sync: str | None, processing: str | None) -> Meaning | None:
    """None: a status of the application's own is in the pair."""
    known = sync in set(SyncStatus) and (processing is None or processing in set(ProcessingStatus))
    if sync is None or not known:
        return None
    return PAIRS[SyncStatus(sync), None if processing is None else ProcessingStatus(processing)]


def next_step(row: Any, title: str, select: str, retry: str) -> str:
    """For one row of `Contacts.statuses`, beginning with `it`, `nobody` or `the table`.

    `title` is the CRM's; `select` and `retry` are what whoever asks can do, such as commands.
    """
    meaning = meaning_of(row.sync_status, row.processing_status)
    match meaning:
        case Meaning.UNWANTED if row.sync_status == SyncStatus.SKIPPED:
            return f"it is not pushed: it was set aside, or opted out at {title}. {select} selects it all the same."
        case Meaning.UNWANTED:
            return f"nobody wants it in {title}. {select} selects it."
        case Meaning.HELD if row.leased:
            return "it is being pushed."
        case Meaning.HELD:
            return "its run died; the next run takes it back and pushes it."
        case Meaning.DUE if row.refused_until:
            return f"the table contacts refused that it is claimed. It is tried again after {_time(row.refused_until)}."
        case Meaning.DUE | Meaning.WISH:
            return "it is due: the next run pushes it."
        case Meaning.WAITING | Meaning.GIVEN_UP:
            return after_failure(meaning, row.next_retry_at, retry)
        case Meaning.SYNCED:
            synced = f" on {_time(row.synced_at)}" if row.synced_at else ""
            return f"it is in {row.target or title} as {row.external_id}{synced}."
        case Meaning.UNCLEAR:
            return f"it has a pair of statuses that no event makes, and is left alone. {select} pushes it."
    return f"it has a status that the pipeline does not know, and is left alone. {select} pushes it."


def after_failure(meaning: Meaning, next_retry_at: datetime | None, retry: str) -> str:
    """The same for a contact whose last push failed: WAITING or GIVEN_UP."""
    if meaning is Meaning.GIVEN_UP:
        return f"it was given up or refused. Mend what the error names, then {retry}."
    if next_retry_at is None:
        return "it is due: the next run pushes it."
    return f"it is tried again after {_time(next_retry_at)}. {retry} tries it now."


def _time(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S %Z}"
