"""No secret, address or phone number gets through; what helps a reader does; and no text takes long."""

from __future__ import annotations

import json
import logging
import time
import traceback
import uuid
from datetime import datetime
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from crm_pipeline.redaction import RedactingFilter, mask, mask_email, redact, storable

WORDS = st.text(st.sampled_from("abc XYZ.,:;-=/?&()[]{}<>\"'\n\t%_é🎉\x00\ud800"), max_size=40)
SECRETS = st.text(st.sampled_from("abcXYZ0123456789+/=&%?#: é\"'\\@.-_"), min_size=4, max_size=60)
LOCALS = st.text(st.sampled_from("abcdefghXYZ0189._+-é"), min_size=2, max_size=30)
DOMAINS = st.sampled_from(["example.com", "mail.example.co.uk", "müller.example", "xn--mller-kva.example", "localhost"])
SEPARATORS = st.sampled_from([" ", "-", ".", "/", "", " - ", ") ", "\u00a0", "\u2013"])


@st.composite
def phones(draw: st.DrawFn) -> str:
    """At least seven digits, as people write them."""
    groups = draw(st.lists(st.text(st.sampled_from("0123456789"), min_size=1, max_size=5), min_size=2, max_size=6))
    assume(7 <= sum(map(len, groups)) <= 15)
    number = draw(st.sampled_from(["", "+", "("])) + groups[0]
    for group in groups[1:]:
        number += draw(SEPARATORS) + group
    return number


def digits(text: str) -> str:
    return "".join(letter for letter in text if letter.isdecimal())


# --- what must not get through


@settings(deadline=None)
@given(before=WORDS, secret=SECRETS, after=WORDS)
def test_no_secret_survives_in_any_form_in_which_it_is_written(before: str, secret: str, after: str) -> None:
    for form in (secret, quote(secret, safe=""), quote_plus(secret), json.dumps(secret)[1:-1]):
        for text in (before + form + after, form * 3, f"{before}{form}{form}{after}"):
            assert form not in mask(text, [secret])
            assert form not in redact(text, ["other-secret", secret])


def test_a_secret_within_a_longer_secret_leaves_nothing_of_the_longer_one() -> None:
    assert mask("key abcd-efgh-1234!", ["abcd", "abcd-efgh-1234"]) == "key ***!"


def test_a_secret_of_a_few_letters_does_not_take_texts_apart() -> None:
    assert mask("an apple a day", ["a", "app", ""]) == "an apple a day"


@settings(deadline=None)
@given(before=WORDS, local=LOCALS, domain=DOMAINS, after=WORDS, at=st.sampled_from(["@", "%40"]))
def test_no_address_survives(before: str, local: str, domain: str, after: str, at: str) -> None:
    for boundary in (" ", "<", "=", '"', "mailto:", "\n"):
        masked = mask(f"{before}{boundary}{local}{at}{domain} {after}")
        assert f"{local}{at}{domain}" not in masked
        assert local not in masked or len(local) < 4 or local in f"{before}{domain}{after}***@%40mailto"


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("ann@@example.com", "a***@example.com"),
        ("ann@@@example.com is no address", "a***@example.com is no address"),
        ("ann%40%40example.com", "a***@example.com"),
        ("ann\uff20example.com", "a***@example.com"),
        ("ann\ufe6bexample.com", "a***@example.com"),
        ("ann @ example.com", "a***@example.com"),
        ("to ann @example.com.", "to a***@example.com."),
        ("to ann@ example.com, today", "to a***@example.com, today"),
        ("ann\u00a0@\u00a0example.com", "a***@example.com"),
        ("ann \uff20 example.com", "a***@example.com"),
        ("o'b@example.com", "o***@example.com"),
        ("to o'brien-d'arc@example.com!", "to o***@example.com!"),
        ("'o'brien@example.com'", "'o***@example.com'"),
        ("ann@lee@example.com", "a***@example.com"),
        ("'ann@example.com'bob@example.org", "'a***@example.com'***@example.org"),
        ("{'email':'ann@example.com','to':'bob@example.org'}", "{'email':'a***@example.com','to':'b***@example.org'}"),
        ('"ann lee"@example.com', '"***@example.com'),
        ('x"ann lee"@example.com', 'x"***@example.com'),
        ("/v1/contacts/%40ann%40example.com", "/v1/contacts/%40a***@example.com"),
        ("@@ann@example.com", "@@a***@example.com"),
        ("***@example.com@lee@example.org", "***@e***@example.org"),
        ("12345678 @ example.com", "1***@example.com"),
        ("b502 @ example.com", "b***@example.com"),
        ("502@example.com", "5***@example.com"),
    ],
)
def test_an_address_as_people_miswrite_it_is_masked(said: str, kept: str) -> None:
    assert mask(said) == redact(said) == kept
    assert mask(kept) == kept


