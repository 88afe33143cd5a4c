"""Whatever is sent, the sandbox answers as Brevo might, and never stumbles itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crm_pipeline.sandbox.account import Account
from crm_pipeline.sandbox.server import SandboxServer

KEY = "any-key"
TEXTS = ("ann@example.com", "bob@example.com", "", " ", "x", "+33612345678", "Ann@example.com", "a;b\nc", "1", "\ud83d")
NAMES = ("FIRSTNAME", "SMS", "WHATSAPP", "HAS_GMAIL", "EMAIL", "NONE", "SIZE", "TOPICS", "DAY", "sms")
FIELDS = (
    "email", "ext_id", "attributes", "listIds", "unlinkListIds", "updateEnabled", "emailBlacklisted", "smsBlacklisted",
    "smtpBlacklistSender", "forceMerge", "getId", "emails", "ids", "extIds", "all", "contacts", "id", "sms", "name",
    "folderId", "jsonBody", "fileBody", "fileUrl", "newList", "listName", "emptyContactsAttributes", "type",
    "enumeration", "multiCategoryOptions", "value", "label", "updateExistingContacts",
)  # fmt: skip
CALLS = (
    "POST /contacts", "PUT /contacts/1", "DELETE /contacts/2", "POST /contacts/batch", "POST /contacts/import",
    "POST /contacts/lists", "PUT /contacts/lists/1", "POST /contacts/lists/1/contacts/add",
    "POST /contacts/lists/1/contacts/remove", "POST /contacts/folders", "PUT /contacts/folders/1",
    "POST /contacts/attributes/normal/A", "POST /contacts/attributes/category/B", "PUT /contacts/attributes/normal/A",
    "PUT /contacts/attributes/category/SIZE", "PUT /contacts/attributes/normal/TOPICS",
)  # fmt: skip
KINDS = ("email_id", "contact_id", "ext_id", "phone_id")
scalars = st.one_of(
    st.none(), st.booleans(), st.integers(-1, 3), st.floats(-1, 2), st.just(10**30), st.sampled_from(TEXTS)
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(FIELDS + NAMES), inner, max_size=4),
    ),
    max_leaves=6,
)
bodies = st.one_of(
    st.dictionaries(st.sampled_from(FIELDS), values, max_size=4),
    st.fixed_dictionaries(
        {"email": st.sampled_from(TEXTS), "attributes": st.dictionaries(st.sampled_from(NAMES), values, max_size=4)},
        optional={"updateEnabled": st.booleans(), "forceMerge": st.booleans(), "ext_id": st.sampled_from(TEXTS)},
    ),
    values,
)


@pytest.fixture(scope="module")
def alive() -> Iterator[Account]:
    """An account with an attribute of each kind, and with all that can be switched on."""
    with SandboxServer(api_key=KEY) as server:
        account = server.account("brevo")
        account.switches.batch, account.switches.import_seconds = "alive", 0.0
        account.add_field("SIZE", {"name": "SIZE", "category": "category", "enumeration": [{"value": 1, "label": "S"}]})
        topics = {"name": "TOPICS", "category": "normal", "type": "multiple-choice", "multiCategoryOptions": ["x"]}
        account.add_field("TOPICS", topics)
        account.add_field("DAY", {"name": "DAY", "category": "normal", "type": "date"})
        yield account


def ask(account: Account, method: str, path: str, json: Any = None) -> requests.Response:
    return requests.request(method, account.url + path, json=json, headers={"api-key": KEY}, timeout=10)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(call=st.sampled_from(CALLS), body=bodies)
def test_no_body_makes_it_stumble(alive: Account, call: str, body: Any) -> None:
    answer = ask(alive, *call.split(" "), json=body)
    assert answer.status_code < 500, answer.text
    if answer.status_code >= 400:
        assert {"code", "message"} <= set(answer.json())
    contacts = alive.contacts()
    assert len({contact.id for contact in contacts}) == len(contacts)
    owned = [pair for contact in contacts for pair in contact.identifiers.items()]
    assert len(set(owned)) == len(owned), "no identifier is two contacts'"
    page = ask(alive, "GET", "/contacts?limit=1000").json()
    assert page["count"] == len(contacts), "whatever is kept can be read"
    last = ask(alive, "GET", "/processes?limit=1").json()["processes"]
    assert all(process["status"] != "failed" for process in last)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    path=st.sampled_from(["/contacts/{}", "/contacts/lists/{}", "/contacts/folders/{}", "/processes/{}"]),
    name=st.one_of(st.sampled_from(TEXTS[:-1]), st.text(st.characters(exclude_categories=["Cs"]), max_size=5)),
    query=st.dictionaries(
        st.sampled_from(["identifierType", "limit", "offset", "sort", "ids", "listIds", "modifiedSince", "filter"]),
        st.one_of(st.sampled_from([*TEXTS[:-1], *KINDS, "equals(SMS,1)", "equals(TOPICS,x)"]), st.text(max_size=4)),
        max_size=3,
    ),
)  # fmt: skip
def test_no_path_and_no_query_makes_it_stumble(alive: Account, path: str, name: str, query: dict[str, str]) -> None:
    for concrete in (path.format(quote(name, safe="")), "/contacts"):
        answer = requests.get(
            alive.url + concrete,
            params={key: value.encode("utf-8", "replace") for key, value in query.items()},
            headers={"api-key": KEY},
            timeout=10,
        )
        assert answer.status_code < 500, answer.text
