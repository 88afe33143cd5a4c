"""Which values go to which attribute: what the account does not keep is not sent, and said once."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError
from sqlalchemy import text

from crm_pipeline.crms.brevo.attributes import Attributes, mapped
from crm_pipeline.crms.brevo.phone import international
from crm_pipeline.crms.brevo.settings import BrevoSettings
from crm_pipeline.database.engine import Database
from crm_pipeline.model import Contact, OutcomeKind
from crm_pipeline.sandbox.account import Account
from crm_pipeline_tests.crms.brevo_account import CREATED, FULL, ID, connected
from crm_pipeline_tests.crms.raw_server import answers, raw_server
from crm_pipeline_tests.support.sandbox import KEY

NO_NUMBERS = (float("nan"), float("inf"), *map(Decimal, ("NaN", "sNaN", "-Infinity", "1E+999999", "1E-999999")))


def account_with(attributes: Attributes, **types: str | None) -> list[str]:
    """Warnings of an account that has all attributes that are sent, but for those given otherwise."""
    all_types = {attribute.name: attribute.fitting[0] for attribute in attributes.sent} | types
    return attributes.found(
        [{"name": name, "category": "normal", "type": kind} for name, kind in all_types.items() if kind]
    )


def further(value: Any, kind: str) -> tuple[Any, list[str]]:
    """What is sent for a further column's value to an attribute of this type, and the notes."""
    attributes = Attributes(BrevoSettings(attributes="EXTRA=extra"))
    assert account_with(attributes, EXTRA=kind) == []
    values, notes = attributes.values(Contact(ID, "a@example.com", further={"extra": value}))
    return values.get("EXTRA"), notes


@pytest.mark.parametrize("name", ["SMS", "LASTNAME", "HAS_GMAIL", "PAGE_ID"])
def test_an_attribute_that_the_account_lacks_is_not_sent_and_all_else_is(name: str) -> None:
    attributes = Attributes(BrevoSettings())
    everything, _ = attributes.values(FULL)
    assert len(account_with(attributes, **{name: None})) == 1
    values, notes = attributes.values(FULL)
    assert values == {other: value for other, value in everything.items() if other != name}
    assert notes == [f"{name} was not sent: Brevo has no such attribute in a type that fits"]


def test_an_attribute_of_another_type_is_not_sent() -> None:
    attributes = Attributes(BrevoSettings())
    (warning,) = account_with(attributes, PAGE_ID="float")
    assert "PAGE_ID is float, not text" in warning
    assert "PAGE_ID" not in attributes.values(FULL)[0]


def test_names_are_settings() -> None:
    settings = BrevoSettings(attribute_first_name="fname", attribute_last_name="LNAME", attribute_page_id="none")
    values, _ = Attributes(settings).values(FULL)
    assert (values["FNAME"], values["LNAME"]) == ("Ann", "van der Lee")
    assert not {"FIRSTNAME", "LASTNAME", "PAGE_ID", "none"} & set(values)


