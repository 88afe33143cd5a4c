"""Phone numbers in the form that Brevo takes: with their country code."""

from __future__ import annotations

import phonenumbers


def regions() -> frozenset[str]:
    """The two-letter codes that a default region may have."""
    return frozenset(phonenumbers.SUPPORTED_REGIONS)


def international(number: str, region: str | None) -> str | None:
    """`06 12 34 56 78` in FR -> `+33612345678`; None for what is no valid number anywhere.

    A number without `+` or `00` is taken for one of `region`; without a region it cannot be understood.
    """
    written = number.strip()
    if written.startswith("00"):
        written = f"+{written[2:]}"
    try:
        parsed = phonenumbers.parse(written, region)
    except phonenumbers.NumberParseException:
        return None
    if parsed.extension or not phonenumbers.is_valid_number(parsed):
        return None
    return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)
