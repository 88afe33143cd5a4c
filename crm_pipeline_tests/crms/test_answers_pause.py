"""How long a CRM asks us to pause, and in which of its headers."""

from __future__ import annotations

import time
from email.utils import formatdate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crm_pipeline.crms.answers import pause_seconds
from crm_pipeline_tests.crms.judging import judged

NOW = "Tue, 24 Nov 2026 12:00:00 GMT"
GARBAGE = [
    "",
    "  ",
    "soon",
    "-5",
    "+5",
    "1e3",
    "0x10",
    "NaN",
    "inf",
    "٣",
    "1_000",
    "5 s",
    "5,5",
    "1" * 400,
    "Tue",
    "\x00",
]


@pytest.mark.parametrize("value", GARBAGE)
def test_what_cannot_be_understood_names_no_pause(value: str) -> None:
    assert pause_seconds(value, NOW) is None


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("7", 7), ("1.5", 1.5), (" 30 ", 30), ("0", 1), ("0.2", 1), ("3600", 3600), ("86400", 3600), ("9" * 15, 3600)],
)
def test_seconds_are_taken_as_they_are_but_at_least_one_and_at_most_an_hour(value: str, seconds: float) -> None:
    assert pause_seconds(value) == seconds


@pytest.mark.parametrize(
    ("until", "seconds"),
    [
        ("Tue, 24 Nov 2026 12:00:45 GMT", 45),
        ("Tue, 24 Nov 2026 12:00:45 -0000", 45),
        ("Tue, 24 Nov 2026 13:00:45 +0100", 45),
        ("Tuesday, 24-Nov-26 12:00:45 GMT", 45),
        ("Tue Nov 24 12:00:45 2026", 45),
        ("Tue, 24 Nov 2026 11:00:00 GMT", 1),
        ("Wed, 25 Nov 2026 12:00:00 GMT", 3600),
        ("Mon, 01 Jan 0001 00:00:00 +2359", 1),
        ("Fri, 31 Dec 9999 23:59:59 -2359", 3600),
    ],
)
def test_a_date_is_seen_from_the_servers_own_clock(until: str, seconds: float) -> None:
    assert pause_seconds(until, NOW) == seconds


@pytest.mark.parametrize("server_date", [None, "", "yesterday"])
def test_without_the_servers_clock_our_own_must_do(server_date: str | None) -> None:
    pause = pause_seconds(formatdate(time.time() + 45, usegmt=True), server_date)
    assert pause == pytest.approx(45, abs=2)


HEADERS = st.one_of(
    st.text(max_size=60),
    st.text(st.sampled_from("0123456789 .:,-+GMTueNov"), max_size=40),
    st.datetimes().map(lambda date: date.strftime("%a, %d %b %Y %H:%M:%S GMT")),
    st.integers(-(10**18), 10**18).map(str),
    st.floats().map(str),
)


@settings(deadline=None)
@given(value=st.none() | HEADERS, server_date=st.none() | HEADERS)
def test_any_header_names_no_pause_or_one_between_a_second_and_an_hour(
    value: str | None, server_date: str | None
) -> None:
    pause = pause_seconds(value, server_date)
    assert pause is None or 1 <= pause <= 3600


@settings(deadline=None)
@given(st.integers(1, 3600))
def test_a_number_of_seconds_and_the_date_that_is_so_far_away_mean_the_same(seconds: int) -> None:
    start = 1_790_000_000
    date = pause_seconds(formatdate(start + seconds, usegmt=True), formatdate(start, usegmt=True))
    assert date == pause_seconds(str(seconds)) == seconds


def test_retry_after_comes_before_the_crms_own_header_unless_it_is_garbage() -> None:
    assert judged(429, Retry_After="7", X_Acme_Reset="3")[1].pause_seconds == 7
    assert judged(429, Retry_After="soon", X_Acme_Reset="3")[1].pause_seconds == 3
    assert judged(429, X_Acme_Reset="3")[1].pause_seconds == 3
    assert judged(429, Retry_After="soon", X_Acme_Reset="later")[1].pause_seconds is None
    assert judged(429)[1].pause_seconds is None


def test_a_503_pauses_by_retry_after_alone_for_the_crms_header_is_about_the_quota() -> None:
    assert judged(503, Retry_After="7", X_Acme_Reset="3")[1].pause_seconds == 7
    assert judged(503, X_Acme_Reset="3")[1].pause_seconds is None


@pytest.mark.parametrize("status", [200, 301, 400, 401, 403, 408, 500, 502, 504])
def test_no_other_status_names_a_pause(status: int) -> None:
    assert judged(status, Retry_After="7", X_Acme_Reset="3")[1].pause_seconds is None


def test_the_date_of_a_429_is_read_against_its_own_date_header() -> None:
    _, news = judged(429, Retry_After="Tue, 24 Nov 2026 12:00:45 GMT", Date=NOW)
    assert news.pause_seconds == 45
