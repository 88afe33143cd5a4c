"""Attributes: what defines one, and which values it keeps. https://developers.brevo.com/reference/create-attribute

Wrongly typed and unknown attributes are dropped silently, behind a success: https://developers.brevo.com/reference/create-contact
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import date
from typing import Any

from crm_pipeline.sandbox.account import Account
from crm_pipeline.sandbox.brevo.errors import Refused
from crm_pipeline.sandbox.brevo.values import json_object
from crm_pipeline.sandbox.calls import Call, Reply

TYPES = {
    "normal": ("text", "date", "float", "boolean", "multiple-choice", "user"),
    "transactional": ("text", "date", "float", "boolean", "id"),
    "category": ("category", None),
    "calculated": (None,),
    "global": (None,),
}
"""Attribute categories, and the types that each takes."""
LONGEST_OPTION = 200
_NAME = re.compile(r"[A-Z0-9_-]{1,200}")


class Attributes:
    """Lists, creates, changes and deletes the attributes of one account."""

    def __init__(self, account: Account) -> None:
        self._account = account

    def all(self, _: Call) -> Reply:
        """GET /contacts/attributes: not in pages."""
        return Reply(200, {"attributes": [_shown(field) for field in self._account.fields.values()]})

    def create(self, call: Call) -> Reply:
        """POST /contacts/attributes/{category}/{name}: an empty 201."""
        category, name = _category(call), call.path["name"].upper()
        body = json_object(call) if call.body else {}
        if name in self._account.fields:
            raise Refused(400, "invalid_parameter", "Attribute name already exists")
        if not _NAME.fullmatch(name):
            raise Refused(400, "invalid_parameter", "Attribute name is invalid")
        kind = body.get("type")
        if kind not in TYPES[category]:
            raise Refused(400, "invalid_parameter", "Invalid attribute type")
        definition: dict[str, Any] = {"name": name, "category": category}
        match category:
            case "category":
                definition["enumeration"] = _enumeration(body.get("enumeration"))
            case "calculated" | "global":
                definition["calculatedValue"] = _formula(body)
            case _:
                definition["type"] = kind
                if kind == "multiple-choice":
                    definition["multiCategoryOptions"] = _options(body.get("multiCategoryOptions", []))
        self._account.add_field(name, definition)
        return Reply(201)

    def update(self, call: Call) -> Reply:
        """PUT /contacts/attributes/{category}/{name}: an empty 204. Options are added; the type stays."""
        category, name, field = self._named(call)
        body = json_object(call)
        changed: dict[str, Any]
        match category:
            case "category":
                changed = {"enumeration": _enumeration(body.get("enumeration"))}
            case "calculated" | "global":
                changed = {"calculatedValue": _formula(body)}
            case _ if field["type"] == "multiple-choice":
                added = _options(body.get("multiCategoryOptions"))
                changed = {"multiCategoryOptions": list(dict.fromkeys([*field["multiCategoryOptions"], *added]))}
            case _:
                raise Refused(400, "invalid_parameter", "The type of an attribute cannot be changed")
        self._account.add_field(name, {**field, **changed})
        return Reply(204)

    def delete(self, call: Call) -> Reply:
        """DELETE /contacts/attributes/{category}/{name}: an empty 204. Contacts lose their values."""
        _, name, _ = self._named(call)
        self._account.remove_field(name)
        return Reply(204)

    def delete_option(self, call: Call) -> Reply:
        """DELETE /contacts/attributes/multiple-choice/{name}/{option}: an empty 204."""
        name, option = call.path["name"].upper(), call.path["option"]
        field = self._account.fields.get(name)
        if field is None or field.get("type") != "multiple-choice":
            raise Refused(404, "document_not_found", "Attribute does not exist")
        if option not in field["multiCategoryOptions"]:
            raise Refused(404, "document_not_found", "Option does not exist")
        left = [one for one in field["multiCategoryOptions"] if one != option]
        self._account.add_field(name, {**field, "multiCategoryOptions": left})
        return Reply(204)

    def _named(self, call: Call) -> tuple[str, str, dict[str, Any]]:
        category, name = _category(call), call.path["name"].upper()
        field = self._account.fields.get(name)
        if field is None or field["category"] != category:
            raise Refused(404, "document_not_found", "Attribute does not exist")
        return category, name, field


def fitting(sent: Any, fields: Mapping[str, Mapping[str, Any]], refuse_unknown: bool) -> dict[str, Any]:
    """The attributes that exist, with a value of their type, by name in capitals; an empty value as None.

    Raises Refused for no map, and with `refuse_unknown` for an attribute that there is not.
    """
    if sent is None:
        return {}
    if not isinstance(sent, dict):
        raise Refused(400, "invalid_parameter", "attributes should be an object")
    named = {str(name).upper(): None if value == "" else value for name, value in sent.items()}
    unknown = [name for name in named if name not in fields and name != "EMAIL"]
    if unknown and refuse_unknown:
        raise Refused(400, "invalid_parameter", f"Attribute {', '.join(unknown)} does not exist")
    return {
        name: value for name, value in named.items() if name in fields and (value is None or _fits(value, fields[name]))
    }


def _fits(value: Any, field: Mapping[str, Any]) -> bool:
    if isinstance(value, float) and not math.isfinite(value):
        return False  # 1e999: no JSON could carry it back
    match field.get("category"):
        case "category":
            # By id or by label: on writing presumably both.
            known = [known for one in field["enumeration"] for known in (one["value"], str(one["value"]), one["label"])]
            return value in known and not isinstance(value, bool)
        case "calculated" | "global":
            return False
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


def _category(call: Call) -> str:
    category: str = call.path["category"]
    if category not in TYPES:
        raise Refused(400, "invalid_parameter", "Invalid attribute category")
    return category


def _enumeration(given: Any) -> list[dict[str, Any]]:
    if not isinstance(given, list) or not all(map(_is_option, given)):
        raise Refused(400, "invalid_parameter", "enumeration should be a list of value and label")
    return [{"value": option["value"], "label": option["label"]} for option in given]


def _is_option(option: Any) -> bool:
    if not isinstance(option, dict) or type(option.get("value")) not in (int, str):
        return False
    return isinstance(option.get("label"), str) and len(option["label"]) <= LONGEST_OPTION


def _options(given: Any) -> list[str]:
    if not isinstance(given, list) or not all(isinstance(one, str) and len(one) <= LONGEST_OPTION for one in given):
        raise Refused(400, "invalid_parameter", "multiCategoryOptions should be a list of texts")
    return list(given)


def _formula(body: Mapping[str, Any]) -> str:
    if not isinstance(body.get("value"), str) or not body["value"]:
        raise Refused(400, "missing_parameter", "value is missing")
    return str(body["value"])


def _shown(field: Mapping[str, Any]) -> dict[str, Any]:
    """`value` is 0 where it is no number: https://developers.brevo.com/changelog/2026/5/1"""
    if "enumeration" not in field:
        return dict(field)
    options = [
        {
            "value": option["value"] if isinstance(option["value"], int) else 0,
            "valueStr": str(option["value"]),
            "label": option["label"],
        }
        for option in field["enumeration"]
    ]
    return {**field, "enumeration": options}
