"""docs/statuses.md says what the table of pairs and the files of the events say."""

from __future__ import annotations

import re
from itertools import takewhile
from pathlib import Path

import pytest

from crm_pipeline.contacts.statements import file_text, transition_names
from crm_pipeline.contacts.statuses import PAIRS, Meaning
from crm_pipeline.model import ProcessingStatus, SyncStatus

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "statuses.md").read_text(encoding="utf-8")
ENDS_AS = {
    "select": Meaning.DUE,
    "unselect": Meaning.UNWANTED,
    "promote": Meaning.DUE,
    "take_back": Meaning.DUE,
    "claim": Meaning.HELD,
    "synced": Meaning.SYNCED,
    "failed": Meaning.WAITING,
    "given_up": Meaning.GIVEN_UP,
    "blocked": Meaning.WAITING,
    "rejected": Meaning.GIVEN_UP,
    "skipped": Meaning.UNWANTED,
    "edited": Meaning.DUE,
    "fenced": Meaning.DUE,
    "poisoned": Meaning.GIVEN_UP,
    "healed": Meaning.DUE,
}
"""What the pairs mean that an event makes; the others leave or give back what was."""


def table(first_heading: str) -> list[list[str]]:
    """The rows of the table whose first column has this heading, without the heading."""
    lines = iter(PAGE.splitlines())
    heading = next(line for line in lines if line.startswith(f"| {first_heading} |"))
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in takewhile(lambda x: x[:1] == "|", lines)]
    assert all(len(row) == len(heading.strip("|").split("|")) for row in rows)
    return rows[1:]


def first_line(name: str) -> str:
    return file_text("transitions", name).splitlines()[0].removeprefix("-- ")


def test_the_page_shows_each_pair_with_its_meaning() -> None:
    processing = [None, *ProcessingStatus]
    shown = {
        (SyncStatus(row[0]), status): meaning
        for row in table("sync status")
        for status, meaning in zip(processing, row[1:], strict=True)
    }
    assert shown == PAIRS
    assert "| sync status | " + " | ".join(status or "NULL" for status in processing) + " |" in PAGE


def test_the_page_explains_each_meaning_once() -> None:
    assert [row[0] for row in table("meaning")] == list(Meaning)


def test_the_page_shows_each_event_as_its_file_begins() -> None:
    assert {row[0]: row[1] for row in table("event")} == {f"`{name}`": first_line(name) for name in transition_names()}


@pytest.mark.parametrize("name", transition_names())
def test_an_event_is_about_pairs_that_there_are(name: str) -> None:
    named = re.findall(r"\b([A-Z]\w+)/([A-Z]\w+)", first_line(name))
    assert all((sync, None if processing == "NULL" else processing) in PAIRS for sync, processing in named)
    made = re.findall(r"-> ([A-Z]\w+)/([A-Z]\w+)", first_line(name))
    assert {PAIRS[SyncStatus(sync), _processing(processing)] for sync, processing in made} == (
        {ENDS_AS[name]} if name in ENDS_AS else set()
    )


def _processing(label: str) -> ProcessingStatus | None:
    return None if label == "NULL" else ProcessingStatus(label)
