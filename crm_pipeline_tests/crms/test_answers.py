"""What each answer means for the contact and for the account: the table that all CRMs share."""

from __future__ import annotations

from typing import Any

import pytest

from crm_pipeline.crms.answers import Row
from crm_pipeline.crms.transport import FailureKind
from crm_pipeline.model import WELL, News, NewsKind, Outcome, OutcomeKind
from crm_pipeline_tests.crms.judging import HTML, judged, judged_failure, reply, table

BAD_EMAIL = {"code": "invalid_parameter", "message": "Invalid email address"}
BODIES: list[bytes | dict[str, Any]] = [
    b"", HTML, b"[]", b"7", b"\xff\xfe", b"{", {}, {"message": "no"}, {"code": "no"}, {"code": "x", "message": "no"}
]  # fmt: skip


def test_a_redirect_closes_the_gate_and_names_the_address_and_its_variable() -> None:
    for status in (300, 301, 302, 303, 304, 307, 308, 399):
        outcome, news = judged(status, b"", Location="https://login.evil.example/contacts?token=abc")
        assert (outcome.kind, news.kind) == (OutcomeKind.BLOCKED, NewsKind.CLOSED)
        assert outcome.code == "redirect"
        assert outcome.error == news.sentence
        assert "api.acme.example redirects (to login.evil.example" in str(news.sentence)
        assert "Check ACME_API_BASE_URL" in str(news.sentence)
        assert "token" not in str(news.sentence)


@pytest.mark.parametrize("location", [None, "", "/contacts", "http://[", "x" * 5000])
def test_a_redirect_to_nowhere_is_still_one_sentence(location: str | None) -> None:
    _, news = judged(301, b"", **({} if location is None else {"Location": location}))
    assert "redirects (to nowhere (HTTP 301))" in str(news.sentence)


@pytest.mark.parametrize(
    ("status", "body", "must_say"),
    [
        (401, {"code": "unauthorized", "message": "Key not found"}, "Check ACME_API_KEY; it may be wrong, expired or"),
        (402, {"code": "not_enough_credits", "message": "No credits"}, "Check the plan of the account at Acme"),
    ],
)
def test_what_is_the_accounts_fault_blocks_the_contact_and_says_what_to_do(
    status: int, body: bytes | dict[str, str], must_say: str
) -> None:
    outcome, news = judged(status, body)
    assert (outcome.kind, news.kind, outcome.refused) == (OutcomeKind.BLOCKED, NewsKind.CLOSED, False)
    assert must_say in str(news.sentence)
    assert outcome.error == news.sentence
    assert f"HTTP {status}" in str(outcome.error)
    if isinstance(body, dict):
        assert body["message"] in str(news.sentence)
        assert outcome.code == body["code"]


DOUBTFUL = [
    (403, {"code": "permission_denied", "message": "Not allowed"}, "Check what the key in ACME_API_KEY may do"),
    (404, {"code": "document_not_found", "message": "Contact does not exist"}, "Check ACME_API_BASE_URL"),
    (404, HTML, "Acme's API is not at this address"),
    (404, b"", "Check ACME_API_BASE_URL"),
    (405, {"code": "method_not_allowed", "message": "No"}, "Check ACME_API_BASE_URL, and the account's plan"),
    (406, {"code": "not_acceptable", "message": "No"}, "Check ACME_API_BASE_URL, and the account's plan"),
]


@pytest.mark.parametrize(("status", "body", "must_say"), DOUBTFUL)
def test_what_may_be_either_ones_fault_is_doubted(status: int, body: bytes | dict[str, str], must_say: str) -> None:
    outcome, news = judged(status, body)
    assert (outcome.kind, news.kind, outcome.refused) == (OutcomeKind.FAILED, NewsKind.DOUBTFUL, False)
    assert must_say in str(news.sentence)
    assert must_say not in str(outcome.error), "the contact's error is the CRM's own words"
    assert f"HTTP {status}" in str(outcome.error)


@pytest.mark.parametrize(("status", "body", "must_say"), DOUBTFUL)
def test_there_is_no_doubt_about_a_request_that_concerns_the_account_alone(
    status: int, body: bytes | dict[str, str], must_say: str
) -> None:
    outcome, news = table().judge(reply(status, body), about_a_contact=False)
    assert (outcome.kind, news.kind, outcome.error) == (OutcomeKind.BLOCKED, NewsKind.CLOSED, news.sentence)
    assert must_say in str(news.sentence)


@pytest.mark.parametrize(
    ("limit", "reset", "expected"),
    [
        ("10", "1", 10),
        ("10", "0", 10),
        (" 20 ", "1", 20),
        ("36000", "1800", None),
        ("10", "2", None),
        ("0", "1", None),
        ("-1", "1", None),
        ("ten", "1", None),
        ("10", "", None),
        ("", "1", None),
    ],
)
def test_a_limit_is_known_when_its_window_is_a_second(limit: str, reset: str, expected: float | None) -> None:
    for status in (201, 400, 429):
        _, news = judged(status, b"", x_acme_limit=limit, x_acme_reset=reset)
        assert news.limit_per_second == expected


@pytest.mark.parametrize("status", [400, 422])
def test_a_validation_error_is_a_refusal_of_this_contact_alone(status: int) -> None:
    outcome, news = judged(status, BAD_EMAIL)
    assert (outcome.kind, outcome.refused, news) == (OutcomeKind.FAILED, True, WELL)
    assert outcome.error == f"Invalid email address (invalid_parameter, HTTP {status})"
    assert outcome.code == "invalid_parameter"


