"""A contact whose address has changed since its last sync: renamed at Brevo, unless it opted out there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from crm_pipeline.crms.brevo.connector import Brevo
from crm_pipeline.model import Answer, Contact, NewsKind, Outcome, OutcomeKind
from crm_pipeline.sandbox.account import Account
from crm_pipeline_tests.crms.brevo_account import ID, connected
from crm_pipeline_tests.crms.raw_server import answers, raw_server
from crm_pipeline_tests.support.sandbox import KEY

OLD, NEW = "old+1@example.com", "new@example.com"
MOVED = Contact(ID, NEW, name="Ann Lee", external_id=OLD)
FOUND = (200, b'{"id":7,"email":"old+1@example.com","emailBlacklisted":false}')
UNKNOWN = (404, b'{"code":"document_not_found","message":"Contact does not exist"}')
TAKEN = (
    400,
    b'{"code":"duplicate_parameter","message":"email is already associated with another Contact",'
    b'"metadata":{"duplicate_identifiers":["email"]}}',
)
TAKEN_BY_TEXT = (
    400,
    b'{"code":"duplicate_parameter",'
    b'"message":"Unable to update contact, email is already associated with another Contact"}',
)
CREATED = (201, b'{"id":8}')


@pytest.fixture
def brevo(account: Account) -> Iterator[Brevo]:
    with connected(account.url, api_key=KEY) as brevo:
        yield brevo


def pushed(brevo: Brevo, contact: Contact) -> tuple[Outcome, Answer, int]:
    """The outcome, the last answer, and the number of requests."""
    answer, requests = brevo.push([contact]), 1
    while answer.then is not None:
        assert answer.outcomes == {}
        answer, requests = answer.then(), requests + 1
    return answer.outcomes[contact.id], answer, requests


def scripted(*each: tuple[Any, ...], contact: Contact = MOVED, **settings: Any) -> tuple[Outcome, Answer, list[str]]:
    """The outcome and the lines of the requests, at a server that gives these answers in turn."""
    with raw_server(answers(*each)) as server, connected(server.url, **settings) as brevo:
        outcome, answer, _ = pushed(brevo, contact)
        return outcome, answer, [request.line.rpartition(" ")[0] for request in server.requests]


def test_it_is_renamed_and_keeps_what_brevo_has(account: Account, brevo: Brevo) -> None:
    pushed(brevo, Contact(ID, OLD, name="Ann", source_url="https://example.com/"))
    before = account.contact(OLD)
    outcome, _, requests = pushed(brevo, MOVED)
    assert (outcome.kind, outcome.external_id, outcome.left_behind) == (OutcomeKind.SYNCED, NEW, None)
    assert requests == 2
    (renamed,) = account.contacts()
    assert before is not None
    assert (renamed.id, renamed.email) == (before.id, NEW)
    assert renamed.attributes == {**before.attributes, "FIRSTNAME": "Ann", "LASTNAME": "Lee"}


def test_one_that_opted_out_is_skipped_and_not_touched(account: Account, brevo: Brevo) -> None:
    pushed(brevo, Contact(ID, OLD))
    kept = account.contact(OLD)
    assert kept is not None
    account.save(replace(kept, extra={"emailBlacklisted": True}))
    before = account.contacts()
    outcome, answer, requests = pushed(brevo, MOVED)
    assert (outcome.kind, answer.news.kind, requests) == (OutcomeKind.SKIPPED, NewsKind.WELL, 1)
    assert "Opted out" in str(outcome.error)
    assert outcome.external_id is None
    assert account.contacts() == before


def test_one_that_is_gone_at_brevo_is_created(account: Account, brevo: Brevo) -> None:
    outcome, _, requests = pushed(brevo, MOVED)
    assert (outcome.kind, outcome.external_id, outcome.left_behind, requests) == (OutcomeKind.SYNCED, NEW, None, 2)
    assert [contact.email for contact in account.contacts()] == [NEW]


def test_an_address_that_is_another_contacts_leaves_the_old_one_behind(account: Account, brevo: Brevo) -> None:
    pushed(brevo, Contact(ID, OLD))
    pushed(brevo, Contact(ID, NEW, source_url="https://example.com/"))
    outcome, _, requests = pushed(brevo, MOVED)
    assert (outcome.kind, outcome.external_id, outcome.left_behind) == (OutcomeKind.SYNCED, NEW, OLD)
    assert requests == 3
    assert "left behind" in str(outcome.note)
    assert {contact.email for contact in account.contacts()} == {OLD, NEW}
    kept = account.contact(NEW)
    assert kept is not None
    assert kept.attributes == {"SOURCE_URL": "https://example.com/", "FIRSTNAME": "Ann", "LASTNAME": "Lee"}


def test_a_new_address_that_is_taken_by_the_text_alone_leaves_the_old_one_behind_too() -> None:
    outcome, _, lines = scripted(FOUND, TAKEN_BY_TEXT, (204, b""))
    assert (outcome.kind, outcome.left_behind) == (OutcomeKind.SYNCED, OLD)
    assert [line.split()[0] for line in lines] == ["GET", "PUT", "POST"]


def test_an_address_that_another_contact_of_ours_has_is_not_taken_from_it(account: Account, brevo: Brevo) -> None:
    pushed(brevo, Contact(ID, OLD))
    outcome, _, requests = pushed(brevo, replace(MOVED, former_address_in_use=True))
    assert (outcome.kind, outcome.left_behind, requests) == (OutcomeKind.SYNCED, None, 2)
    assert "another contact's" in str(outcome.note)
    assert {contact.email for contact in account.contacts()} == {OLD, NEW}


@pytest.mark.parametrize("known_as", [None, "", NEW, " NEW@Example.com ", "4711"])
def test_an_address_that_has_not_changed_takes_one_request(known_as: str | None) -> None:
    outcome, _, lines = scripted(CREATED, contact=replace(MOVED, external_id=known_as))
    assert (outcome.kind, lines) == (OutcomeKind.SYNCED, ["POST /v3/contacts"])


def test_the_old_address_travels_encoded_and_as_an_address() -> None:
    old = "o'd/../?x=%2F+1@exämple.com"
    _, _, lines = scripted(FOUND, (204, b""), contact=replace(MOVED, external_id=old))
    path = "/v3/contacts/o%27d%2F..%2F%3Fx%3D%252f%2B1%40ex%C3%A4mple.com?identifierType=email_id"
    assert lines == [f"GET {path}", f"PUT {path}"]


def test_everything_travels_with_the_new_address_and_no_opt_out_does() -> None:
    with raw_server(answers(FOUND, (204, b""))) as server, connected(server.url, list_id=12) as brevo:
        pushed(brevo, replace(MOVED, has_gmail=False))
        _, put = server.requests
    assert put.json == {
        "attributes": {"EMAIL": NEW, "FIRSTNAME": "Ann", "LASTNAME": "Lee", "HAS_GMAIL": False},
        "listIds": [12],
    }


def test_a_contact_that_vanishes_between_the_question_and_the_renaming_is_created() -> None:
    outcome, _, lines = scripted(FOUND, UNKNOWN, CREATED)
    assert (outcome.kind, outcome.left_behind) == (OutcomeKind.SYNCED, None)
    assert [line.split()[0] for line in lines] == ["GET", "PUT", "POST"]


def test_nothing_is_left_behind_by_a_push_that_failed() -> None:
    outcome, _, _ = scripted(FOUND, TAKEN, (400, b'{"code":"invalid_parameter","message":"no"}'))
    assert (outcome.kind, outcome.left_behind, outcome.external_id) == (OutcomeKind.FAILED, None, None)


@pytest.mark.parametrize(
    ("answer", "kind", "news"),
    [
        ((404, b"<html>Not Found</html>"), OutcomeKind.FAILED, NewsKind.DOUBTFUL),
        ((401, b'{"message":"Key not found"}'), OutcomeKind.BLOCKED, NewsKind.CLOSED),
        ((429, b""), OutcomeKind.RELEASED, NewsKind.THROTTLED),
        ((500, b""), OutcomeKind.FAILED, NewsKind.UNAVAILABLE),
        ((200, b"<html>"), OutcomeKind.FAILED, NewsKind.UNAVAILABLE),
        ((200, b'{"id":7}'), OutcomeKind.FAILED, NewsKind.UNAVAILABLE),
    ],
)
def test_what_goes_wrong_in_any_of_its_requests_is_judged_as_in_a_plain_push(
    answer: tuple[int, bytes], kind: OutcomeKind, news: NewsKind
) -> None:
    for before in ([], [FOUND]):
        outcome, last, lines = scripted(*before, answer)
        assert (outcome.kind, last.news.kind, len(lines)) == (kind, news, len(before) + 1)


def test_a_refused_renaming_is_judged_as_in_a_plain_push() -> None:
    outcome, last, lines = scripted(FOUND, (400, b'{"message":"no"}'))
    assert (outcome.kind, last.news.kind, len(lines)) == (OutcomeKind.FAILED, NewsKind.WELL, 2)


@pytest.mark.parametrize("field", ["external_id", "tried_address"])
def test_a_former_address_that_brevo_takes_for_none_is_not_known_there(field: str) -> None:
    malformed = replace(MOVED, **{"external_id": None, field: "ann@@example"})
    outcome, _, lines = scripted(
        (400, b'{"code":"invalid_parameter","message":"Invalid email"}'), CREATED, contact=malformed
    )
    assert (outcome.kind, outcome.external_id, outcome.left_behind) == (OutcomeKind.SYNCED, NEW, None)
    assert [line.split()[0] for line in lines] == ["GET", "POST"]


def test_a_renaming_is_a_success_without_a_body_alone() -> None:
    for status in (200, 201, 202):
        outcome, last, _ = scripted(FOUND, (status, b'{"id":7}'))
        assert (outcome.kind, last.news.kind) == (OutcomeKind.FAILED, NewsKind.UNAVAILABLE)


@pytest.mark.parametrize(
    ("reply", "may_be_at"),
    [
        ((503, b""), NEW),
        ((200, b"<html>"), NEW),
        ((400, b"{}"), None),
        ((301, b""), None),
    ],
)
def test_after_an_answer_that_says_nothing_the_address_that_was_tried_is_kept(
    reply: tuple[int, bytes], may_be_at: str | None
) -> None:
    outcome, _, _ = scripted(reply, contact=Contact(ID, NEW))
    assert (outcome.kind is OutcomeKind.SYNCED, outcome.external_id) == (False, may_be_at)


@pytest.mark.parametrize("lost", [(503, b""), (200, b"<html>")])
def test_a_renaming_whose_answer_is_lost_is_looked_for_under_the_former_address_and_may_have_left_the_new_one(
    lost: tuple[int, bytes],
) -> None:
    outcome, _, _ = scripted(FOUND, lost)
    assert (outcome.kind, outcome.external_id, outcome.left_behind) == (OutcomeKind.FAILED, None, NEW)


@pytest.mark.parametrize("refused", [(400, b"{}"), (429, b""), (401, b"")])
def test_a_renaming_that_was_refused_has_left_nothing(refused: tuple[int, bytes]) -> None:
    outcome, _, _ = scripted(FOUND, refused)
    assert (outcome.external_id, outcome.left_behind) == (None, None)


def test_an_address_left_behind_is_listed_although_the_last_answer_is_lost() -> None:
    outcome, _, _ = scripted(FOUND, TAKEN, (503, b""))
    assert (outcome.kind, outcome.external_id, outcome.left_behind) == (OutcomeKind.FAILED, NEW, OLD)


@pytest.mark.parametrize("known_as", [None, "4711", OLD])
def test_an_address_that_was_never_sent_is_not_kept(known_as: str | None) -> None:
    with connected("http://127.0.0.1:9/v3") as nowhere:
        outcome, _, _ = pushed(nowhere, Contact(ID, NEW, external_id=known_as))
    assert (outcome.kind, outcome.external_id, outcome.left_behind) == (OutcomeKind.FAILED, None, None)


TRIED = replace(MOVED, external_id=None, tried_address=OLD)


def test_an_address_that_a_push_died_with_is_looked_at_and_never_renamed(account: Account, brevo: Brevo) -> None:
    pushed(brevo, Contact(ID, OLD, name="Somebody Else"))
    outcome, _, requests = pushed(brevo, TRIED)
    assert (outcome.kind, outcome.external_id, outcome.left_behind) == (OutcomeKind.SYNCED, NEW, OLD)
    assert requests == 2
    assert "left behind" in str(outcome.note)
    assert {contact.email: contact.attributes["LASTNAME"] for contact in account.contacts()} == {
        OLD: "Else",
        NEW: "Lee",
    }


def test_an_opt_out_under_an_address_that_a_push_died_with_is_kept(account: Account, brevo: Brevo) -> None:
    pushed(brevo, Contact(ID, OLD))
    kept = account.contact(OLD)
    assert kept is not None
    account.save(replace(kept, extra={"emailBlacklisted": True}))
    outcome, _, _ = pushed(brevo, TRIED)
    assert outcome.kind is OutcomeKind.SKIPPED
    assert len(account.contacts()) == 1


def test_an_address_that_a_push_died_with_and_that_brevo_does_not_know_leaves_nothing(brevo: Brevo) -> None:
    outcome, _, _ = pushed(brevo, TRIED)
    assert (outcome.kind, outcome.external_id, outcome.left_behind) == (OutcomeKind.SYNCED, NEW, None)


def test_a_renaming_notes_the_address_that_an_earlier_push_died_with(account: Account, brevo: Brevo) -> None:
    pushed(brevo, Contact(ID, OLD))
    outcome, _, _ = pushed(brevo, replace(MOVED, tried_address="tried@example.com"))
    assert (outcome.kind, outcome.left_behind) == (OutcomeKind.SYNCED, "tried@example.com")
    assert [contact.email for contact in account.contacts()] == [NEW]


def test_an_address_that_a_push_died_with_and_that_is_surely_its_own_is_renamed(account: Account, brevo: Brevo) -> None:
    pushed(brevo, Contact(ID, OLD))
    outcome, _, _ = pushed(brevo, replace(MOVED, tried_address=OLD))
    assert (outcome.kind, outcome.left_behind) == (OutcomeKind.SYNCED, None)
    assert [contact.email for contact in account.contacts()] == [NEW]


def test_an_address_that_a_push_died_with_is_noted_although_the_next_one_failed() -> None:
    for each in ([(500, b"")], [FOUND, (400, b"{}")], [FOUND, (503, b"")]):
        outcome, _, _ = scripted(*each, contact=TRIED)
        assert (outcome.kind, outcome.left_behind) == (OutcomeKind.FAILED, OLD)
