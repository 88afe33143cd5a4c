"""Which contacts GET /contacts lists. https://developers.brevo.com/reference/get-contacts"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from crm_pipeline.sandbox.brevo import values
from crm_pipeline.sandbox.brevo.errors import Refused
from crm_pipeline.sandbox.calls import Call
from crm_pipeline.sandbox.stored import StoredContact

MOST_IDS = 20
_EQUALS = re.compile(r"equals\(\s*([A-Za-z0-9_-]+)\s*,\s*(?:\"([^\"]*)\"|([^\")]*?))\s*\)")


def chosen(
    call: Call, contacts: Sequence[StoredContact], fields: Mapping[str, Mapping[str, Any]]
) -> list[StoredContact]:
    """The contacts that all of a call's filters let through; raises Refused."""
    tests: list[Callable[[StoredContact], bool]] = []
    modified, created = values.time(call, "modifiedSince"), values.time(call, "createdSince")
    if modified is not None:
        tests.append(lambda contact: contact.modified_at >= modified)
    if created is not None:
        tests.append(lambda contact: contact.created_at >= created)
    ids, lists = _numbers(call, "ids"), _numbers(call, "listIds")
    if len(ids) > MOST_IDS:
        raise Refused(400, "out_of_range", f"More than {MOST_IDS} ids")
    if ids:
        tests.append(lambda contact: contact.id in ids)
    if "segmentId" in call.query:
        if lists:
            raise Refused(400, "invalid_parameter", "Either listIds or segmentId can be passed")
        raise Refused(400, "invalid_parameter", "Segment does not exist")
    if lists:
        tests.append(lambda contact: bool(lists & set(contact.lists)))
    if "filter" in call.query:
        tests.append(_equals(call.query["filter"], fields))
    return [contact for contact in contacts if all(test(contact) for test in tests)]


def _numbers(call: Call, name: str) -> set[int]:
    """Repeated, or separated by commas."""
    texts = [part.strip() for value in call.query_all(name) for part in value.split(",")]
    if not all(re.fullmatch(r"[0-9]{1,18}", text) for text in texts):
        raise Refused(400, "invalid_parameter", f"{name} should be integers")
    return {int(text) for text in texts}


def _equals(text: str, fields: Mapping[str, Mapping[str, Any]]) -> Callable[[StoredContact], bool]:
    match = _EQUALS.fullmatch(text.strip())
    if match is None:
        raise Refused(400, "invalid_parameter", "filter should be equals(NAME, value)")
    name, value = match[1].upper(), match[2] if match[2] is not None else match[3]
    field = fields.get(name)
    if field is None:
        raise Refused(400, "invalid_parameter", f"Attribute {name} does not exist")
    if field.get("type") == "multiple-choice":
        wanted = {option.strip() for option in value.split(",")}
        return lambda contact: wanted <= set(contact.attributes.get(name, ()))
    labels = {str(option["value"]): option["label"] for option in field.get("enumeration", ())}
    wanted_texts = {labels.get(value, value)}
    return lambda contact: name in contact.attributes and _text(contact.attributes[name], labels) in wanted_texts


def _text(value: Any, labels: Mapping[str, str]) -> str:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return labels.get(text, text)
