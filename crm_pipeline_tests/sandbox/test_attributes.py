"""Attributes of every category and type, and which values they keep."""

from __future__ import annotations

from typing import Any

import pytest

from crm_pipeline.sandbox.account import Account
from crm_pipeline_tests.sandbox.asking import Ask, refusal, upsert

SIZE = {"enumeration": [{"value": 1, "label": "Small"}, {"value": "xl", "label": "Large"}]}
TOPICS = {"type": "multiple-choice", "multiCategoryOptions": ["Cats", "Dogs"]}


def described(ask: Ask, name: str) -> dict[str, Any] | None:
    every = ask("GET", "/contacts/attributes").json()["attributes"]
    return next((field for field in every if field["name"] == name), None)


@pytest.mark.parametrize(
    ("attribute", "definition", "shown"),
    [
        ("normal/A", {"type": "text"}, {"category": "normal", "type": "text"}),
        ("normal/A", {"type": "user"}, {"category": "normal", "type": "user"}),
        ("normal/A", {"type": "date"}, {"category": "normal", "type": "date"}),
        ("normal/A", TOPICS, {"category": "normal", **TOPICS}),
        ("transactional/A", {"type": "id"}, {"category": "transactional", "type": "id"}),
        ("transactional/A", {"type": "float"}, {"category": "transactional", "type": "float"}),
        ("calculated/A", {"value": "COUNT[B]"}, {"category": "calculated", "calculatedValue": "COUNT[B]"}),
        ("global/A", {"value": "SUM[A]"}, {"category": "global", "calculatedValue": "SUM[A]"}),
        (
            "category/A",
            {"type": "category", **SIZE},
            {
                "category": "category",
                "enumeration": [
                    {"value": 1, "valueStr": "1", "label": "Small"},
                    {"value": 0, "valueStr": "xl", "label": "Large"},
                ],
            },
        ),
    ],
)  # fmt: skip
def test_an_attribute_of_each_category_is_created_and_deleted(
    ask: Ask, attribute: str, definition: dict[str, Any], shown: dict[str, Any]
) -> None:
    answer = ask("POST", f"/contacts/attributes/{attribute}", definition)
    assert (answer.status_code, answer.content) == (201, b"")
    assert described(ask, "A") == {"name": "A", **shown}
    assert refusal(ask("POST", f"/contacts/attributes/{attribute}", definition))[0] == 400, "it exists"
    assert ask("DELETE", f"/contacts/attributes/{attribute}").status_code == 204
    assert described(ask, "A") is None
    assert refusal(ask("DELETE", f"/contacts/attributes/{attribute}"))[:2] == (404, "document_not_found")


@pytest.mark.parametrize(
    ("attribute", "definition"),
    [
        ("normal/A", {"type": "id"}),
        ("transactional/A", {"type": "user"}),
        ("transactional/A", TOPICS),
        ("transactional/A", {"type": "category"}),
        ("category/A", {"type": "text", **SIZE}),
        ("category/A", {}),
        ("category/A", {"enumeration": [{"value": 1, "label": "x" * 201}]}),
        ("normal/A", {"type": "multiple-choice", "multiCategoryOptions": ["x" * 201]}),
        ("calculated/A", {}),
        ("global/A", {"value": ""}),
        ("normal/A%20B", {"type": "text"}),
    ],
)
def test_a_definition_that_does_not_fit_its_category_is_refused(
    ask: Ask, account: Account, attribute: str, definition: dict[str, Any]
) -> None:
    before = dict(account.fields)
    assert ask("POST", f"/contacts/attributes/{attribute}", definition).status_code == 400
    assert account.fields == before


