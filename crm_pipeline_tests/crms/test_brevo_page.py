"""docs/crms/brevo.md says of each answer what the tables of the code say, and which test shows it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path

import pytest

from crm_pipeline.crms.answers import SHARED, Row
from crm_pipeline.crms.brevo import rows
from crm_pipeline.model import NewsKind, OutcomeKind

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "crms" / "brevo.md").read_text(encoding="utf-8")
STOPS = "everything stops; the contact that met it waits 5 minutes"
HAPPENS = {
    (OutcomeKind.SYNCED, NewsKind.WELL, False): ("synced", "no"),
    (OutcomeKind.BLOCKED, NewsKind.CLOSED, False): (STOPS, "no"),
    (OutcomeKind.FAILED, NewsKind.DOUBTFUL, False): (
        "the account is checked: everything stops, or the contact is retried",
        "if the account is well",
    ),
    (OutcomeKind.RELEASED, NewsKind.THROTTLED, False): ("everything pauses; then the contact is sent again", "no"),
    (OutcomeKind.FAILED, NewsKind.WELL, True): (
        "retried, or `Error` at once with `BREVO_SYNC_RETRY_REJECTED=false`",
        "yes",
    ),
    (OutcomeKind.FAILED, NewsKind.WELL, False): ("retried", "yes"),
    (OutcomeKind.FAILED, NewsKind.UNAVAILABLE, False): (
        "retried; the tenth of its kind in a row pauses everything",
        "yes",
    ),
}


def table(heading: str) -> list[list[str]]:
    """The cells of the table below a heading, by line."""
    lines = PAGE.partition(f"### {heading}\n")[2].splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("|---"))
    return [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in takewhile(lambda line: line.startswith("|"), lines[start + 1 :])
    ]


def in_code(table_of: Sequence[Row]) -> list[list[str]]:
    return [[row.answer, *HAPPENS[row.contact, row.account, row.refused]] for row in table_of]


def test_each_answer_to_a_push_is_on_the_page_in_the_order_in_which_it_is_looked_up() -> None:
    shown = [cells[:3] for cells in table("To a push")]
    by_hand = [cells for cells in shown if "sent once more" in cells[1]]
    assert len(by_hand) == 3, "what the module itself does with an answer"
    assert [cells for cells in shown if cells not in by_hand] == in_code([*rows.UPSERT, *rows.ROWS, *SHARED])


def test_each_answer_to_a_question_about_the_account_is_on_the_page() -> None:
    expected = dict.fromkeys(
        (row.answer, "usable" if row.contact is OutcomeKind.SYNCED else "closed")
        for row in (*rows.ATTRIBUTES, *rows.LIST)
    )
    assert [(cells[0], cells[1]) for cells in table("To the questions about the account")] == list(expected)


@pytest.mark.parametrize("named", re.findall(r"`(test_\w+\.py)::(test_\w+)`", PAGE), ids="::".join)
def test_each_test_that_the_page_names_exists(named: tuple[str, str]) -> None:
    file, test = named
    (path,) = (ROOT / "crm_pipeline_tests").rglob(file)
    assert f"def {test}(" in path.read_text(encoding="utf-8")
