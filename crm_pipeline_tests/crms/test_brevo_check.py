"""The preflight: is the account usable with these settings, and what will be dropped silently?"""

from __future__ import annotations

import json
from typing import Any

import pytest

from crm_pipeline.crms.brevo.attributes import ATTRIBUTES_PAGE, Attributes
from crm_pipeline.crms.brevo.settings import LISTS_PAGE, BrevoSettings
from crm_pipeline.crms.brevo.spec import SPEC as BREVO
from crm_pipeline.model import WELL, CheckResult, NewsKind
from crm_pipeline_tests.crms.brevo_account import KEY, connected
from crm_pipeline_tests.crms.raw_server import answers, raw_server

ATTRIBUTES = {attribute.name: attribute for attribute in Attributes(BrevoSettings()).sent}
TYPES = {name: attribute.fitting[0] for name, attribute in ATTRIBUTES.items()}
LIST = b'{"id":12,"name":"Customers"}'


def attributes(**types: str | None) -> bytes:
    """An account with all attributes, but for those given otherwise; None: without it."""
    all_types = {**TYPES, **types}
    found = [{"name": name, "category": "normal", "type": kind} for name, kind in all_types.items() if kind]
    return json.dumps({"attributes": found}).encode()


def check(*each: tuple[int, bytes], **settings: Any) -> tuple[CheckResult, list[str]]:
    """The result, and the lines of the requests."""
    with raw_server(answers(*each)) as server, connected(server.url, **settings) as brevo:
        result = brevo.check()
        assert len(server.requests) <= 2
        assert all(request.headers["api-key"] == KEY for request in server.requests)
        return result, [request.line for request in server.requests]


def test_an_account_with_all_attributes_passes_with_one_request() -> None:
    result, lines = check((200, attributes()))
    assert (result.news, result.warnings, result.sandbox) == (WELL, (), False)
    assert lines == ["GET /v3/contacts/attributes HTTP/1.1"]


def test_the_configured_list_is_asked_for_and_named() -> None:
    result, lines = check((200, attributes()), (200, LIST), list_id=12)
    assert (result.news, dict(result.facts)) == (WELL, {"list": "Customers"})
    assert lines[1] == "GET /v3/contacts/lists/12 HTTP/1.1"


@pytest.mark.parametrize("status", [400, 404])
def test_a_list_that_does_not_exist_closes_the_gate_and_names_its_variable(status: int) -> None:
    missing = b'{"code":"document_not_found","message":"List ID does not exist"}'
    result, _ = check((200, attributes()), (status, missing), list_id=12)
    assert result.news.kind is NewsKind.CLOSED
    assert "BREVO_LIST_ID" in str(result.news.sentence)
    assert LISTS_PAGE in str(result.news.sentence)


@pytest.mark.parametrize("list_id", [None, 12])
@pytest.mark.parametrize("status", [400, 404, 405, 406, 410, 422])
def test_a_server_that_does_not_know_the_question_names_the_base_url(status: int, list_id: int | None) -> None:
    each = [(status, b"<html>Not Found</html>")]
    result, _ = check(*([(200, attributes())] if list_id else []), *each, list_id=list_id)
    assert result.news.kind is NewsKind.CLOSED
    assert "BREVO_API_BASE_URL" in str(result.news.sentence)


@pytest.mark.parametrize("at", [1, 2])
@pytest.mark.parametrize(
    ("status", "kind", "must_name"),
    [
        (301, NewsKind.CLOSED, "BREVO_API_BASE_URL"),
        (401, NewsKind.CLOSED, "BREVO_API_KEY"),
        (402, NewsKind.CLOSED, "plan"),
        (403, NewsKind.CLOSED, "BREVO_API_KEY"),
        (408, NewsKind.UNAVAILABLE, "408"),
        (429, NewsKind.THROTTLED, "pause"),
        (500, NewsKind.UNAVAILABLE, "500"),
    ],
)
def test_what_goes_wrong_in_either_question_is_told(status: int, kind: NewsKind, must_name: str, at: int) -> None:
    each = [(200, attributes()), (200, LIST)]
    each[at - 1 :] = [(status, b'{"code":"x","message":"y"}')]
    result, _ = check(*each, list_id=12)
    assert result.news.kind is kind
    assert must_name in str(result.news.sentence)


