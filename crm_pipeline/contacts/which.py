"""Which contacts a person may ask for at once, beside those that are due: choices among the meanings of statuses."""

from __future__ import annotations

from enum import StrEnum

from crm_pipeline.contacts.statuses import Meaning, predicate
from crm_pipeline.model import SyncStatus


class Which(StrEnum):
    """A choice. None of them has a person who opted out: Skipped is nobody's to choose."""

    WANTED = "wanted"
    """What the sync would push, now or later."""
    GIVEN_UP = "given_up"
    """Error at rest."""
    FAILED = "failed"
    """The last push failed: given up, or waiting for the retry."""
    COMPLETE = "complete"
    """Complete at rest."""
    EVERYONE = "everyone"
    """Each pair at rest but Skipped, New too."""
    NAMED = "named"
    """Named one by one: any pair but Skipped."""


_MEANINGS = {
    Which.WANTED: (Meaning.DUE, Meaning.WISH, Meaning.WAITING),
    Which.GIVEN_UP: (Meaning.GIVEN_UP,),
    Which.FAILED: (Meaning.WAITING, Meaning.GIVEN_UP),
    Which.COMPLETE: (Meaning.SYNCED,),
    Which.EVERYONE: tuple(meaning for meaning in Meaning if meaning is not Meaning.HELD),
}


def choice(which: Which, sync: str, processing: str) -> str:
    """SQL that is true when the pair in the columns `sync` and `processing` is one of those chosen."""
    not_skipped = f"{sync} <> '{SyncStatus.SKIPPED}'"
    if which is Which.NAMED:
        return not_skipped
    meant = " OR ".join(predicate(meaning, sync, processing) for meaning in _MEANINGS[which])
    return f"(({meant}) AND {not_skipped})"