@settings(deadline=None)
@given(before=WORDS, phone=phones(), after=WORDS)
def test_no_phone_number_survives(before: str, phone: str, after: str) -> None:
    assume(phone.count(".") != 3)  # four numbers with dots between are taken for an IP address
    masked = mask(f"{before} {phone} {after}")
    assert phone not in masked
    assert len(digits(masked)) < 7


@pytest.mark.parametrize(
    "phone",
    [
        "+49 171 5551234", "0049-171-555-1234", "(030) 555 12 34", "01.23.45.67.89", "0171-55-51-234", "0612-34-56-78",
        "555/123/45/67", "+1 (202) 555-0143", "2025550143", "٠١٢٣٤٥٦٧٨", "1999-12-31-55",
    ],
)  # fmt: skip
def test_a_phone_number_as_people_write_it_is_masked(phone: str) -> None:
    assert len(digits(mask(f"call {phone} now"))) < 4


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("api-key: xyz123", "api-key: ***"),
        ("'api_key': 'xyz123', 'a': 1", "'api_key': '***', 'a': 1"),
        ("?access_token=xyz123&a=1", "?access_token=***&a=1"),
        ('{"password": "xyz123", "a": 1}', '{"password": "***", "a": 1}'),
        ("Authorization: Bearer xyz123", "Authorization: ***"),
        ("Set-Cookie: a=xyz123; b=2\nnext", "Set-Cookie: ***\nnext"),
        ("postgresql://ann:xyz123@db.example/x", "postgresql://***@db.example/x"),
        ("postgresql://ann:xyz@123@db.example/x", "postgresql://***@db.example/x"),
        ("redis://:xyz123@db.example", "redis://***@db.example"),
        ("the key xkeysib-xyz123-ab is", "the key *** is"),
        ("smtp xsmtpsib-xyz123", "smtp ***"),
    ],
)
def test_what_is_labelled_as_a_secret_is_masked_though_nobody_told_its_value(said: str, kept: str) -> None:
    assert mask(said) == kept
    assert "xyz" not in redact(said)


# --- what must get through


@pytest.mark.parametrize(
    "kept",
    [
        "contact 7f9c24e8-3b12-4fef-91e0-123456789012 is gone",
        "at 2026-11-24 12:00:45.123456+00:00, then",
        "at 2026-11-24T12:00:45Z.",
        "on 2026-11-24, and 2026-11-25.",
        "from 203.0.113.9. If so",
        "from 203.0.113.9",
        "at 127.0.0.1:54321.",
        "10.0.0.1, 10.0.0.2:80; (192.168.100.200)",
        "sha 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b",
        "HTTP 400 after 12 s, 3 of 100000 contacts",
        "https://app.brevo.com/security/authorised_ips",
        "BREVO_API_KEY is not set. See tokens and passwords",
        "a***@example.com",
        "***@example.com",
        "3 pieces @ 12.50 each, 2 @ 3",
        "it's @ noon, isn't it",
        "100% of 5@",
        "HTTP 502 @ api.brevo.com",
        "HTTP 404 @api.brevo.com: gone",
        "price 12.50 EUR, 1,234 pieces",
    ],
)
def test_what_helps_a_reader_is_kept(kept: str) -> None:
    assert mask(kept) == kept
    assert redact(kept) == kept


