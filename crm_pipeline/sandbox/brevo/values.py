"""Which values Brevo takes: bodies, addresses, phone numbers, attributes by type.

Wrongly typed and unknown attributes are dropped silently, behind a success: https://developers.brevo.com/reference/create-contact
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import date
from typing import Any

from crm_pipeline.sandbox.brevo.errors import Refused
from crm_pipeline.sandbox.calls import Call

LONGEST_ADDRESS = 254
LONGEST_NUMBER = 18
NORMAL_TYPES = ("text", "date", "float", "boolean", "user", "multiple-choice")
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
    """A valid address in lower case; raises Refused."""
    if not isinstance(value, str) or len(value) > LONGEST_ADDRESS or not _ADDRESS.fullmatch(value.strip()):
        raise Refused(400, "invalid_parameter", "Invalid email address")
    return value.strip().lower()


def phone(value: Any) -> str:
    """Digits of a number with its country code (`91...`, `+91...`, `0091...`); raises Refused."""
    digits = re.sub(r"[ ().-]", "", str(value))
    digits = digits.removeprefix("+") if digits.startswith("+") else digits.removeprefix("00")
    if not digits.isdecimal() or not 6 <= len(digits) <= 15 or digits.startswith("0"):
        raise Refused(400, "invalid_parameter", "Invalid phone number")
    return digits


def path_number(text: str) -> int:
    """The number of a contact or a list in a path; 0, which none has, for what cannot be one."""
    return int(text) if text.isdecimal() and len(text) <= LONGEST_NUMBER else 0


def attribute(category: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """What defines a new attribute, beside its name; raises Refused.

    https://developers.brevo.com/reference/create-attribute
    """
    kind, enumeration = body.get("type"), body.get("enumeration")
    if category == "category" and isinstance(enumeration, list) and all(map(_is_option, enumeration)):
        return {"enumeration": enumeration}
    options = body.get("multiCategoryOptions", [])
    named = isinstance(options, list) and all(isinstance(option, str) for option in options)
    if category != "normal" or kind not in NORMAL_TYPES or not named:
        raise Refused(400, "invalid_parameter", "Invalid attribute category or type")
    return {"type": kind, "multiCategoryOptions": options} if kind == "multiple-choice" else {"type": kind}


def _is_option(option: Any) -> bool:
    return isinstance(option, dict) and isinstance(option.get("value"), int) and isinstance(option.get("label"), str)


def fitting(attributes: Any, fields: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The attributes that exist, with a value of their type, by name in capitals; raises Refused for no map.

    An empty value clears nothing: it is dropped too.
    """
    if attributes is None:
        return {}
    if not isinstance(attributes, dict):
        raise Refused(400, "invalid_parameter", "attributes should be an object")
    kept = {str(name).upper(): value for name, value in attributes.items() if value not in ("", None)}
    return {name: value for name, value in kept.items() if name in fields and _fits(value, fields[name])}


def _fits(value: Any, field: Mapping[str, Any]) -> bool:
    if isinstance(value, float) and not math.isfinite(value):
        return False  # 1e999: no JSON could carry it back
    if field.get("category") == "category":
        known = [option for one in field.get("enumeration", ()) for option in (one["value"], one["label"])]
        return value in known
    match field.get("type"):
        case "boolean":
            return isinstance(value, bool)
        case "float":
            return isinstance(value, int | float) and not isinstance(value, bool)
        case "date":
            return _is_date(value)
        case "multiple-choice":
            return isinstance(value, list) and all(option in field["multiCategoryOptions"] for option in value)
        case _:
            return isinstance(value, str | int | float) and not isinstance(value, bool)


def _is_date(value: Any) -> bool:
    try:
        date.fromisoformat(value)
    except (TypeError, ValueError):
        return False
    return True
