"""What every CRM must do with a contact that is pushed to it."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import product

import pytest

from crm_pipeline.model import WELL, Contact, NewsKind, OutcomeKind
from crm_pipeline_tests.conformance.trial import KEY, READ_SECONDS, THREADS, Trial, person, values

ANN = person("ann", name="Ann van der Lee", source_url="https://example.com/a?b=c")
HOSTILE = "Zoë 🎉 e\u0301 שלום \u202e '); DROP TABLE x; -- {{7*7}} \"\\ =1+1 \r\nX-Evil: 1 \U0010ffff x"


def test_a_new_contact_is_created_and_its_id_at_the_crm_is_known(trial: Trial) -> None:
    outcome, news = trial.push_one(ANN)
    assert (outcome.kind, news) == (OutcomeKind.SYNCED, WELL)
    assert outcome.external_id
    assert outcome.http_status in (200, 201, 204)
    assert (outcome.error, outcome.refused) == (None, False)
    stored = trial.account.contact("ann@example.com")
    assert stored is not None
    assert "https://example.com/a?b=c" in values(stored)


def test_a_known_contact_is_updated_and_stays_one(trial: Trial) -> None:
    first, _ = trial.push_one(ANN)
    second, _ = trial.push_one(Contact(ANN.id, "Ann@Example.com ", source_url="https://example.com/new"))
    assert (second.kind, second.external_id) == (OutcomeKind.SYNCED, first.external_id)
    (stored,) = trial.account.contacts()
    assert "https://example.com/new" in values(stored)


def test_what_we_do_not_have_leaves_at_the_crm_what_it_has(trial: Trial) -> None:
    trial.push(ANN)
    before = trial.account.contact("ann@example.com")
    trial.push(Contact(ANN.id, "ann@example.com"))
    after = trial.account.contact("ann@example.com")
    assert before is not None
    assert after is not None
    assert after.attributes == before.attributes


@pytest.mark.parametrize("text", [HOSTILE, "a\x00b", "lone \ud800 surrogate"], ids=["hostile", "nul", "surrogate"])
def test_any_text_arrives_as_it_is_but_for_what_cannot_be_sent(trial: Trial, text: str) -> None:
    outcome, _ = trial.push_one(person("zoe", source_url=text))
    assert outcome.kind is OutcomeKind.SYNCED
    stored = trial.account.contact("zoe@example.com")
    assert text.replace("\x00", "").replace("\ud800", "") in values(stored)


def test_a_contact_without_an_address_is_known_not_to_be_pushable(trial: Trial) -> None:
    assert trial.crm.reason_not_pushable(ANN) is None
    for email in ("", "  "):
        assert trial.crm.reason_not_pushable(Contact(ANN.id, email))


def test_a_contact_that_the_crm_refuses_is_told_why_and_the_account_is_well(trial: Trial) -> None:
    outcome, news = trial.push_one(Contact(ANN.id, "no address"))
    assert (outcome.kind, outcome.refused, news) == (OutcomeKind.FAILED, True, WELL)
    assert outcome.error
    assert trial.account.contacts() == []


@pytest.mark.parametrize("status", [400, 422])
def test_a_refusal_is_the_contacts_alone(trial: Trial, status: int) -> None:
    outcome, news = trial.answering(status, {"message": "bad value"}).push_one(ANN)
    assert (outcome.kind, outcome.refused, outcome.http_status, news) == (OutcomeKind.FAILED, True, status, WELL)


def test_a_wrong_key_closes_the_account_and_names_its_variable(trial: Trial) -> None:
    trial.account.api_key = "another-key"
    outcome, news = trial.push_one(ANN)
    assert (outcome.kind, news.kind) == (OutcomeKind.BLOCKED, NewsKind.CLOSED)
    assert trial.spec.key_variable in str(news.sentence)
    assert outcome.error == news.sentence
    assert trial.account.contacts() == []


def test_a_redirect_closes_the_account_and_names_the_base_url(trial: Trial) -> None:
    for status in (301, 302, 307, 308):
        outcome, news = trial.answering(status, None, Location="https://elsewhere.example/").push_one(ANN)
        assert (outcome.kind, news.kind) == (OutcomeKind.BLOCKED, NewsKind.CLOSED), status
        assert trial.spec.base_url_variable in str(news.sentence), status


def test_an_account_that_has_not_paid_is_closed(trial: Trial) -> None:
    outcome, news = trial.answering(402, {"message": "no"}).push_one(ANN)
    assert (outcome.kind, news.kind) == (OutcomeKind.BLOCKED, NewsKind.CLOSED)


def test_what_may_be_the_accounts_fault_or_the_contacts_is_doubted(trial: Trial) -> None:
    for status in (403, 404, 405, 406):
        outcome, news = trial.answering(status, {"message": "no"}).push_one(ANN)
        assert (outcome.kind, news.kind) == (OutcomeKind.FAILED, NewsKind.DOUBTFUL), status


def test_a_request_for_a_pause_is_passed_on_and_the_contact_is_not_counted(trial: Trial) -> None:
    for body in (None, "<html>slow down</html>", {"message": "slow down"}):
        outcome, news = trial.answering(429, body, Retry_After="7").push_one(ANN)
        assert (outcome.kind, news.kind, news.pause_seconds) == (OutcomeKind.RELEASED, NewsKind.THROTTLED, 7), body


def test_a_pause_without_a_length_has_none(trial: Trial) -> None:
    _, news = trial.answering(429).push_one(ANN)
    assert (news.kind, news.pause_seconds) == (NewsKind.THROTTLED, None)


def test_a_server_error_is_the_crms_and_is_retried(trial: Trial) -> None:
    for status, body in product((500, 502, 503, 504, 524), (None, "<html>Bad gateway</html>", {"message": "oops"})):
        outcome, news = trial.answering(status, body).push_one(ANN)
        expected = (OutcomeKind.FAILED, False, NewsKind.UNAVAILABLE)
        assert (outcome.kind, outcome.refused, news.kind) == expected, (status, body)


def test_a_success_that_is_not_the_crms_is_none(trial: Trial) -> None:
    for body in ("<html>Welcome</html>", b"\xff\xfe", "{", "[]", b"x" * 1_100_000):
        outcome, news = trial.answering(200, body).push_one(ANN)
        assert (outcome.kind, news.kind) == (OutcomeKind.FAILED, NewsKind.UNAVAILABLE), body[:20]


def test_a_request_that_is_not_answered_fails_within_its_time(trial: Trial) -> None:
    assert trial.crm.limits.total_seconds > READ_SECONDS
    started = time.monotonic()
    with trial.account.faults.hold():
        outcome, news = trial.push_one(ANN)
    assert time.monotonic() - started < READ_SECONDS + 1
    assert (outcome.kind, outcome.code, news.kind) == (OutcomeKind.FAILED, "timeout", NewsKind.UNAVAILABLE)


def test_each_outcome_is_found_by_its_contacts_id(trial: Trial) -> None:
    size = trial.crm.limits.contacts_per_request
    for status in (None, 400, 401, 429, 500):
        contacts = [person(f"p{i}") for i in range(size)]
        trial.account.faults.answer = None
        if status is not None:
            trial.answering(status)
        answer = trial.push(*contacts)
        assert set(answer.outcomes) == {contact.id for contact in contacts}, status


def test_a_push_is_one_request_whatever_its_answer(trial: Trial) -> None:
    trial.push(ANN)
    for number, status in enumerate((200, 301, 400, 401, 403, 429, 500), start=2):
        trial.answering(status).push(ANN)
        assert trial.account.received_count == number, status


def test_the_sandbox_is_known_by_its_name_in_every_answer(trial: Trial) -> None:
    assert trial.push(ANN).sandbox
    for status in (200, 301, 400, 401, 404, 429, 500):
        assert trial.answering(status).push(ANN).sandbox, status


def test_nothing_secret_or_personal_in_an_answer_is_kept(trial: Trial) -> None:
    said = f"{KEY} of ann@example.com and +33 6 12 34 56 78"
    bodies = ({"message": said, "code": said, "error": said, "status": said}, f"<p>{said}</p>")
    for status, body in product((400, 401, 402, 403, 404, 409, 429, 500), bodies):
        answer = trial.answering(status, body).push(ANN)
        # The id that the contact may have at the CRM is no part of what was said: at some it is its address.
        kept = repr(replace(answer, outcomes={ANN.id: replace(answer.outcomes[ANN.id], external_id=None)}))
        assert [word for word in (KEY, "ann@example.com", "6 12 34 56 78") if word in kept] == [], status


def test_several_threads_may_push_at_once(trial: Trial) -> None:
    contacts = [person(f"p{i}", name=f"Person {i}") for i in range(60)]
    with ThreadPoolExecutor(THREADS) as threads:
        outcomes = list(threads.map(trial.push_one, contacts))
    assert {outcome.kind for outcome, _ in outcomes} == {OutcomeKind.SYNCED}
    assert len({outcome.external_id for outcome, _ in outcomes}) == 60
    assert len(trial.account.contacts()) == 60