@pytest.mark.parametrize(
    ("value", "kind", "sent"),
    [
        ("Acme ", "text", "Acme"),
        (12, "text", "12"),
        (1.5, "text", "1.5"),
        (1e22, "text", "10000000000000000000000"),
        (Decimal("12345678901234567890"), "text", "12345678901234567890"),
        (Decimal("1234567890123456.1234567890"), "text", "1234567890123456.1234567890"),
        (Decimal("1E-7"), "text", "0.0000001"),
        (Decimal(7), "category", "7"),
        (True, "text", "true"),
        (12, "float", 12),
        (1.5, "float", 1.5),
        (Decimal("12345678901234567890.10"), "float", Decimal("12345678901234567890.10")),
        (False, "boolean", False),
        ("2026-11-25", "date", "2026-11-25"),
        ("2026-11-25T10:00:00+01:00", "date", "2026-11-25"),
        ("2026-11-26T09:00:00+13:00", "date", "2026-11-25"),
        ("2026-11-24T20:00:00.123-05:30", "date", "2026-11-25"),
        ("2026-11-25T23:59:59.999999Z", "date", "2026-11-25"),
        ("2026-11-25T23:30:00", "date", "2026-11-25"),
        ("2026-11-25 and later", "date", "2026-11-25"),
        ("gold", "category", "gold"),
        (["a", "b"], "multiple-choice", ["a", "b"]),
        ("a", "multiple-choice", ["a"]),
    ],
)
def test_a_further_column_is_sent_in_its_attributes_type(value: Any, kind: str, sent: Any) -> None:
    assert further(value, kind) == (sent, [])


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("12", "float"),
        (True, "float"),
        *((value, kind) for value in NO_NUMBERS for kind in ("float", "text", "category")),
        *((value, "float") for value in (Decimal(10) ** 309, 10**309, -(10**309), "NaN", "Infinity")),
        ("yes", "boolean"),
        (1, "boolean"),
        ("soon", "date"),
        (5, "date"),
        ("infinity", "date"),
        ("9999-12-31T20:00:00-05:00", "date"),
        ({"a": 1}, "text"),
        ([1], "multiple-choice"),
        ([float("inf")], "text"),
    ],
)
def test_a_value_that_its_attribute_cannot_keep_is_not_sent_and_noted(value: Any, kind: str) -> None:
    sent, notes = further(value, kind)
    assert sent is None
    assert notes == [f"EXTRA was not sent: its value is no {kind}"]


def test_a_number_travels_with_all_its_digits() -> None:
    numbers = ("12345678901234567890.10", "0.1", "-0.30", "1234567890123456789012345678901234567890", "7")
    for number in numbers:
        with raw_server(answers(CREATED)) as server, connected(server.url, attributes="EXTRA=extra") as brevo:
            brevo.attributes.found([{"name": "EXTRA", "category": "normal", "type": "float"}])
            brevo.push([Contact(ID, "a@example.com", further={"extra": Decimal(number)})])
        assert f'"attributes":{{"EXTRA":{number}}}' in server.requests[0].body.decode()


@pytest.mark.parametrize("value", [*NO_NUMBERS, 10**309, {"a": float("nan")}, [float("inf")], {"a": 1}])
def test_a_value_that_no_request_can_carry_is_noted_for_its_contact_even_before_the_attributes_are_known(
    value: Any,
) -> None:
    with raw_server(answers(CREATED)) as server, connected(server.url, attributes="EXTRA=extra") as brevo:
        contact = Contact(ID, "a@example.com", name="Ann", further={"extra": value})
        assert brevo.reason_not_pushable(contact) is None
        outcome = brevo.push([contact]).outcomes[ID]
    assert outcome.kind is OutcomeKind.SYNCED
    assert outcome.note == "EXTRA was not sent: its value is none that Brevo keeps"
    assert server.requests[0].json["attributes"] == {"FIRSTNAME": "Ann"}


@pytest.mark.parametrize("value", [None, "", "  "])
def test_an_empty_value_is_not_sent_and_not_noted(value: Any) -> None:
    for kind in ("text", "category"):
        assert further(value, kind) == (None, [])


@pytest.mark.parametrize(
    ("number", "region", "expected"),
    [
        ("+33 6 12 34 56 78", None, "+33612345678"),
        ("0033612345678", None, "+33612345678"),
        ("06 12 34 56 78", "FR", "+33612345678"),
        ("06 12 34 56 78", None, None),
        ("(415) 555-2671", "US", "+14155552671"),
        ("+1 415 555 2671 ext. 5", None, None),
        ("12345", "FR", None),
        ("+999123456789", None, None),
        ("call me", "FR", None),
        ("", "FR", None),
        ("00", None, None),
    ],
)
def test_a_phone_number_is_sent_in_its_international_form(
    number: str, region: str | None, expected: str | None
) -> None:
    assert international(number, region) == expected


def test_a_number_without_an_international_form_is_left_out_and_noted_and_the_contact_is_sent(account: Account) -> None:
    with connected(account.url, api_key=KEY) as brevo:
        outcome = brevo.push([Contact(ID, "a@example.com", name="Ann", phone_number="06 12")]).outcomes[ID]
    assert outcome.note == "the phone number was not sent: it has no valid international form"
    kept = account.contact("a@example.com")
    assert kept is not None
    assert kept.attributes == {"FIRSTNAME": "Ann"}


