"""Which of a contact's values go to which of Brevo's attributes, and whether the account keeps them.

Brevo drops what it does not know, and values of another type, silently, behind a success:
https://developers.brevo.com/reference/create-contact
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from hashlib import sha256
from math import isfinite
from typing import Any

from crm_pipeline.crms.brevo.phone import international
from crm_pipeline.crms.brevo.settings import NOT_SENT, BrevoSettings
from crm_pipeline.crms.protocol import Mapped
from crm_pipeline.model import Contact
from crm_pipeline.redaction import redact, storable

ATTRIBUTES_PAGE = "https://my.brevo.com/lists/add-attributes"
TYPES = ("text", "float", "boolean", "date", "category", "multiple-choice")
"""In which a column's values can be kept. https://developers.brevo.com/reference/create-attribute"""

AS_IT_IS = "as it is"
MOST_DIGITS = 131_072
"""Before the point of a number of PostgreSQL's; JSON can name longer ones in a few letters."""


@dataclass(frozen=True, slots=True)
class Attribute:
    """One attribute that is sent."""

    name: str
    fitting: tuple[str, ...]
    """Types in which Brevo keeps our values; the first is the one that `setup` creates."""
    built_in: bool = False
    """Every account has it, with a type of its own."""


class Attributes:
    """The mapping of one account's settings. What `found` was told narrows what is sent."""

    def __init__(self, settings: BrevoSettings) -> None:
        self._settings = settings
        own = (
            Attribute(settings.attribute_first_name, ("text",)),
            Attribute(settings.attribute_last_name, ("text",)),
            Attribute(settings.attribute_phone, ("text",), built_in=settings.attribute_phone == "SMS"),
            Attribute(settings.attribute_email_type, ("text", "category")),
            Attribute(settings.attribute_source_url, ("text",)),
            Attribute(settings.attribute_domain_id, ("text",)),
            Attribute(settings.attribute_page_id, ("text",)),
            Attribute(settings.attribute_has_gmail, ("boolean",)),
        )
        further = tuple(Attribute(name, TYPES) for name in settings.further)
        self.sent = tuple(attribute for attribute in (*own, *further) if attribute.name != NOT_SENT)
        self._types: Mapping[str, str] | None = None

    def found(self, described: Sequence[Any]) -> list[str]:
        """Take note of the account's attributes, as `GET /contacts/attributes` describes them; returns warnings."""
        self._types = {
            str(attribute.get("name")).upper(): str(attribute.get("type") or attribute["category"])
            for attribute in described
            if isinstance(attribute, dict) and attribute.get("category") in ("normal", "category")
        }
        return list(self._warnings(self._types))

    def missing(self) -> list[Attribute]:
        """Those that the account, as it was found, lacks."""
        assert self._types is not None, "found() comes first"
        return [attribute for attribute in self.sent if attribute.name not in self._types]

    def values(self, contact: Contact) -> tuple[dict[str, Any], list[str]]:
        """What is sent for a contact, by attribute, and notes about what is not. Nothing is sent for no value."""
        settings = self._settings
        first_name, _, last_name = text(contact.name).partition(" ")
        notes = []
        written = text(contact.phone_number)
        phone = international(written, settings.phone_region) if written else None
        if written and phone is None and settings.attribute_phone != NOT_SENT:
            notes.append("the phone number was not sent: it has no valid international form")
        values: dict[str, Any] = {
            settings.attribute_first_name: first_name,
            settings.attribute_last_name: last_name.strip(),
            settings.attribute_phone: phone,
            settings.attribute_email_type: text(contact.email_type),
            settings.attribute_source_url: text(contact.source_url),
            settings.attribute_domain_id: text(contact.domain_id),
            settings.attribute_page_id: text(contact.page_id),
            settings.attribute_has_gmail: contact.has_gmail,
        }
        values |= {name: contact.further.get(column) for name, column in settings.further.items()}
        sent = {}
        for attribute in self.sent:
            value, kind = values[attribute.name], self._type_of(attribute)
            if value in (None, ""):
                continue
            if kind is None:
                notes.append(f"{attribute.name} was not sent: Brevo has no such attribute in a type that fits")
                continue
            fitting = _as(kind, value)
            if fitting is None:
                missed = "none that Brevo keeps" if kind == AS_IT_IS else f"no {kind}"
                notes.append(f"{attribute.name} was not sent: its value is {missed}")
            elif fitting != "":
                sent[attribute.name] = fitting
        return sent, notes

    def _type_of(self, attribute: Attribute) -> str | None:
        """The type in which a value is sent; None: it would be dropped. Before `found` all are taken for fitting."""
        if self._types is None or (attribute.built_in and attribute.name in self._types):
            return AS_IT_IS
        kind = self._types.get(attribute.name)
        return kind if kind in attribute.fitting else None

    def _warnings(self, types: Mapping[str, str]) -> Iterator[str]:
        for attribute in self.sent:
            name, wanted = attribute.name, "built in" if attribute.built_in else " or ".join(attribute.fitting)
            kind = types.get(name)
            if kind is None:
                yield (
                    f"Brevo has no attribute {name} ({wanted}): its values are not sent. "
                    f"`crm-pipeline brevo setup` creates it, or see {ATTRIBUTES_PAGE}."
                )
            elif not attribute.built_in and kind not in attribute.fitting:
                kept = redact(kind)[:50]
                yield (
                    f"Brevo's {name} is {kept}, not {wanted}: its values are not sent. Name another attribute, or see "
                    f"{ATTRIBUTES_PAGE}."
                )


