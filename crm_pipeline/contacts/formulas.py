"""Cells of a CSV file that a spreadsheet would run as formulas: written as text, and read back as they were.

As OWASP's page on CSV injection asks: an apostrophe goes before what begins with one of these characters.
"""

from __future__ import annotations

import re

_FORMULA = re.compile("'*[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
"""Apostrophes before it too, for otherwise nobody could tell those that were there from the one that was put there."""
_PHONE_NUMBER = re.compile("\\+[ \u00a0()./-]*[0-9][0-9 \u00a0()./-]*")
"""Begins with + as well, and the worst that a spreadsheet makes of it is a sum."""


def as_text(cell: str) -> str:
    """What is written in the place of the cell."""
    return f"'{cell}" if _FORMULA.match(cell) and not _PHONE_NUMBER.fullmatch(cell) else cell


def as_it_was(cell: str) -> str:
    """The cell for which this was written; as it is, what `as_text` did not write."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell
