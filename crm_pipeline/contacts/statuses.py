"""What each pair of statuses means: the one table that the statements, the documentation and the tests are made of."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from crm_pipeline.model import ProcessingStatus, SyncStatus


class Meaning(StrEnum):
    """What a pair of `{crm}_sync_status` and `{crm}_processing_status` stands for, and what happens next."""

    UNWANTED = "unwanted"
    """Nobody wants it: never pushed, never touched."""
    DUE = "due"
    """Pushed by the next run; with fresh retries, unless the pair is Queued/Queued."""
    WISH = "wish"
    """A person's wish, written with one column: promoted to Selected/Queued."""
    WAITING = "waiting"
    """For its backoff: promoted to Queued/Queued when the time is past, to Selected/Queued when no time is known."""
    HELD = "held"
    """Being pushed, or a person acted meanwhile; without a lease it was left behind and is taken back."""
    SYNCED = "synced"
    """The CRM has it: untouched until a person asks again."""
    GIVEN_UP = "given up"
    """Given up or refused, the reason in the error column: untouched until a person asks again."""
    UNCLEAR = "unclear"
    """A pair that no event makes: untouched, for a person to look at."""


_UNWANTED, _DUE, _WISH, _HELD = Meaning.UNWANTED, Meaning.DUE, Meaning.WISH, Meaning.HELD
_SYNCED, _GIVEN_UP = Meaning.SYNCED, Meaning.GIVEN_UP
_PROCESSING = (
    None,
    ProcessingStatus.QUEUED,
    ProcessingStatus.PROCESSING,
    ProcessingStatus.COMPLETE,
    ProcessingStatus.ERROR,
)
_MEANINGS = {
    # sync status:         NULL       Queued     Processing  Complete   Error
    SyncStatus.NEW:        (_UNWANTED, _UNWANTED, _UNWANTED, _UNWANTED, _UNWANTED),
    SyncStatus.SELECTED:   (_WISH,     _DUE,      _HELD,     _WISH,     _WISH),
    SyncStatus.QUEUED:     (_WISH,     _DUE,      _HELD,     _WISH,     Meaning.WAITING),
    SyncStatus.PROCESSING: (_HELD,     _HELD,     _HELD,     _HELD,     _HELD),
    SyncStatus.COMPLETE:   (_SYNCED,   _DUE,      _HELD,     _SYNCED,   Meaning.UNCLEAR),
    SyncStatus.ERROR:      (_GIVEN_UP, _DUE,      _HELD,     _GIVEN_UP, _GIVEN_UP),
    SyncStatus.SKIPPED:    (_UNWANTED, _UNWANTED, _UNWANTED, _UNWANTED, _UNWANTED),
}  # fmt: skip

PAIRS: dict[tuple[SyncStatus, ProcessingStatus | None], Meaning] = {
    (sync, processing): meaning
    for sync, meanings in _MEANINGS.items()
    for processing, meaning in zip(_PROCESSING, meanings, strict=True)
}
"""All 35 pairs. A status that is not in here (an application may have labels of its own) is never pushed."""


def predicate(meaning: Meaning, sync: str, processing: str) -> str:
    """SQL that is true when the pair in the columns `sync` and `processing` means this."""
    by_sync: dict[tuple[SyncStatus, ...], list[ProcessingStatus | None]] = {}
    for label in _PROCESSING:
        if syncs := tuple(status for status in SyncStatus if PAIRS[status, label] is meaning):
            by_sync.setdefault(syncs, []).append(label)
    pairs = [f"{_is_one_of(processing, labels)} AND {_is_one_of(sync, syncs)}" for syncs, labels in by_sync.items()]
    return f"({' OR '.join(pairs)})"


def known(column: str, labels: type[StrEnum]) -> str:
    """SQL that is true for a status that is in the table; an application may have labels of its own."""
    return _is_one_of(column, list(labels))


def _is_one_of(column: str, labels: Sequence[StrEnum | None]) -> str:
    known = [f"'{label}'" for label in labels if label is not None]
    if not known:
        return f"{column} IS NULL"
    listed = f"{column} = {known[0]}" if len(known) == 1 else f"{column} IN ({', '.join(known)})"
    return f"({column} IS NULL OR {listed})" if None in labels else listed
