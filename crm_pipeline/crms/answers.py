"""What an answer means: for the contact, and for the account that all contacts share.

One table, read from the top: a CRM's own finer rows, then the shared ones, whose last row takes everything.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass, replace
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

from crm_pipeline.crms.protocol import CrmSpec
from crm_pipeline.crms.transport import FailureKind, Reply, TransportFailure
from crm_pipeline.model import WELL, News, NewsKind, Outcome, OutcomeKind
from crm_pipeline.redaction import LONGEST_ERROR, mask, redact, storable

LONGEST_PAUSE_SECONDS = 3600.0
_MOST_READ = 5000
_EXCERPT = 200
_LONGEST_MESSAGE = 300
_CODE = 100
_TAG = re.compile(r"<[^>]*(?:>|$)")


@dataclass(frozen=True, slots=True)
class Row:
    """What one kind of answer means.

    `sentence` is for a person and says what to do. It may use {said} (the answer in its own words), {title}, {host},
    {key_variable} and {base_url_variable}.
    """

    answer: str
    """Which answers, for the documentation."""
    on: Container[int | FailureKind]
    """Statuses, or kinds of failure."""
    contact: OutcomeKind
    account: NewsKind
    sentence: str = "{said}"
    refused: bool = False
    own: bool = False
    when: Callable[[Reply], bool] | None = None
    code: str | None = None
    """For the journal, when the CRM gives none."""


SHARED = (
    Row(
        "any redirect (3xx)",
        range(300, 400),
        OutcomeKind.BLOCKED,
        NewsKind.CLOSED,
        "{title} is not at this address: {host} redirects ({said}), and redirects are not followed. "
        "Check {base_url_variable}.",
        code="redirect",
    ),
    Row(
        "401",
        {401},
        OutcomeKind.BLOCKED,
        NewsKind.CLOSED,
        "{title} does not accept the key: {said}. Check {key_variable}; it may be wrong, expired or revoked.",
    ),
    Row(
        "402",
        {402},
        OutcomeKind.BLOCKED,
        NewsKind.CLOSED,
        "{title} wants credits or another plan: {said}. Check the plan of the account at {title}.",
    ),
    Row(
        "403",
        {403},
        OutcomeKind.FAILED,
        NewsKind.DOUBTFUL,
        "{title} does not permit this: {said}. Check what the key in {key_variable} may do, and the account's state.",
    ),
    Row(
        "404",
        {404},
        OutcomeKind.FAILED,
        NewsKind.DOUBTFUL,
        "{title}'s API is not at this address: {said}. Check {base_url_variable}.",
    ),
    Row(
        "405, 406",
        {405, 406},
        OutcomeKind.FAILED,
        NewsKind.DOUBTFUL,
        "{title} does not take this kind of request: {said}. Check {base_url_variable}, and the account's plan.",
    ),
    Row("429", {429}, OutcomeKind.RELEASED, NewsKind.THROTTLED, "{title} asks for a pause: {said}."),
    Row("400, 422", {400, 422}, OutcomeKind.FAILED, NewsKind.WELL, refused=True),
    Row("408", {408}, OutcomeKind.FAILED, NewsKind.UNAVAILABLE, "{title} is too slow: {said}."),
    Row("any other 4xx", range(400, 500), OutcomeKind.FAILED, NewsKind.WELL),
    Row("5xx", range(500, 600), OutcomeKind.FAILED, NewsKind.UNAVAILABLE, "{title} is out of order: {said}."),
    Row(
        "the host has no address",
        {FailureKind.DNS},
        OutcomeKind.BLOCKED,
        NewsKind.CLOSED,
        "{host} has no address: {said}. Check {base_url_variable} and this machine's name resolution.",
    ),
    Row(
        "TLS or its certificate fails",
        {FailureKind.TLS},
        OutcomeKind.BLOCKED,
        NewsKind.CLOSED,
        "{host} cannot be trusted: {said}. Check {base_url_variable}, this machine's clock, and who is in between "
        "(a company's own authority belongs into SSL_CERT_FILE).",
    ),
    Row(
        "the proxy gives no way out",
        {FailureKind.PROXY},
        OutcomeKind.BLOCKED,
        NewsKind.CLOSED,
        "{title} cannot be reached: {said}. Check that variable, and the proxy; what needs none is named in NO_PROXY.",
    ),
    Row(
        "no answer, or one that is cut, too long or unreadable",
        set(FailureKind),
        OutcomeKind.FAILED,
        NewsKind.UNAVAILABLE,
        "{title} gives no usable answer: {said}.",
    ),
    # A success that is none, or a status that HTTP does not know.
    Row(
        "a success with another body or status, or an unknown status",
        range(1000),
        OutcomeKind.FAILED,
        NewsKind.UNAVAILABLE,
        "{title} gives no usable answer: {said}.",
        code="unexpected_answer",
    ),
)


class AnswerTable:
    """Judges one CRM's answers.

    `error_of` takes code and message from an error's JSON, whatever it is; `pause_headers` are the CRM's own headers
    that name a pause in seconds; `limit_headers` name an account's limit and the seconds until it is renewed;
    `request_id_header` is the CRM's id of a request.
    """

    def __init__(
        self,
        spec: CrmSpec,
        host: str,
        secrets: Iterable[str],
        rows: Iterable[Row],
        error_of: Callable[[Any], tuple[str | None, str | None]],
        pause_headers: Iterable[str] = (),
        limit_headers: tuple[str, str] | None = None,
        request_id_header: str | None = None,
    ) -> None:
        self._names = {
            "title": spec.title,
            "host": host,
            "key_variable": spec.key_variable,
            "base_url_variable": spec.base_url_variable,
        }
        self._secrets = tuple(secrets)
        self._longest_secret = max((3 * len(secret) for secret in self._secrets), default=1)  # percent-encoded
        self._rows = (*rows, *SHARED)
        self._error_of = error_of
        self._pause_headers = ("Retry-After", *pause_headers)
        self._limit_headers = limit_headers
        self._request_id_header = request_id_header

    def judge(
        self, answer: Reply | TransportFailure, finer: Iterable[Row] = (), about_a_contact: bool = True
    ) -> tuple[Outcome, News]:
        """Outcome and news of one answer; `finer` rows of one kind of request come before all others.

        What might be a contact's fault or the account's is the account's, when the request is not about a contact.
        """
        outcome, news = self._judged(answer, finer)
        if news.kind is NewsKind.DOUBTFUL and not about_a_contact:
            outcome = replace(outcome, kind=OutcomeKind.BLOCKED, error=news.sentence)
            news = replace(news, kind=NewsKind.CLOSED)
        limit = self._limit_per_second(answer) if isinstance(answer, Reply) else None
        return outcome, news if limit is None else replace(news, limit_per_second=limit)

    def _judged(self, answer: Reply | TransportFailure, finer: Iterable[Row]) -> tuple[Outcome, News]:
        if isinstance(answer, TransportFailure):
            row = next(row for row in self._rows if answer.kind in row.on)
            return self._explained(row, answer, answer.kind, answer.detail, answer.kind)
        for row in (*finer, *self._rows):
            if answer.status in row.on and (row.when is None or row.when(answer)):
                break
        if row.contact is OutcomeKind.SYNCED:
            return self._outcome(row, answer), WELL
        code, message = self._error_of(answer.json)
        code = _cut(redact(code, self._secrets), _CODE) if code else None
        source = f"{code + ', ' if code else ''}HTTP {answer.status}"
        return self._explained(row, answer, code or row.code, self._words_of(answer, message), source)

    def _explained(
        self, row: Row, answer: Reply | TransportFailure, code: str | None, words: str, source: str
    ) -> tuple[Outcome, News]:
        # What to do stands at the sentence's end: a server that says much must not push it out.
        room = LONGEST_ERROR - len(row.sentence.format(said=f" ({source})", **self._names))
        said = f"{_cut(words, min(room, _LONGEST_MESSAGE))} ({source})"
        sentence = redact(row.sentence.format(said=said, **self._names), self._secrets)
        error = sentence if row.contact is OutcomeKind.BLOCKED else said
        outcome = self._outcome(row, answer, code, error)
        if row.account is NewsKind.WELL:
            return outcome, WELL
        return outcome, News(row.account, sentence, self._pause_seconds(answer))

    def _outcome(
        self, row: Row, answer: Reply | TransportFailure, code: str | None = None, error: str | None = None
    ) -> Outcome:
        status = request_id = None
        if isinstance(answer, Reply):
            status = answer.status
            request_id = answer.headers.get(self._request_id_header) if self._request_id_header else None
        return Outcome(
            row.contact,
            http_status=status,
            code=code,
            error=error,
            request_id=storable(request_id[:_CODE]) if request_id else None,
            refused=row.refused,
            own=row.own,
            duration_ms=answer.duration_ms,
        )

    def _words_of(self, reply: Reply, message: str | None) -> str:
        """`Invalid email address`, redacted."""
        if 300 <= reply.status < 400:
            return self._redacted(f"to {_host(reply.headers.get('Location'))}")
        if message:
            return self._redacted(message) or "no reason given"
        if reply.json is not None:
            return "an answer without a message"
        if reply.body:
            page = self._redacted(reply.body.decode("utf-8", "replace"), is_page=True)
            return f"not the API's answer but “{_cut(page, _EXCERPT) or 'a page without text'}”"
        return "no reason given"

    def _redacted(self, text: str, is_page: bool = False) -> str:
        """The beginning, redacted. What the limit may have split is left out: half a secret is not recognised."""
        if len(text) > _MOST_READ:
            text = mask(text[:_MOST_READ], self._secrets)[: -self._longest_secret]
        return redact(_TAG.sub(" ", text) if is_page else text, self._secrets).rstrip(". ")

    def _limit_per_second(self, reply: Reply) -> float | None:
        """The account's limit, when the headers speak of a window of one second."""
        if self._limit_headers is None:
            return None
        limit, left = (reply.headers.get(name, "").strip() for name in self._limit_headers)
        if not re.fullmatch(r"[1-9][0-9]{0,5}", limit) or left not in ("0", "1"):
            return None
        return float(limit)

    def _pause_seconds(self, answer: Reply | TransportFailure) -> float | None:
        if isinstance(answer, TransportFailure) or answer.status not in (429, 503):
            return None
        # Only a 429 is about the quota, which the CRM's own headers describe.
        names = self._pause_headers if answer.status == 429 else self._pause_headers[:1]
        pauses = (pause_seconds(answer.headers.get(name), answer.headers.get("Date")) for name in names)
        return next((pause for pause in pauses if pause is not None), None)


def pause_seconds(value: str | None, server_date: str | None = None) -> float | None:
    """Seconds from a header: a number, or an HTTP date seen from the server's own clock. At least 1, at most 3,600.

    None for what is absent or cannot be understood.
    """
    value = (value or "").strip()
    if re.fullmatch(r"[0-9]{1,15}(\.[0-9]{1,9})?", value):
        seconds = float(value)
    else:
        until = _timestamp(value)
        if until is None:
            return None
        now = _timestamp(server_date or "")
        seconds = until - (time.time() if now is None else now)
    return min(max(seconds, 1.0), LONGEST_PAUSE_SECONDS)


def _timestamp(http_date: str) -> float | None:
    try:
        date = parsedate_to_datetime(http_date)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()


def _host(location: str | None) -> str:
    try:
        return urlsplit(location or "").hostname or "nowhere"
    except ValueError:
        return "nowhere"


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[: max(longest, 1) - 1] + "…"