@settings(deadline=None)
@given(st.uuids())
def test_every_uuid_is_kept(an_id: uuid.UUID) -> None:
    assert mask(f"contact {an_id}: failed ({an_id})") == f"contact {an_id}: failed ({an_id})"


@settings(deadline=None)
@given(st.datetimes(min_value=datetime.fromisoformat("1000-01-01")))
def test_every_time_is_kept(moment: datetime) -> None:
    assert mask(f"tried again after {moment}.") == f"tried again after {moment}."


@settings(deadline=None)
@given(st.ip_addresses(v=4), st.integers(1, 65535))
def test_every_ip_address_is_kept(address: object, port: int) -> None:
    for said in (f"the address {address}.", f"host {address}:{port}, then", f"({address})"):
        assert mask(said) == said


@settings(deadline=None)
@given(st.ip_addresses(v=6))
def test_every_ipv6_address_is_kept(address: object) -> None:
    assert mask(f"the address {address}.") == f"the address {address}."


# --- one line, storable


@settings(deadline=None)
@given(WORDS | st.text(max_size=600), SECRETS)
def test_what_is_redacted_is_one_line_of_at_most_500_characters_that_any_database_takes(text: str, secret: str) -> None:
    line = redact(text, [secret])
    assert len(line) <= 500
    assert len(line.splitlines()) <= 1
    assert "\x00" not in line
    line.encode()
    assert redact(line, [secret]) == line, "once is enough"


@settings(deadline=None)
@given(st.text(max_size=50))
def test_a_text_made_storable_loses_only_what_no_database_takes(text: str) -> None:
    kept = storable(text)
    assert kept == "".join(letter for letter in text if letter != "\x00" and not 0xD800 <= ord(letter) <= 0xDFFF)


@pytest.mark.parametrize(
    ("address", "masked"),
    [
        ("ann.lee@example.com", "a***@example.com"),
        ("  a@example.com\n", "a***@example.com"),
        ('"a@b"@example.com', '"***@example.com'),
        ("no address", "n***"),
        ("", "(none)"),
        (" \x00 ", "(none)"),
        (None, "(none)"),
    ],
)
def test_an_address_keeps_its_first_letter_and_its_domain(address: str | None, masked: str) -> None:
    assert mask_email(address) == masked


# --- time


PIECES = [
    "a", "@", "a@", "1", "1 ", "+1", "123456    ", '"', '"a', "%", "a%40", "*", "1.", "a1", "1-", ":", "a:", "://a:", "://:@",
    "a'", "'", " @ ", "a @ ", "a @ b", "a@@", "@b.", "\uff20", "a@b'", "%40", " a@ ", "a.b@c", '"a"', '"a"@',
    " ", "@ ", "%40 ", "40%", "%%40", "%40@", "\uff20%40", "*@", "*%40", "a\u00a0@", ".", "a - @ ", "502 @ ", "***@",
    "token ", "password= ", "cookie:", "xkeysib-", "2026-11-", "12:12:", "\n", "\x01", "{'", "<",
]  # fmt: skip


@pytest.mark.parametrize("piece", PIECES)
@pytest.mark.parametrize("start", ["", "://", "token", "cookie =", '"', "a@"])
@pytest.mark.parametrize("end", ["", "@x"])
def test_a_long_hostile_text_takes_time_in_proportion_to_its_length(start: str, piece: str, end: str) -> None:
    text = start + (piece * 60_000)[:60_000] + end
    started = time.process_time()
    mask(text, ["secret-1", "secret-2"])
    assert time.process_time() - started < 0.6, "quadratic time would be a second and more"


# --- logs


class Broken:
    """What cannot be shown."""

    def __str__(self) -> str:
        raise RuntimeError("detached")

    __repr__ = __str__


