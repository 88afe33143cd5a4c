"""One contact over HTTP: queue it, try it again, ask how it stands."""

from __future__ import annotations

from uuid import uuid4

import pytest

from crm_pipeline.contacts.queue import Queue
from crm_pipeline.contacts.statuses import PAIRS, Meaning
from crm_pipeline.database.engine import Database
from crm_pipeline.model import OutcomeKind
from crm_pipeline_tests.api.conftest import Client
from crm_pipeline_tests.contacts.steps import claim, push
from crm_pipeline_tests.support.contacts import insert, mechanics, pair, sql

BREVO = {"crms": ["brevo"]}
FAILED = {Meaning.WAITING, Meaning.GIVEN_UP}


def at(contact_id: object, what: str) -> str:
    return f"/api/v3/contacts/{contact_id}/{what}"


def test_queueing_a_contact_is_selecting_it(api: Client, database: Database) -> None:
    ann = insert(database, "ann@example.com", "Skipped", None, brevo_processing_error="because")
    said = api.post(at(ann, "queue-sync"), json=BREVO)
    assert (said.status_code, said.json()["contact_id"], said.json()["crms"]) == (200, str(ann), ["brevo"])
    assert said.json()["message"].startswith("Due now for Brevo.")
    assert pair(database, ann) == ("Selected", "Queued")


@pytest.mark.parametrize("path", ["queue-sync", "retry-sync"])
def test_a_contact_that_there_is_not_is_answered_with_404_and_an_unknown_crm_with_400(api: Client, path: str) -> None:
    assert api.post(at(uuid4(), path), json=BREVO).status_code == 404
    assert api.post(at(uuid4(), path), json={"crms": ["nocrm"]}).json()["valid_crms"] == ["brevo"]
    assert api.post(at("no-id", path), json=BREVO).status_code == 422


def test_only_a_contact_whose_last_push_failed_is_tried_again(api: Client, database: Database) -> None:
    for (sync, processing), meaning in PAIRS.items():
        one = insert(database, f"{sync}-{processing}@example.com", sync, processing)
        said = api.post(at(one, "retry-sync"), json=BREVO)
        if meaning in FAILED:
            assert (said.status_code, pair(database, one)) == (200, ("Selected", "Queued"))
        else:
            assert (said.status_code, pair(database, one)) == (409, (sync, processing))
            assert f"(Brevo: {sync} / {processing or 'NULL'})" in said.json()["detail"]


def test_a_contact_tried_again_does_not_wait_any_more_and_its_retries_are_fresh(
    api: Client, database: Database, queue: Queue
) -> None:
    ann = insert(database, "ann@example.com")
    push(queue, ann, kind=OutcomeKind.FAILED, error="because")
    assert mechanics(database, ann).retry_count == 1
    assert api.post(at(ann, "retry-sync"), json=BREVO).status_code == 200
    assert claim(queue, ann).contacts[0].attempt == 1


def test_the_status_tells_statuses_retries_next_try_and_the_last_attempts(
    api: Client, database: Database, queue: Queue
) -> None:
    ann = insert(database, "ann@example.com")
    push(queue, ann, kind=OutcomeKind.FAILED, error="because", http_status=400, code="invalid_parameter")
    said = api.get(at(ann, "sync-status")).json()
    (brevo,) = said["crms"]
    (attempt,) = brevo["attempts"]
    assert (said["contact_id"], said["email"]) == (str(ann), "ann@example.com")
    assert (brevo["state"], brevo["sync_status"], brevo["processing_status"]) == ("waiting", "Queued", "Error")
    assert (brevo["retry_count"], brevo["error"], brevo["synced_at"]) == (1, "because", None)
    assert brevo["next_retry_at"] is not None
    assert "retry-sync" in brevo["what_next"]
    assert (attempt["outcome"], attempt["http_status"], attempt["code"], attempt["applied"]) == (
        "failed",
        400,
        "invalid_parameter",
        "applied",
    )


def test_the_status_of_a_synced_contact_has_its_id_there_the_time_and_the_host(
    api: Client, database: Database, queue: Queue
) -> None:
    ann = insert(database, "ann@example.com")
    push(queue, ann, external_id="7")
    (brevo,) = api.get(at(ann, "sync-status")).json()["crms"]
    assert (brevo["state"], brevo["external_id"], brevo["target"]) == ("synced", "7", "api.example.com")
    assert brevo["synced_at"] is not None


def test_every_pair_of_statuses_has_a_state_and_a_sentence(api: Client, database: Database) -> None:
    for (sync, processing), meaning in PAIRS.items():
        one = insert(database, f"{sync}-{processing}@example.com", sync, processing)
        (brevo,) = api.get(at(one, "sync-status")).json()["crms"]
        assert brevo["state"] == meaning
        assert brevo["what_next"].endswith(".")


def test_a_status_of_the_applications_own_is_unknown(api: Client, database: Database) -> None:
    sql(database, "ALTER TYPE crm_sync_status ADD VALUE 'Parked'")
    ann = insert(database, "ann@example.com", "Parked", None)
    (brevo,) = api.get(at(ann, "sync-status")).json()["crms"]
    assert (brevo["state"], brevo["sync_status"]) == ("unknown", "Parked")


def test_a_contact_being_pushed_is_told_from_one_whose_run_died(api: Client, database: Database, queue: Queue) -> None:
    ann, bob = insert(database, "ann@example.com"), insert(database, "bob@example.com", "Processing", "Processing")
    claim(queue, ann)
    assert api.get(at(ann, "sync-status")).json()["crms"][0]["what_next"] == "It is being pushed."
    assert "died" in api.get(at(bob, "sync-status")).json()["crms"][0]["what_next"]


def test_the_status_of_no_contact_is_404(api: Client) -> None:
    assert api.get(at(uuid4(), "sync-status")).status_code == 404
