"""An independent judge: Brevo's own Python SDK gets from the sandbox what it gets from Brevo.

Errors reach the SDK's callers as exceptions of its own, answers as its own models; each is read field by field here,
since the SDK itself lets through whatever it cannot read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import httpx
import pytest
from brevo import Brevo
from brevo.contacts import AddContactToListRequestBodyEmails, ImportContactsRequestJsonBodyItem
from brevo.core.api_error import ApiError
from brevo.errors import BadRequestError, NotFoundError, TooEarlyError

from crm_pipeline.crms.registry import CRMS
from crm_pipeline.model import Contact, OutcomeKind
from crm_pipeline.sandbox.account import Account
from crm_pipeline.sandbox.mishaps import Shares
from crm_pipeline.settings import Settings
from crm_pipeline_tests.push.pushing import eventually
from crm_pipeline_tests.support.sandbox import KEY

ADDRESS = "ann+1@example.com"


@contextmanager
def client(account: Account, key: str = KEY, retries: int = 0) -> Iterator[Brevo]:
    """Without retries of its own as a rule: they would hide what the sandbox answers."""
    with httpx.Client(timeout=10, trust_env=False) as http:
        yield Brevo(api_key=key, base_url=account.url, max_retries=retries, httpx_client=http)


@pytest.fixture
def sdk(account: Account) -> Iterator[Brevo]:
    with client(account) as sdk:
        yield sdk


def understood(answer: Any) -> bool:
    """Whether an answer has all that the SDK's model asks for, in its types, and nothing that it does not know.

    (The SDK alone would take anything.)
    """
    type(answer).model_validate(answer.model_dump(by_alias=True))
    return not answer.model_extra


def test_a_contact_is_created_updated_read_and_deleted(sdk: Brevo) -> None:
    created = sdk.contacts.create_contact(email=ADDRESS, attributes={"FIRSTNAME": "Ann"}, list_ids=[3])
    assert created is not None
    assert created.id == 1
    update = {"LASTNAME": "Lee", "HAS_GMAIL": True}
    assert sdk.contacts.create_contact(email=ADDRESS, attributes=update, update_enabled=True) is None
    sdk.contacts.update_contact(ADDRESS, identifier_type="email_id", attributes={"SMS": "+33612345678"}, list_ids=[4])
    for identifier, kind in ((ADDRESS, "email_id"), (1, "contact_id"), ("33612345678", "phone_id")):
        read = sdk.contacts.get_contact_info(identifier, identifier_type=kind)
        assert (read.id, read.email, read.list_ids) == (1, ADDRESS, [3, 4])
        assert (read.email_blacklisted, read.sms_blacklisted, read.whatsapp_blacklisted) == (False, False, False)
        wanted = {"FIRSTNAME": "Ann", "LASTNAME": "Lee", "HAS_GMAIL": True, "SMS": "33612345678"}
        assert read.attributes.model_dump() == wanted
        assert understood(read)
        assert read.created_at <= read.modified_at
    sdk.contacts.delete_contact(ADDRESS)
    with pytest.raises(NotFoundError) as refused:
        sdk.contacts.get_contact_info(ADDRESS)
    assert refused.value.body == {"code": "document_not_found", "message": "Contact does not exist"}


def test_contacts_are_listed(sdk: Brevo) -> None:
    for number in range(3):
        sdk.contacts.create_contact(email=f"person-{number}@example.com", list_ids=[number + 1])
    page = sdk.contacts.get_contacts(limit=2, sort="asc")
    assert (page.count, [contact.email for contact in page.contacts]) == (
        3,
        ["person-0@example.com", "person-1@example.com"],
    )
    assert [contact.id for contact in sdk.contacts.get_contacts(list_ids=[2, 3], ids=[1, 2]).contacts] == [2]
    since = page.contacts[0].created_at
    assert sdk.contacts.get_contacts(created_since=since, modified_since=since).count == 3
    assert all(understood(contact) for contact in page.contacts)


def test_attributes_are_listed_and_made(sdk: Brevo) -> None:
    sdk.contacts.create_attribute("normal", "SCORE", type="float")
    sdk.contacts.create_attribute("category", "SIZE", enumeration=[{"value": 1, "label": "Small"}])  # type: ignore[list-item]
    sdk.contacts.create_attribute("normal", "TOPICS", type="multiple-choice", multi_category_options=["Cats"])
    sdk.contacts.update_attribute("normal", "TOPICS", multi_category_options=["Dogs"])
    sdk.contacts.delete_multi_attribute_options("TOPICS", "Cats")
    found = {attribute.name: attribute for attribute in sdk.contacts.get_attributes().attributes}
    assert (found["SCORE"].category, found["SCORE"].type) == ("normal", "float")
    assert found["SIZE"].enumeration is not None
    (small,) = found["SIZE"].enumeration
    assert (small.value, small.value_str, small.label, found["SIZE"].type) == (1, "1", "Small", None)
    assert found["TOPICS"].multi_category_options == ["Dogs"]
    assert all(understood(attribute) for attribute in found.values())
    sdk.contacts.delete_attribute("normal", "SCORE")
    with pytest.raises(NotFoundError):
        sdk.contacts.delete_attribute("normal", "SCORE")


def test_lists_and_folders_are_read_and_made(sdk: Brevo) -> None:
    folder = sdk.contacts.create_folder(name="Trial")
    made = sdk.contacts.create_list(folder_id=folder.id, name="Guests")
    sdk.contacts.create_contact(email=ADDRESS)
    added = sdk.contacts.add_contact_to_list(
        made.id, request=AddContactToListRequestBodyEmails(emails=[ADDRESS, "x@example.com"])
    )
    assert (added.contacts.success, added.contacts.failure) == ([ADDRESS], ["x@example.com"])
    one = sdk.contacts.get_list(made.id)
    assert (one.name, one.folder_id, one.unique_subscribers, one.total_subscribers) == ("Guests", folder.id, 1, 0)
    assert understood(one)
    lists = sdk.contacts.get_lists(limit=50)
    assert lists.lists is not None
    assert (lists.count, lists.lists[0].id) == (51, made.id)
    assert understood(lists)
    assert understood(lists.lists[0])
    folders = sdk.contacts.get_folders()
    assert folders.folders is not None
    assert [one.name for one in folders.folders] == ["Trial", "Your First Folder"]
    assert [contact.email for contact in sdk.contacts.get_contacts_from_list(made.id).contacts] == [ADDRESS]
    sdk.contacts.update_list(made.id, name="Friends")
    sdk.contacts.delete_list(made.id)
    sdk.contacts.delete_folder(folder.id)
    with pytest.raises(NotFoundError):
        sdk.contacts.get_list(made.id)


def test_an_import_is_followed_by_its_process(sdk: Brevo, account: Account) -> None:
    account.switches.import_seconds = 0.1
    rows = [ImportContactsRequestJsonBodyItem(email=ADDRESS), ImportContactsRequestJsonBodyItem(email="none")]
    number = sdk.contacts.import_contacts(json_body=rows, list_ids=[3]).process_id
    eventually(lambda: sdk.process.get_process(number).status == "completed")
    process = sdk.process.get_process(number)
    assert process.name == "IMPORTUSER"
    assert understood(process)
    assert process.info is not None
    assert process.info.import_ is not None
    assert process.info.import_.invalid_emails is not None
    assert process.info.import_.duplicate_ext_id is None
    assert understood(process.info.import_)


def test_the_account_is_described(sdk: Brevo) -> None:
    described = sdk.account.get_account()
    assert (described.email, described.plan[0].type, described.relay.enabled) == ("owner@example.com", "free", True)
    assert understood(described)
    assert understood(described.plan[0])
    assert understood(described.relay)


BAD: list[tuple[str, Callable[[Brevo], Any]]] = [
    ("duplicate_parameter", lambda sdk: sdk.contacts.create_contact(email=ADDRESS)),
    ("invalid_parameter", lambda sdk: sdk.contacts.create_contact(email="none")),
    ("missing_parameter", lambda sdk: sdk.contacts.create_contact(update_enabled=True)),
    ("invalid_parameter", lambda sdk: sdk.contacts.create_contact(email="a@example.com", list_ids=[99])),
    ("out_of_range", lambda sdk: sdk.contacts.get_contacts(limit=1001)),
    ("invalid_parameter", lambda sdk: sdk.contacts.create_attribute("normal", "A", type="id")),
]


@pytest.mark.parametrize(("code", "ask"), BAD, ids=lambda part: part if isinstance(part, str) else "")
def test_a_refusal_is_the_sdks_bad_request(sdk: Brevo, code: str, ask: Callable[[Brevo], Any]) -> None:
    sdk.contacts.create_contact(email=ADDRESS)
    with pytest.raises(BadRequestError) as refused:
        ask(sdk)
    assert refused.value.body["code"] == code
    assert refused.value.headers is not None
    assert refused.value.headers["sib-request-id"]
    if code == "duplicate_parameter":
        assert refused.value.body["metadata"] == {"duplicate_identifiers": ["email"]}


def test_a_wrong_key_is_unauthorized(account: Account) -> None:
    with client(account, "xkeysib-wrong") as wrong:
        for ask in (wrong.contacts.get_attributes, wrong.account.get_account, lambda: wrong.contacts.get_list(1)):
            with pytest.raises(ApiError) as refused:
                ask()
            assert refused.value.status_code == 401
            assert refused.value.body == {"code": "unauthorized", "message": "Key not found"}


def test_a_429_says_when_to_go_on(sdk: Brevo, account: Account) -> None:
    account.quota.per_second = 0
    with pytest.raises(ApiError) as refused:
        sdk.contacts.create_contact(email=ADDRESS)
    assert refused.value.status_code == 429
    assert refused.value.headers is not None
    assert refused.value.headers["x-sib-ratelimit-reset"] == "1"


def test_a_429_is_retried_by_the_sdk_as_by_anyone(account: Account) -> None:
    account.faults.shares = Shares(throttled=0.5)
    account.switches.retry_after = "present"
    with client(account, retries=2) as patient:
        patient.contacts.create_contact(email=ADDRESS)
        assert patient.contacts.create_contact(email=ADDRESS, update_enabled=True) is None
    assert [record.status for record in account.record.last(3)] == [204, 429, 201]


def test_a_write_at_the_same_time_is_too_early(sdk: Brevo, account: Account) -> None:
    account.switches.too_early = "on"
    account.faults.answer = lambda _: (425, {"code": "account_in_process", "message": "Too early"})
    with pytest.raises(TooEarlyError):
        sdk.contacts.create_contact(email=ADDRESS)


def test_a_server_error_is_one(sdk: Brevo, account: Account) -> None:
    account.faults.shares = Shares(failed=1.0)
    with pytest.raises(ApiError) as refused:
        sdk.contacts.get_attributes()
    assert refused.value.status_code == 500


def test_what_our_connector_pushed_the_sdk_finds(sdk: Brevo, account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = CRMS["brevo"]
    for name, value in ((spec.key_variable, KEY), (spec.base_url_variable, account.url), ("BREVO_LIST_ID", "30")):
        monkeypatch.setenv(name, value)
    crm = spec.connect(Settings.load().crm("brevo").credentials, 2)
    source = "https://example.com/?a=1&b=ü"
    people = [
        Contact(uuid4(), ADDRESS, name="Ann van Lee", phone_number="+33612345678", email_type="CORPORATE",
                has_gmail=False, source_url=source),
        Contact(uuid4(), "Bob@Example.com", name="عمر 😀"),
    ]  # fmt: skip
    try:
        for contact in people:
            (outcome,) = crm.push([contact]).outcomes.values()
            assert outcome.kind is OutcomeKind.SYNCED
    finally:
        crm.close()
    ann = sdk.contacts.get_contact_info(ADDRESS)
    assert ann.attributes.model_dump() == {
        "FIRSTNAME": "Ann", "LASTNAME": "van Lee", "SMS": "33612345678", "EMAIL_TYPE": "CORPORATE",
        "HAS_GMAIL": False, "SOURCE_URL": source,
    }  # fmt: skip
    assert ann.list_ids == [30]
    bob = sdk.contacts.get_contact_info("bob@example.com")
    assert bob.attributes.model_dump() == {"FIRSTNAME": "عمر", "LASTNAME": "😀"}
    assert sdk.contacts.get_contacts_from_list(30).count == 2
