"""Selecting and unselecting over HTTP."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import pytest

from crm_pipeline.contacts.queue import Queue
from crm_pipeline.contacts.statuses import PAIRS
from crm_pipeline.database.engine import Database
from crm_pipeline_tests.api.conftest import Client
from crm_pipeline_tests.contacts.steps import answer, claim, next_run
from crm_pipeline_tests.support.contacts import contact, insert, insert_many, pair, pairs, sql

PATH = "/api/v3/contacts/crm/select"


def body(*ids: UUID, action: str = "select", crms: tuple[str, ...] = ("brevo",)) -> dict[str, Any]:
    return {"contact_ids": [str(an_id) for an_id in ids], "crms": list(crms), "action": action}


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_contacts_are_selected_by_post_and_by_put(api: Client, database: Database, method: str) -> None:
    ann = insert(database, "ann@example.com", "New", None)
    said = api.request(method, PATH, json=body(ann))
    assert (said.status_code, said.json()) == (
        200,
        {
            "updated_count": 1,
            "queued_count": 1,
            "crms": ["brevo"],
            "action": "select",
            "message": "Selected 1 contact for Brevo. "
            "Brevo is off until BREVO_API_KEY is set: contacts wait till then.",
        },
    )
    assert pair(database, ann) == ("Selected", "Queued")


def test_any_pair_of_statuses_is_selected_as_by_the_command_and_unselected_again(
    api: Client, database: Database
) -> None:
    ids = [
        insert(database, f"{sync}-{processing}@example.com", sync, processing, brevo_processing_error="because")
        for sync, processing in PAIRS
    ]
    assert api.post(PATH, json=body(*ids)).json()["queued_count"] == len(PAIRS)
    assert pairs(database) == {"Selected/Queued": len(PAIRS)}
    assert sql(database, "SELECT 1 FROM contacts WHERE brevo_processing_error IS NOT NULL") == []
    said = api.post(PATH, json=body(*ids, action="unselect")).json()
    assert (said["updated_count"], said["queued_count"]) == (len(PAIRS), 0)
    assert said["message"] == f"Unselected {len(PAIRS)} contacts for Brevo."
    assert pairs(database) == {"New/NULL": len(PAIRS)}


def test_an_id_that_is_named_twice_counts_once_and_one_without_a_contact_is_passed_over(
    api: Client, database: Database
) -> None:
    ann = insert(database, "ann@example.com", "New", None)
    said = api.post(PATH, json=body(ann, uuid4(), ann, crms=("brevo", "brevo"))).json()
    assert (said["updated_count"], said["queued_count"], said["crms"]) == (1, 1, ["brevo"])
    assert "1 of the ids has no contact." in said["message"]


def test_when_no_id_has_a_contact_the_answer_is_404(api: Client) -> None:
    said = api.post(PATH, json=body(uuid4()))
    assert (said.status_code, said.json()["detail"]) == (404, "No contact has any of these ids.")
    assert said.headers["content-type"] == "application/problem+json"


def test_an_unknown_crm_is_answered_with_400_and_those_there_are_and_nothing_is_changed(
    api: Client, database: Database
) -> None:
    ann = insert(database, "ann@example.com", "New", None)
    said = api.post(PATH, json=body(ann, crms=("brevo", "nocrm")))
    assert (said.status_code, said.json()["valid_crms"]) == (400, ["brevo"])
    assert "There are: brevo." in said.json()["detail"]
    assert pair(database, ann) == ("New", None)


def test_what_does_not_fit_is_named_and_not_repeated(api: Client) -> None:
    changes: list[tuple[dict[str, Any], list[Any]]] = [
        ({"contact_ids": ["not-an-id"]}, ["body", "contact_ids", 0]),
        ({"contact_ids": []}, ["body", "contact_ids"]),
        ({"crms": []}, ["body", "crms"]),
        ({"action": "delete"}, ["body", "action"]),
        ({"dry_run": True}, ["body", "dry_run"]),
    ]
    for change, where in changes:
        said = api.post(PATH, json=body(uuid4()) | change)
        assert said.status_code == 422
        (part,) = said.json()["detail"]
        assert part["loc"] == where
        assert set(part) == {"loc", "msg", "type"}
        assert "not-an-id" not in said.text


def test_of_many_things_that_do_not_fit_the_first_20_are_named(api: Client) -> None:
    said = api.post(PATH, json=body(uuid4()) | {"contact_ids": ["x"] * 100})
    assert (said.status_code, len(said.json()["detail"])) == (422, 20)


def test_ten_thousand_contacts_are_selected_by_one_statement_and_one_more_is_refused(
    api: Client, database: Database
) -> None:
    insert_many(database, 10_000)
    sql(database, "UPDATE contacts SET brevo_sync_status = 'New', brevo_processing_status = NULL")
    ids = [row.id for row in sql(database, "SELECT id FROM contacts")]
    said = api.post(PATH, json=body(*ids)).json()
    assert (said["updated_count"], said["queued_count"]) == (10_000, 10_000)
    assert pairs(database) == {"Selected/Queued": 10_000}
    assert len(sql(database, "SELECT DISTINCT xmin::text FROM contacts")) == 1, "one transaction"
    assert api.post(PATH, json=body(*ids, uuid4())).status_code == 422


def test_a_selection_that_fails_changes_no_contact(api: Client, database: Database) -> None:
    ids = [insert(database, f"{n}@example.com", "New", None) for n in range(20)]
    sql(
        database,
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
        "$$BEGIN IF NEW.email = '19@example.com' THEN RAISE 'not this one'; END IF; RETURN NEW; END$$",
    )
    sql(database, "CREATE TRIGGER refuse BEFORE UPDATE ON contacts FOR EACH ROW EXECUTE FUNCTION refuse()")
    said = api.post(PATH, json=body(*ids))
    assert said.status_code == 503
    assert "the function refuse raised an exception" in said.json()["detail"]
    assert pairs(database) == {"New/NULL": 20}


def test_a_contact_selected_during_its_push_is_pushed_once_more(api: Client, database: Database, queue: Queue) -> None:
    ann = insert(database, "ann@example.com")
    batch = claim(queue, ann)
    assert api.post(PATH, json=body(ann)).json()["queued_count"] == 1
    answer(queue, batch, external_id="7")
    assert queue.write_back(batch.lease_id).overruled == 1
    assert contact(database, ann).brevo_contact_id == "7"
    assert next_run(queue) == [ann]
