"""Is what a page shows what was said, but for times, ids, numbers, hosts and addresses?"""

from __future__ import annotations

import difflib
import re
from typing import Any

HOST = "api.brevo.com"
_UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_STAND_FOR = (
    (r"host \S+, port \d+, database \w+", "host HOST, port 0, database NAME"),
    (r"\b127\.0\.0\.1(?::\d+)?\b", HOST),
    (r"\ba sandbox of ", ""),
    (r"(?<=[ (])/\S+(?=[/.]env\b)", "/FOLDER/"),
    (_UUID, "ID"),
    (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC|\b\d\d:\d\d:\d\d UTC", "TIME"),
    (r"(?:-|\d+):(?:--|\d\d):(?:--|\d\d)", "0:00:00"),
    (r"\b\w(?=\*\*\*@)", "x"),
    (r" within \d+ s(?=, the last )", ""),  # said of a run that took a second
    (r"(?<=\bfor )\d+ (?:s|minutes|hours|days)\b|\b\d+ (?:s|minutes|hours|days)(?= ago\b)", "AGE"),
    (r"\d+(?:[.,:]\d+)*", "0"),
    (r"([━─])\1+[╸╺]?\1*", r"\1"),
)


def shape(output: str) -> str:
    """The fixed words, on one line: terminals differ in where they wrap."""
    output = " ".join(output.split())
    for pattern, stands in _STAND_FOR:
        output = re.sub(pattern, stands, output)
    return output


def difference(shown: str, said: str) -> str:
    """How the program's output differs from what a page shows of it, where `...` is anything; empty: it does not."""
    wanted, found = shape(shown), shape(said)
    if re.fullmatch(re.escape(wanted).replace(r"\.\.\.", ".*"), found):
        return ""
    words, others = wanted.split(), found.split()
    changed = [
        f"shown: {' '.join(words[a:b])}\nsaid:  {' '.join(others[c:d])}"
        for kind, a, b, c, d in difflib.SequenceMatcher(None, words, others, autojunk=False).get_opcodes()
        if kind != "equal" and words[a:b] != ["..."]
    ]
    return "\n".join([*changed, "It said:", said])


def misfits(shown: Any, got: Any, at: str = "") -> list[str]:
    """Where a documented JSON value has other keys, or values of other kinds, than the real one.

    null fits all. Of a list the first members are compared. `facts` are the CRM's own.
    """
    if isinstance(shown, dict) and isinstance(got, dict):
        found = [f"{at}.{key} is on one side only" for key in shown.keys() ^ got.keys() if not at.endswith(".facts")]
        return found + [
            part for key in shown.keys() & got.keys() for part in misfits(shown[key], got[key], f"{at}.{key}")
        ]
    if isinstance(shown, list) and isinstance(got, list):
        if bool(shown) != bool(got):
            return [f"{at} is empty on one side only"]
        return misfits(shown[0], got[0], f"{at}[]") if shown else []
    if shown is None or got is None or type(shown) is type(got):
        return []
    return [f"{at} is {type(got).__name__}, shown: {type(shown).__name__}"]