def test_each_change_of_the_mapping_changes_its_stamp() -> None:
    changes: list[dict[str, Any]] = [
        {},
        {"attribute_first_name": "FNAME"},
        {"attribute_last_name": "FNAME"},
        {"attribute_page_id": "none"},
        {"phone_region": "FR"},
        {"phone_region": "DE"},
        {"attributes": "COMPANY=company"},
        {"attributes": "COMPANY=enriched_company"},
        {"attributes": "CITY=company"},
    ]
    stamps = [mapped(BrevoSettings(**change)).stamp for change in changes]
    assert len(set(stamps)) == len(changes)
    assert stamps[0] == ""
    assert mapped(BrevoSettings(list_id=3, api_key="x")).stamp == ""


def test_further_columns_are_read_once_each() -> None:
    assert mapped(BrevoSettings(attributes="A=company, B=company ,C=city,")).columns == ("company", "city")


@pytest.mark.parametrize(
    ("variable", "value", "must_say"),
    [
        ("attribute_first_name", "first name", "must be an attribute's name"),
        ("attribute_phone", "EMAIL", "cannot be EMAIL"),
        ("attribute_last_name", "FIRSTNAME", "names FIRSTNAME, which another value goes to already"),
        ("attributes", "COMPANY", "must be NAME=column pairs"),
        ("attributes", "COMPANY=", "must be NAME=column pairs"),
        ("attributes", "=company", "must be NAME=column pairs"),
        ("attributes", "COMPANY=com pany", "must be NAME=column pairs"),
        ("attributes", "COMPANY=company;DROP", "must be NAME=column pairs"),
        ("attributes", "none=company", "must be NAME=column pairs"),
        ("attributes", "SMS=company", "names the attribute SMS"),
        ("attributes", "A=company,A=city", "names the attribute A"),
        ("attributes", "EMAIL=company", "cannot be EMAIL"),
        ("phone_region", "France", "two-letter code"),
        ("phone_region", "XX", "two-letter code"),
    ],
)
def test_a_mapping_that_cannot_be_is_refused_with_a_sentence(variable: str, value: str, must_say: str) -> None:
    with pytest.raises(ValidationError, match=must_say):
        BrevoSettings(**{variable: value})


def test_setup_creates_what_is_missing_and_nothing_else(account: Account) -> None:
    account.fields.pop("PAGE_ID")
    account.fields.pop("HAS_GMAIL")
    kept = dict(account.fields)
    with connected(account.url, api_key=KEY, attributes="COMPANY=company") as brevo:
        steps = [step.says for step in brevo.setup()]
        assert steps == [
            "Missing attributes: 3",
            *("created: PAGE_ID (text)", "created: HAS_GMAIL (boolean)", "created: COMPANY (text)"),
        ]
        assert brevo.check().warnings == ()
        assert [step.says for step in brevo.setup()] == ["Missing attributes: 0"]
    assert {name: account.fields[name] for name in kept} == kept


def test_a_timestamp_in_json_is_a_day() -> None:
    assert further(datetime(2026, 11, 25, tzinfo=UTC).isoformat(), "date") == ("2026-11-25", [])


@pytest.mark.parametrize("zone", ["UTC", "Pacific/Auckland", "America/Los_Angeles", "Asia/Kolkata"])
@pytest.mark.parametrize("written", ["2026-11-25 20:00+00", "2026-11-25 00:00+00", "1880-11-25 12:00+00"])
def test_the_day_of_a_timestamp_is_the_same_whatever_the_databases_time_zone(
    database: Database, zone: str, written: str
) -> None:
    def as_a_column(connection: Any) -> Any:
        connection.execute(text(f"SET LOCAL TimeZone = '{zone}'"))
        return connection.execute(text(f"SELECT to_json(timestamptz '{written}')")).scalar_one()

    assert further(database.run(as_a_column), "date") == (written[:10], [])