def test_options_are_added_and_deleted(ask: Ask, account: Account) -> None:
    ask("POST", "/contacts/attributes/normal/TOPICS", TOPICS)
    assert ask("PUT", "/contacts/attributes/normal/TOPICS", {"multiCategoryOptions": ["Birds"]}).status_code == 204
    assert account.fields["TOPICS"]["multiCategoryOptions"] == ["Cats", "Dogs", "Birds"]
    assert ask("DELETE", "/contacts/attributes/multiple-choice/TOPICS/Cats").status_code == 204
    assert account.fields["TOPICS"]["multiCategoryOptions"] == ["Dogs", "Birds"]
    for path in ("TOPICS/Cats", "FIRSTNAME/Cats", "NONE/Cats"):
        assert ask("DELETE", f"/contacts/attributes/multiple-choice/{path}").status_code == 404
    upsert(ask, "ann@example.com", TOPICS=["Cats", "Birds"])
    upsert(ask, "bob@example.com", TOPICS=["Birds"])
    assert [contact.attributes for contact in account.contacts()] == [{"TOPICS": ["Birds"]}, {}]


def test_values_and_formulas_change_and_types_do_not(ask: Ask, account: Account) -> None:
    ask("POST", "/contacts/attributes/category/SIZE", SIZE)
    ask("POST", "/contacts/attributes/global/SUM", {"value": "SUM[A]"})
    larger = {"enumeration": [{"value": 3, "label": "Huge"}]}
    assert ask("PUT", "/contacts/attributes/category/SIZE", larger).status_code == 204
    assert account.fields["SIZE"]["enumeration"] == larger["enumeration"]
    assert ask("PUT", "/contacts/attributes/global/SUM", {"value": "SUM[B]"}).status_code == 204
    assert account.fields["SUM"]["calculatedValue"] == "SUM[B]"
    assert refusal(ask("PUT", "/contacts/attributes/normal/FIRSTNAME", {"type": "float"}))[0] == 400
    assert account.fields["FIRSTNAME"]["type"] == "text"
    assert ask("PUT", "/contacts/attributes/normal/SIZE", larger).status_code == 404, "of another category"
    assert ask("PUT", "/contacts/attributes/shape/SIZE", larger).status_code == 400


def test_a_deleted_attribute_takes_its_values_along(ask: Ask, account: Account) -> None:
    upsert(ask, "ann@example.com", FIRSTNAME="Ann", SMS="33612345678")
    for name in ("FIRSTNAME", "SMS"):
        assert ask("DELETE", f"/contacts/attributes/normal/{name}").status_code == 204
    (contact,) = account.contacts()
    assert (contact.attributes, dict(contact.identifiers)) == ({}, {"email": "ann@example.com"})


@pytest.mark.parametrize(
    ("attribute", "definition", "kept", "dropped"),
    [
        ("normal/A", {"type": "text"}, ["x", 1, 1.5], [True, ["x"], {"x": 1}]),
        ("normal/A", {"type": "float"}, [1, 1.5, -2], ["1", True, [1]]),
        ("normal/A", {"type": "boolean"}, [True, False], ["true", 1, 0]),
        ("normal/A", {"type": "date"}, ["2026-11-25"], ["25.11.2026", "yesterday", 20261125, True]),
        ("normal/A", TOPICS, [["Cats"], ["Cats", "Dogs"]], ["Cats", ["Birds"], [1]]),
        ("category/A", SIZE, [1, "1", "Small", "xl", "Large"], [2, "Medium", True]),
        ("transactional/A", {"type": "id"}, ["order-1", 1], [True]),
        ("calculated/A", {"value": "SUM[A]"}, [], [1, "x"]),
    ],
)
def test_a_value_of_the_wrong_type_is_dropped_behind_a_success(
    ask: Ask, account: Account, attribute: str, definition: dict[str, Any], kept: list[Any], dropped: list[Any]
) -> None:
    ask("POST", f"/contacts/attributes/{attribute}", definition)
    for number, value in enumerate([*kept, *dropped]):
        address = f"person-{number}@example.com"
        assert upsert(ask, address, A=value, FIRSTNAME="Ann").status_code == 201
        contact = account.contact(address)
        assert contact is not None
        assert contact.attributes == {"FIRSTNAME": "Ann"} | ({"A": value} if number < len(kept) else {}), value
