"""What a pair of statuses means is said in one way, with what whoever asks can do put in."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from crm_pipeline.contacts.next_step import after_failure, meaning_of, next_step
from crm_pipeline.contacts.statuses import PAIRS, Meaning
from crm_pipeline.model import SyncStatus

TIME = datetime(2026, 11, 25, 9, 5, tzinfo=UTC)


def said(sync: str | None, processing: str | None, **further: Any) -> str:
    known: dict[str, Any] = {
        "leased": False,
        "next_retry_at": None,
        "synced_at": None,
        "target": None,
        "external_id": "7",
    }
    known["refused_until"] = None
    row = SimpleNamespace(sync_status=sync, processing_status=processing, **(known | further))
    return next_step(row, "Brevo", select="SELECT", retry="RETRY")


def test_who_is_left_alone_can_be_selected_and_who_failed_can_be_tried_again() -> None:
    for (sync, processing), meaning in PAIRS.items():
        says = said(sync, processing, next_retry_at=TIME)
        assert ("SELECT" in says) == (meaning in (Meaning.UNWANTED, Meaning.UNCLEAR)), (sync, processing)
        assert ("RETRY" in says) == (meaning in (Meaning.WAITING, Meaning.GIVEN_UP)), (sync, processing)


@pytest.mark.parametrize(
    ("pair", "further", "says"),
    [
        (("Skipped", "Error"), {}, "it is not pushed: it was set aside, or opted out at Brevo. SELECT selects it all"),
        (("Processing", "Processing"), {"leased": True}, "it is being pushed."),
        (("Processing", "Processing"), {}, "its run died; the next run takes it back"),
        (
            ("Queued", "Error"),
            {"next_retry_at": TIME},
            "it is tried again after 2026-11-25 09:05:00 UTC. RETRY tries it",
        ),
        (("Queued", "Error"), {}, "it is due: the next run pushes it."),
        (
            ("Selected", "Queued"),
            {"refused_until": TIME},
            "the table contacts refused that it is claimed. It is tried again after 2026-11-25 09:05:00 UTC.",
        ),
        (("Complete", None), {}, "it is in Brevo as 7."),
        (
            ("Complete", None),
            {"target": "a.example.com", "synced_at": TIME},
            "it is in a.example.com as 7 on 2026-11-25",
        ),
    ],
)
def test_what_else_is_known_of_a_contact_is_said(
    pair: tuple[str, str | None], further: dict[str, Any], says: str
) -> None:
    assert said(*pair, **further).startswith(says)


@pytest.mark.parametrize("pair", [("Archived", None), (None, None), ("Complete", "Parked"), ("Complete", "New")])
def test_a_status_of_the_applications_own_means_nothing_to_the_pipeline(pair: tuple[str | None, str | None]) -> None:
    assert meaning_of(*pair) is None
    assert "does not know" in said(*pair)


def test_a_failure_is_said_as_in_the_contacts_own_state() -> None:
    assert after_failure(Meaning.GIVEN_UP, None, "RETRY") == said(SyncStatus.ERROR, None)
    assert after_failure(Meaning.WAITING, TIME, "RETRY") == said(SyncStatus.QUEUED, "Error", next_retry_at=TIME)
