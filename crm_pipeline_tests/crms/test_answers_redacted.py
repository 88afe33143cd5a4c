"""Whatever a server says, what is kept of it is one short line without secrets, and still says what to do."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from crm_pipeline.crms.transport import FailureKind
from crm_pipeline.model import News, NewsKind, Outcome
from crm_pipeline_tests.crms.judging import KEY, judged, judged_failure, reply, table

ADDRESS = "ann.lee@customer.example"
PHONE = "+49 171 5551234"
SECRETS = (KEY, quote(KEY, safe=""), ADDRESS, PHONE, "ann.lee")
SAID = (
    f"the key {KEY} of {ADDRESS} ({PHONE}) at https://x.example/?k={quote(KEY, safe='')}&m=ann.lee%40customer.example"
)


def kept(outcome: Outcome, news: News) -> list[str]:
    """All texts that go to the database and to people."""
    return [text for text in (outcome.error, outcome.code, outcome.request_id, outcome.note, news.sentence) if text]


@pytest.mark.parametrize("status", [200, 301, 400, 401, 402, 403, 404, 408, 422, 429, 500, 503])
def test_no_secret_address_or_phone_number_of_an_answer_is_kept(status: int) -> None:
    bodies: list[bytes | dict[str, Any]] = [
        {"code": SAID, "message": SAID}, {"message": SAID}, f"<html><b>{SAID}</b></html>".encode(), SAID.encode()
    ]  # fmt: skip
    for body in bodies:
        texts = kept(*judged(status, body, Location=f"https://h.example/{KEY}?{ADDRESS}"))
        assert texts
        assert [(text, secret) for text in texts for secret in SECRETS if secret in text] == []


@pytest.mark.parametrize("around", ["{}", "<html>{}</html>", '<html>{}<i class="' + "x" * 3000 + '">'])
def test_no_part_of_a_secret_is_kept_where_a_long_answer_is_cut(around: str) -> None:
    for length in (*range(180, 320, 11), *range(4900, 5030, 5)):
        filled = ("word " * length)[:length]
        for said in (f"{filled} {KEY} {filled}", f"{'<br>' * (length // 4) + ' ' * (length % 4)} {KEY} more"):
            page = around.format(said).encode()
            error = str(judged(502, page)[0].error) + str(judged(502, {"message": said})[0].error)
            assert KEY[:6] not in error, error


@pytest.mark.parametrize("kind", list(FailureKind))
def test_a_long_cause_of_a_failed_request_is_cut_and_what_to_do_is_not(kind: FailureKind) -> None:
    outcome, news = judged_failure(kind, "x" * 499)
    assert len(str(outcome.error)) <= 500
    assert len(str(news.sentence)) <= 500
    assert f"… ({kind.value})" in str(outcome.error)
    assert str(news.sentence).endswith(".")


def test_a_page_of_html_is_quoted_in_its_first_words() -> None:
    outcome, _ = judged(502, b"<html><style></style><h1>502 Bad\n Gateway</h1>" + b"<p>nginx</p>" * 1000)
    assert str(outcome.error).startswith("not the API's answer but “502 Bad Gateway nginx nginx")
    assert len(str(outcome.error)) < 350


def test_a_page_without_text_and_an_empty_answer_are_said_to_be_so() -> None:
    assert judged(502, b"<html></html>")[0].error == "not the API's answer but “a page without text” (HTTP 502)"
    assert judged(502)[0].error == "no reason given (HTTP 502)"
    assert judged(502, {})[0].error == "an answer without a message (HTTP 502)"


TEXTS = st.one_of(
    st.text(max_size=700),
    st.text(st.sampled_from("a@.{}%s\n \u2028\x00\ud800<>é🎉0123456789+"), max_size=700),
    st.sampled_from(["x" * 5000, "{said}" * 99, "{0.__class__}", "%s%n", "a@b.c " * 300, "\n".join(["y"] * 900)]),
)
NAMED = {301: "ACME_API_BASE_URL", 401: "ACME_API_KEY", 403: "ACME_API_KEY", 404: "ACME_API_BASE_URL"}


@settings(deadline=None)
@example(status=403, code="x" * 5000, message="x" * 5000, host="h" * 63 + ".example.com:65535")
@given(
    status=st.sampled_from([200, 301, 400, 401, 402, 403, 404, 418, 429, 500]),
    code=TEXTS,
    message=TEXTS,
    host=st.sampled_from(["127.0.0.1:8025", "api.acme.example", "h" * 63 + ".example.com:65535"]),
)
def test_any_words_of_a_server_become_one_short_line_that_names_the_variable(
    status: int, code: str, message: str, host: str
) -> None:
    answer = reply(status, b"{}" if status != 404 else message.encode("utf-8", "replace"), Location=message)
    answer.__dict__["json"] = None if status == 404 else {"code": code, "message": message}
    outcome, news = table(host).judge(answer)
    for text in kept(outcome, news):
        assert 0 < len(text) <= 500
        assert len(text.splitlines()) == 1
        assert text == text.strip()
        text.encode()
    if news.kind is NewsKind.CLOSED:
        assert NAMED.get(status, "Acme") in str(news.sentence)
        assert str(news.sentence).endswith(".")
