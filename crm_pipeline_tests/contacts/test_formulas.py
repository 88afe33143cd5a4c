"""Cells that a spreadsheet would run are written as text, and any cell comes back as it was."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as some

from crm_pipeline.contacts.formulas import as_it_was, as_text


@pytest.mark.parametrize("first", ["=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20"])
def test_a_cell_that_begins_as_formulas_do_gets_an_apostrophe(first: str) -> None:
    assert as_text(f"{first}A1") == f"'{first}A1"


@pytest.mark.parametrize("number", ["+49 30 1", "+1 (555) 123-4567", "+49.30/12", "+4930", "+33\u00a06"])
def test_a_plain_phone_number_stays_as_it_is(number: str) -> None:
    assert as_text(number) == number


@pytest.mark.parametrize("number", ["+", "+-()", "+1+cmd|A1", "+1;=A1", "+49 30 =1", "+A1", "+1\n=A1", "+\u0661"])
def test_what_is_no_plain_phone_number_does_not_pass_for_one(number: str) -> None:
    assert as_text(number) == f"'{number}"


@given(some.text(alphabet="'=+-@\t\r\n1 a\uff1d", max_size=6) | some.text())
def test_every_cell_comes_back_as_it_was(cell: str) -> None:
    assert as_it_was(as_text(cell)) == cell


@pytest.mark.parametrize("cell", ["", "'t Hooft", "O'Neill", "Ann = Bob", "a@example.com", "'", "''"])
def test_other_cells_are_left_alone_both_ways(cell: str) -> None:
    assert (as_text(cell), as_it_was(cell)) == (cell, cell)
