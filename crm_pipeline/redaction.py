"""Masks for what must not be read in logs, errors and metadata: addresses, phone numbers, secrets."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable
from urllib.parse import quote, quote_plus

LONGEST_ERROR = 500
MASK = "***"

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")  # all but tab and line feed
_CREDENTIALS = re.compile(
    r"""(?ix) (?<![a-z]) ( (?:proxy-)?authorization | (?:set-)?cookie ) ( ["']? \s* [:=] \s* ["']? ) [^\n"'}\]]+ """
)
_LABELLED = re.compile(
    r"""(?ix) (?<![a-z]) ( api[-_]?key | (?:(?:access|refresh|id)[-_])?token | secret | password | passwd )
        ( ["']? \s* [:=] \s* ["']? ) [^\s"'&;,)}\]]+ """
)
_URL_USER = re.compile(r"(?<=://)[^\s/@:]*+:[^\s/]*@")
_SECRET_KEY = re.compile(r"\bx(?:key|smtp)sib-[\w-]+")
_AT = re.compile("[@\uff20\ufe6b]|%40")
# An address, in a URL too (%40), and as people miswrite it. Blanks around the at are taken for a slip only before a
# host's name, and not after a status. Every word is found, address or not, and so is every run of ats or of the mask's
# stars that no word stands before: none is tried twice, which keeps the time linear on any text.
_EMAIL = re.compile(
    rf"""(?ix) \*++ (?=@)
    | (?:{_AT.pattern})++
    | [1-5]\d\d (?= [ \t\u00a0]{{1,3}} (?:{_AT.pattern}) )
    | ( "[^"\n]{{1,64}}" (?={_AT.pattern})
      | (?: [^\s@\uff20\ufe6b<>()"',;:=/?&\[\]{{}}|\\%] | %(?!40) | (?<=\w)'(?=\w) )++ )
      (?: (?: (?:{_AT.pattern})++
            | [ \t\u00a0]{{0,3}}+ (?:{_AT.pattern})++ [ \t\u00a0]{{0,3}}+ (?= [\w-]++ \. [^\W\d] ) )
          ( [^\s@\uff20\ufe6b<>()"',;:=/?&\[\]{{}}|\\%]++ ) )*+"""
)
# Digits in a row, as people write phone numbers. What looks alike and helps a reader is named first, and kept.
_PHONE = re.compile(
    r"""(?ix)
    (?P<kept> (?<![\w-]) [0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12} (?![\w-])        # a UUID
            | (?<!\w) (?=\d*[a-f]) [0-9a-f]{32,} (?!\w)                              # a hash
            | (?<![\d.]) (?:\d{1,3}\.){3}\d{1,3} (?!\.?\d) (?: :\d{1,5} (?!\d) )?      # an IP address and port
            | (?<!\d) \d{4}-[01]\d-[0-3]\d (?!-?\d) (?: [T\ ] (?=\d\d:) )?             # a date
            | (?<!\d) \d\d:\d\d:\d\d (?: [.,]\d{1,9} )? (?: [+-]\d\d:?\d\d )? (?!\d)   # a time
    )
    | (?: \+ | (?<!\d) ) \d (?: [ \t()./\u00a0\u2010-\u2015-]{0,3} \d ){6,}
    """
)


def mask_email(address: str | None) -> str:
    """`ann.lee@example.com` -> `a***@example.com`; an empty address -> `(none)`."""
    address = _CONTROLS.sub("", address or "").strip()
    if not address:
        return "(none)"
    local, at, domain = address.rpartition("@")
    if not at:
        return address[:1] + MASK
    return f"{local[:1]}{MASK}@{domain}"


def mask(text: str, secrets: Iterable[str] = ()) -> str:
    """`text` without the secrets (also as they stand in URLs and JSON), with addresses and phone numbers masked.

    A secret of less than 4 characters is left alone: it would take every text apart and protect nothing.
    """
    for secret in sorted((secret for secret in secrets if len(secret) >= 4), key=len, reverse=True):
        for form in {secret, quote(secret, safe=""), quote_plus(secret), json.dumps(secret)[1:-1]}:
            text = text.replace(form, MASK)
    text = _SECRET_KEY.sub(MASK, _URL_USER.sub(MASK + "@", text))
    text = _LABELLED.sub(rf"\1\2{MASK}", _CREDENTIALS.sub(rf"\1\2{MASK}", text))
    if _AT.search(text):
        text = _EMAIL.sub(lambda found: mask_email(f"{found[1]}@{found[2]}") if found[2] else found[0], text)
    return _PHONE.sub(lambda found: found["kept"] or MASK, text)


def redact(message: str, secrets: Iterable[str] = ()) -> str:
    """`message` masked, on one line, without control characters, in at most 500 characters: fit for the database."""
    message = " ".join(mask(_CONTROLS.sub(" ", message), secrets).split())
    return message if len(message) <= LONGEST_ERROR else message[: LONGEST_ERROR - 1] + "…"


def storable(text: str) -> str:
    """`text` without NUL and lone surrogates, which neither PostgreSQL nor JSON in UTF-8 can carry."""
    return text if text.isascii() and "\x00" not in text else _UNSTORABLE.sub("", text)


class RedactingFilter(logging.Filter):
    """Takes secrets, addresses and phone numbers out of log records, their tracebacks included.

    It belongs on handlers: a logger's filter does not see what its children log.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        super().__init__()
        self._secrets = tuple(secrets)

    def filter(self, record: logging.LogRecord) -> bool:
        """Rewrite the record in place; always True."""
        try:
            message = record.getMessage()
        except Exception:  # noqa: BLE001 (arguments that do not fit, or cannot be shown, must not stop the caller)
            what = record.msg if isinstance(record.msg, str) else type(record.msg).__name__
            message = f"{what} (its arguments do not fit)"
        record.msg, record.args = mask(message, self._secrets), None
        if record.exc_info:
            record.exc_text = record.exc_text or logging.Formatter().formatException(record.exc_info)
            record.exc_info = None  # a handler that formats it anew would show what the text hides
        if record.exc_text:
            record.exc_text = mask(record.exc_text, self._secrets)
        if record.stack_info:
            record.stack_info = mask(record.stack_info, self._secrets)
        return True