@pytest.fixture
def log(request: pytest.FixtureRequest) -> logging.Logger:
    """A logger whose one handler is redacted; what it wrote stands in `lines(log)`."""
    logger = logging.Logger(request.node.name)
    handler = _Lines()
    handler.addFilter(RedactingFilter(["s3cret-value"]))
    handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    logger.addHandler(handler)
    return logger


class _Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.text = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.text += self.format(record) + "\n"


def lines(log: logging.Logger) -> str:
    (handler,) = log.handlers
    assert isinstance(handler, _Lines)
    return handler.text


def test_a_log_line_is_masked_in_its_message_and_its_arguments(log: logging.Logger) -> None:
    log.info("s3cret-value of %s: %d%%", "ann@example.com", 7)
    log.info({"s3cret-value": "ann@example.com"})
    log.info("%(a)s", {"a": "+49 171 5551234"})
    assert lines(log) == "INFO *** of a***@example.com: 7%\nINFO {'***': 'a***@example.com'}\nINFO ***\n"


def test_a_percent_sign_in_a_masked_message_is_not_read_as_a_placeholder(log: logging.Logger) -> None:
    log.info("%s", "100%d s3cret-value")
    assert lines(log) == "INFO 100%d ***\n"


def test_a_traceback_is_masked_with_its_causes_and_its_source_lines(log: logging.Logger) -> None:
    try:
        try:
            raise ValueError("s3cret-value of ann@example.com")
        except ValueError as cause:
            raise RuntimeError("+49 171 5551234 s3cret-value") from cause
    except RuntimeError:
        log.exception("it failed", stack_info=True)
    text = lines(log)
    assert "s3cret-value" not in text
    assert "ann@example.com" not in text
    assert "5551234" not in text
    assert text.count("Traceback") == 2
    assert "ValueError: *** of a***@example.com" in text
    assert "Stack (most recent call last)" in text


def test_a_stack_is_masked_with_its_source_lines(log: logging.Logger) -> None:
    log.warning("here", stack_info=True)  # a source line with ann@example.com and s3cret-value
    assert "# a source line with a***@example.com and ***" in lines(log)


class _Tracebacks(_Lines):
    """Formats exceptions itself, as handlers of other libraries do."""

    def format(self, record: logging.LogRecord) -> str:
        shown = "".join(traceback.format_exception(*record.exc_info)) if record.exc_info else ""
        return super().format(record) + shown


def test_a_later_handler_without_the_filter_sees_no_more(log: logging.Logger) -> None:
    later = _Tracebacks()
    log.addHandler(later)
    try:
        raise ValueError("s3cret-value")
    except ValueError:
        log.exception("of %s", "ann@example.com")
    assert "s3cret-value" not in later.text
    assert "ann@" not in later.text
    log.removeHandler(later)


def test_a_text_cached_by_an_earlier_handler_is_masked_too(log: logging.Logger) -> None:
    first = _Lines()
    log.handlers.insert(0, first)
    try:
        raise ValueError("s3cret-value")
    except ValueError:
        log.exception("it failed")
    assert "s3cret-value" in first.text
    log.removeHandler(first)
    assert "s3cret-value" not in lines(log)


@pytest.mark.parametrize(
    ("message", "arguments"),
    [
        ("two %s %s", ("s3cret-value",)),
        ("number %d", ("s3cret-value",)),
        ("%(name)s", ({"other": "s3cret-value"},)),
        ("none", ("s3cret-value",)),
        ("broken %s", (Broken(),)),
        (Broken(), ()),
        ("%q s3cret-value", (1,)),
    ],
)
def test_a_log_line_that_cannot_be_made_never_stops_whoever_wrote_it(
    log: logging.Logger, message: object, arguments: tuple[object, ...]
) -> None:
    log.warning(message, *arguments)
    assert lines(log).startswith("WARNING ")
    assert "s3cret-value" not in lines(log)