@pytest.mark.parametrize("status", [409, 410, 413, 415, 418, 425, 451, 499])
def test_any_other_4xx_is_retried_and_says_nothing_about_the_account(status: int) -> None:
    outcome, news = judged(status, BAD_EMAIL)
    assert (outcome.kind, outcome.refused, news) == (OutcomeKind.FAILED, False, WELL)


@pytest.mark.parametrize("status", [408, 500, 501, 502, 503, 504, 520, 524, 599])
@pytest.mark.parametrize("body", [b"", HTML, {"message": "try later"}], ids=["empty", "html", "json"])
def test_a_server_error_is_retried_and_counts_towards_a_pause_of_all(status: int, body: bytes | dict[str, str]) -> None:
    outcome, news = judged(status, body)
    assert (outcome.kind, outcome.refused, news.kind) == (OutcomeKind.FAILED, False, NewsKind.UNAVAILABLE)
    assert f"HTTP {status}" in str(outcome.error)
    assert str(news.sentence).startswith("Acme is ")
    assert str(outcome.error) in str(news.sentence)


@pytest.mark.parametrize("status", [200, 201, 202, 204, 206, 299])
@pytest.mark.parametrize("body", [b"", HTML, b"{", {"id": 1}], ids=["empty", "html", "cut", "json"])
def test_a_success_that_the_crm_does_not_know_is_none(status: int, body: bytes | dict[str, int]) -> None:
    outcome, news = judged(status, body)
    assert (outcome.kind, news.kind, outcome.code) == (
        OutcomeKind.FAILED,
        NewsKind.UNAVAILABLE,
        "unexpected_answer",
    )
    assert "Acme gives no usable answer" in str(news.sentence)


def test_a_429_releases_the_contact_and_throttles_all_whatever_its_body() -> None:
    for body in BODIES:
        outcome, news = judged(429, body, Retry_After="7")
        assert (outcome.kind, news.kind, news.pause_seconds) == (OutcomeKind.RELEASED, NewsKind.THROTTLED, 7)
        assert "asks for a pause" in str(news.sentence)


@pytest.mark.parametrize(
    ("kind", "contact", "account"),
    [
        (FailureKind.CONNECTION, OutcomeKind.FAILED, NewsKind.UNAVAILABLE),
        (FailureKind.TIMEOUT, OutcomeKind.FAILED, NewsKind.UNAVAILABLE),
        (FailureKind.TRUNCATED, OutcomeKind.FAILED, NewsKind.UNAVAILABLE),
        (FailureKind.OVERSIZE, OutcomeKind.FAILED, NewsKind.UNAVAILABLE),
        (FailureKind.UNREADABLE, OutcomeKind.FAILED, NewsKind.UNAVAILABLE),
        (FailureKind.DNS, OutcomeKind.BLOCKED, NewsKind.CLOSED),
        (FailureKind.TLS, OutcomeKind.BLOCKED, NewsKind.CLOSED),
    ],
)
def test_a_request_without_an_answer_is_the_networks_fault_or_the_addresss(
    kind: FailureKind, contact: OutcomeKind, account: NewsKind
) -> None:
    outcome, news = judged_failure(kind)
    assert (outcome.kind, news.kind, outcome.code, outcome.http_status) == (contact, account, kind.value, None)
    assert outcome.duration_ms == 34
    assert f"no route ({kind.value})" in str(news.sentence)
    assert news.pause_seconds is None
    if account is NewsKind.CLOSED:
        assert "api.acme.example" in str(news.sentence)
        assert "Check ACME_API_BASE_URL" in str(news.sentence)


def consistent(outcome: Outcome, news: News) -> bool:
    """The account's fault is never counted against a contact, and a contact's never closes the account."""
    allowed = {
        OutcomeKind.BLOCKED: {NewsKind.CLOSED},
        OutcomeKind.RELEASED: {NewsKind.THROTTLED},
        OutcomeKind.FAILED: {NewsKind.WELL, NewsKind.UNAVAILABLE, NewsKind.DOUBTFUL},
    }
    return news.kind in allowed[outcome.kind] and bool(outcome.error) and (news.sentence is None) == (news == WELL)


@pytest.mark.parametrize("body", BODIES, ids=repr)
def test_no_status_is_without_a_meaning_and_none_is_a_success_by_itself(body: bytes | dict[str, Any]) -> None:
    meanings = table()
    for status in range(100, 1000):
        outcome, news = meanings.judge(reply(status, body))
        assert consistent(outcome, news), (status, outcome, news)
        assert outcome.http_status == status
        assert outcome.refused == (status in (400, 422))


def test_no_failure_of_the_transport_is_without_a_meaning() -> None:
    for kind in FailureKind:
        assert consistent(*judged_failure(kind))


def test_a_crms_own_rows_come_before_the_shared_and_those_of_one_request_before_both() -> None:
    rows = [Row("gone", {404}, OutcomeKind.SKIPPED, NewsKind.WELL, when=lambda reply: reply.body == b"gone")]
    meanings = table()
    assert meanings.judge(reply(404, b"gone"), rows)[0].kind is OutcomeKind.SKIPPED
    assert meanings.judge(reply(404, b"else"), rows)[0].kind is OutcomeKind.FAILED
    assert meanings.judge(reply(404, b"gone"))[0].kind is OutcomeKind.FAILED


def test_the_crms_id_of_the_request_and_the_duration_are_kept_for_its_support() -> None:
    for status in (400, 429, 500):
        outcome, _ = judged(status, b"", x_acme_request="r-1\x00" + "z" * 200)
        assert str(outcome.request_id).startswith("r-1z")
        assert len(str(outcome.request_id)) <= 100
        assert outcome.duration_ms == 12
    assert judged(400)[0].request_id is None
