"""Which values Brevo takes: bodies, addresses, phone numbers, lists of numbers, times, pages."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from crm_pipeline.sandbox.brevo.errors import Refused
from crm_pipeline.sandbox.calls import Call

LONGEST_ADDRESS = 254
LONGEST_NUMBER = 18
_ADDRESS = re.compile(r"[^\s@<>()\[\],;:\\\"]+@(?:[\w-]+\.)+[\w-]{2,}")


def json_object(call: Call) -> dict[str, Any]:
    """The body, which must be an object; raises Refused."""
    try:
        body = call.json
    except ValueError:
        raise Refused(400, "bad_request", "Invalid JSON in the body") from None
    if not isinstance(body, dict):
        raise Refused(400, "bad_request", "The body should be an object")
    return body


def address(value: Any) -> str:
    """A valid address without blanks around it; raises Refused."""
    if not isinstance(value, str) or len(value) > LONGEST_ADDRESS or not _ADDRESS.fullmatch(value.strip()):
        raise Refused(400, "invalid_parameter", "Invalid email address")
    return value.strip()


def phone(value: Any) -> str | None:
    """Digits of a number with its country code (`91...`, `+91...`, `0091...`), or None for what is none."""
    digits = re.sub(r"[ ().-]", "", str(value))
    digits = digits.removeprefix("+") if digits.startswith("+") else digits.removeprefix("00")
    return digits if re.fullmatch(r"[1-9][0-9]{5,14}", digits) else None


def path_number(text: str) -> int:
    """The number of a contact or a list in a path; 0, which none has, for what cannot be one."""
    return int(text) if text.isdecimal() and len(text) <= LONGEST_NUMBER else 0


def numbers(value: Any, what: str) -> list[int]:
    """A list of integers, empty for None; raises Refused."""
    if value is None:
        return []
    if not isinstance(value, list) or not all(type(number) is int for number in value):
        raise Refused(400, "invalid_parameter", f"{what} should be integers")
    return value


def flag(body: dict[str, Any], name: str) -> bool | None:
    """True, false, or None when it was not sent; raises Refused."""
    value = body.get(name)
    if value is not None and not isinstance(value, bool):
        raise Refused(400, "invalid_parameter", f"{name} should be a boolean")
    return value


def time(call: Call, name: str) -> datetime | None:
    """A query parameter that is a time, as `2026-11-25T10:00:00.000Z` or with an offset; raises Refused."""
    text = call.query.get(name)
    if text is None:
        return None
    try:
        # A + that was not percent-encoded arrives as a blank.
        at = datetime.fromisoformat(text.strip().replace(" ", "+"))
    except ValueError:
        raise Refused(400, "invalid_parameter", f"{name} should be a UTC date-time") from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def paging(call: Call, limit: int, largest: int) -> tuple[int, int]:
    """`limit` and `offset` of a call that lists something; raises Refused."""
    try:
        wanted, offset = int(call.query.get("limit", limit)), int(call.query.get("offset", 0))
    except ValueError:
        raise Refused(400, "invalid_parameter", "limit and offset should be integers") from None
    if not 0 <= wanted <= largest or offset < 0:
        raise Refused(400, "out_of_range", f"Limit exceeds max value {largest}")
    return wanted, offset


def newest_first(call: Call) -> bool:
    """The parameter `sort`: desc, which is the default, or asc; raises Refused."""
    sort = call.query.get("sort", "desc")
    if sort not in ("asc", "desc"):
        raise Refused(400, "invalid_parameter", "sort should be asc or desc")
    return sort == "desc"


def shown_time(at: datetime) -> str:
    """`2026-11-25T10:00:00.000Z`."""
    return at.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