@pytest.mark.parametrize("at", [1, 2])
@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b"<html>Welcome</html>"),
        (200, b""),
        (200, b"{}"),
        (200, b"[]"),
        (200, b'{"attributes":{}}'),
        (200, b'{"id":12}'),
        (200, b'{"id":"12","name":"x"}'),
        (201, b'{"id":1}'),
        (204, b""),
    ],
)
def test_a_success_that_answers_another_question_is_none(status: int, body: bytes, at: int) -> None:
    each = [(200, attributes()), (200, LIST)]
    each[at - 1 :] = [(status, body)]
    result, _ = check(*each, list_id=12)
    assert result.news.kind is NewsKind.UNAVAILABLE
    assert "no usable answer" in str(result.news.sentence)


@pytest.mark.parametrize("name", list(ATTRIBUTES))
def test_an_attribute_that_the_account_lacks_is_warned_of_and_stops_nothing(name: str) -> None:
    result, _ = check((200, attributes(**{name: None})))
    assert result.news == WELL
    (warning,) = result.warnings
    assert f"Brevo has no attribute {name} (" in warning
    assert ATTRIBUTES_PAGE in warning


@pytest.mark.parametrize("name", [name for name, one in ATTRIBUTES.items() if not one.built_in])
def test_an_attribute_of_the_wrong_type_is_warned_of(name: str) -> None:
    result, _ = check((200, attributes(**{name: "date"})))
    (warning,) = result.warnings
    assert f"Brevo's {name} is date, not {TYPES[name]}" in warning


def test_an_attribute_is_known_in_any_case_and_a_category_may_hold_the_kind_of_address() -> None:
    found = json.loads(attributes(EMAIL_TYPE=None))
    for attribute in found["attributes"]:
        attribute["name"] = attribute["name"].lower()
    found["attributes"].append({"name": "EMAIL_TYPE", "category": "category", "enumeration": []})
    result, _ = check((200, json.dumps(found).encode()))
    assert result.warnings == ()


def test_an_attribute_of_transactional_mails_is_not_one_of_contacts() -> None:
    found = json.loads(attributes(PAGE_ID=None))
    found["attributes"].append({"name": "PAGE_ID", "category": "transactional", "type": "text"})
    result, _ = check((200, json.dumps(found).encode()))
    assert ["PAGE_ID" in warning for warning in result.warnings] == [True]


@pytest.mark.parametrize(
    "strange", [None, 7, "x", [], {}, {"name": None, "category": "normal"}, {"name": "SMS", "category": ["normal"]}]
)
def test_an_attribute_that_cannot_be_understood_is_passed_over(strange: Any) -> None:
    found = json.loads(attributes())
    found["attributes"].append(strange)
    result, _ = check((200, json.dumps(found).encode()))
    assert (result.news, result.warnings) == (WELL, ())


def test_a_sandbox_is_known_by_its_header_in_either_answer() -> None:
    named = "X-CRM-Sandbox: x\r\n"
    for each in ([(200, attributes(), named), (200, LIST, named)], [(200, attributes(), named), (404, b"{}", named)]):
        with raw_server(answers(*each)) as server, connected(server.url, list_id=12) as brevo:
            assert brevo.check().sandbox
    with raw_server(answers((401, b"{}", named))) as server, connected(server.url) as brevo:
        assert brevo.check().sandbox


def test_nothing_personal_in_a_lists_or_an_attributes_name_is_shown() -> None:
    person = "ann.lee@example.com"
    result, _ = check(
        (200, attributes(EMAIL_TYPE=f"of {person}")), (200, b'{"id":1,"name":"%s"}' % person.encode()), list_id=1
    )
    assert person not in str(result)


def test_at_least_the_default_rate_stays_below_what_the_account_allows() -> None:
    assert BREVO.account_requests_per_second == 10