def mapped(settings: BrevoSettings) -> Mapped:
    """The further columns, and a stamp that changes with each change of the mapping; none for the default one."""
    changed = settings.model_dump(include={"attributes", "phone_region"}, exclude_defaults=True)
    changed |= {
        field: value
        for field, value in settings.model_dump(exclude_defaults=True).items()
        if field.startswith("attribute_")
    }
    stamp = sha256(repr(sorted(changed.items())).encode()).hexdigest() if changed else ""
    return Mapped(tuple(dict.fromkeys(settings.further.values())), stamp)


def text(value: object) -> str:
    """A value as it is sent: without blanks around it, and what JSON cannot carry."""
    return "" if value is None else storable(str(value)).strip()


def _as(kind: str, value: Any) -> Any:
    """The value in an attribute's type; None when it has none there."""
    match kind:
        case "boolean":
            return value if isinstance(value, bool) else None
        case "float":
            number = _number(value)
            return number if number is not None and isfinite(float(number)) else None  # 1e309 would be infinity there
        case "date":
            return _day(value)
        case "multiple-choice":
            return _texts(value if isinstance(value, list) else [value])
        case "text" | "category":
            if isinstance(value, bool):
                return str(value).lower()
            if isinstance(value, str):
                return text(value)
            number = _number(value)
            return None if number is None else f"{number:f}"
        case _:
            if isinstance(value, list):
                return _texts(value)
            if isinstance(value, bool | str):
                return text(value) if isinstance(value, str) else value
            return _as("float", value)


def _number(value: Any) -> Decimal | None:
    """With all its digits; None for what is none, or not finite."""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return None
    number = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
    return number if number.is_finite() and abs(number.adjusted()) <= MOST_DIGITS else None


def _texts(values: list[Any]) -> list[str] | None:
    return [text(one) for one in values] if all(isinstance(one, str) for one in values) else None


def _day(value: Any) -> str | None:
    """`2026-11-25` of a date or a timestamp as JSON has them. One with an offset is in any zone: its day is UTC's."""
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        moment = None
    try:
        if moment is not None and moment.tzinfo is not None:
            return moment.astimezone(UTC).date().isoformat()
        return date.fromisoformat(value[:10]).isoformat()
    except (ValueError, OverflowError):  # a day that no calendar has, or none of the years 1 to 9999
        return None
