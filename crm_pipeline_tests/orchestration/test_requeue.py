"""`brevo_requeue` from the Launchpad: one way of choosing, a dry run first, nobody who opted out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from dagster import DagsterInstance, Definitions, ExecuteInProcessResult

from crm_pipeline.contacts.queue import AT_ONCE
from crm_pipeline.database.engine import Database
from crm_pipeline.sandbox.account import Account
from crm_pipeline.wiring import Pipeline
from crm_pipeline_tests.support.contacts import contact, insert, pair, pairs, sql

Requeue = Callable[..., ExecuteInProcessResult]


@pytest.fixture
def requeue(defs: Definitions, instance: DagsterInstance) -> Requeue:
    """Run the job in this process with these fields of its config filled in; the others as the Launchpad has them."""

    def run(**fields: Any) -> ExecuteInProcessResult:
        job = defs.resolve_job_def("brevo_requeue")
        config = {"ops": {"requeue_contacts": {"config": fields}}}
        return job.execute_in_process(run_config=config, instance=instance, raise_on_error=False)

    return run


def failure(result: ExecuteInProcessResult) -> str:
    data = result.failure_data_for_node("requeue_contacts")
    assert data is not None
    assert data.user_failure_data is not None
    return str(data.user_failure_data.description)


def shown(result: ExecuteInProcessResult) -> dict[str, Any]:
    """The step's metadata."""
    assert result.success
    (event,) = (event for event in result.events_for_node("requeue_contacts") if event.is_successful_output)
    return {name: value.value for name, value in event.step_output_data.metadata.items()}


def given_up(database: Database, email: str, error: str = "no") -> Any:
    return insert(database, email, "Error", "Error", brevo_processing_error=error)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({}, "Nobody is chosen"),
        ({"emails": [" ", ""], "error_contains": "  "}, "Nobody is chosen"),
        ({"emails": ["ann@example.com"], "all_given_up": True}, "More than one way"),
        ({"ids": [str(uuid4())], "emails": ["ann@example.com"]}, "More than one way"),
        ({"all_given_up": True, "error_contains": "no"}, "More than one way"),
    ],
)
def test_anything_but_one_way_of_choosing_is_refused_and_says_what_to_fill_in(
    database: Database, requeue: Requeue, fields: dict[str, Any], says: str
) -> None:
    ann = given_up(database, "ann@example.com")
    said = failure(requeue(dry_run=False, **fields))
    assert says in said
    assert "exactly one of emails, ids, all_given_up or error_contains" in said
    assert pair(database, ann) == ("Error", "Error")


def test_a_dry_run_is_the_default_and_shows_whom_it_means_and_changes_nothing(
    database: Database, requeue: Requeue
) -> None:
    ann = given_up(database, "ann.lee@example.com", "Invalid address bob@example.com")
    insert(database, "new@example.com", "New", None)
    before = sql(database, "SELECT c.*, xmin::text FROM contacts c ORDER BY id")
    said = shown(requeue(all_given_up=True))
    assert (said["chosen"], said["requeued"], said["refused_as_skipped"]) == (1, 0, 0)
    (row,) = said["contacts_before"].records
    assert row.data == {
        "email": "a***@example.com",
        "contact_id": str(ann),
        "statuses": "Error / Error",
        "error": "Invalid address b***@example.com",
    }
    assert sql(database, "SELECT c.*, xmin::text FROM contacts c ORDER BY id") == before


def test_everybody_who_was_given_up_is_queued_again_whatever_their_number(database: Database, requeue: Requeue) -> None:
    count = AT_ONCE + 7
    sql(
        database,
        "INSERT INTO contacts (email, brevo_sync_status, brevo_processing_status) "
        "SELECT i || '@example.com', 'Error', 'Error' FROM generate_series(1, :count) i",
        count=count,
    )
    insert(database, "waiting@example.com", "Queued", "Error")
    insert(database, "skipped@example.com", "Skipped", None)
    said = shown(requeue(all_given_up=True, dry_run=False))
    assert (said["chosen"], said["requeued"]) == (count, count)
    assert pairs(database) == {"Selected/Queued": count, "Queued/Error": 1, "Skipped/NULL": 1}


def test_an_error_chooses_those_that_were_given_up_for_it(database: Database, requeue: Requeue) -> None:
    ann = given_up(database, "ann@example.com", "Max retries exceeded (3). Last error: Invalid phone number")
    bob = given_up(database, "bob@example.com", "Max retries exceeded (3). Last error: Invalid email address")
    requeue(error_contains="invalid PHONE", dry_run=False)
    assert pair(database, ann) == ("Selected", "Queued")
    assert contact(database, ann).brevo_processing_error is None
    assert pair(database, bob) == ("Error", "Error")


def test_addresses_in_any_case_mean_every_contact_that_has_one_but_not_who_opted_out(
    database: Database, requeue: Requeue
) -> None:
    one, two = (
        insert(database, "ann@example.com", "Complete", None),
        insert(database, "Ann@example.com\r\n", "New", None),
    )
    out = insert(database, "ann@example.com", "Skipped", None)
    said = shown(requeue(emails=[" ANN@example.com "], dry_run=False))
    assert (said["chosen"], said["requeued"], said["refused_as_skipped"]) == (2, 2, 1)
    assert [pair(database, an_id) for an_id in (one, two, out)] == [("Selected", "Queued")] * 2 + [("Skipped", None)]


def test_an_unknown_address_changes_nothing_and_is_named_masked(
    database: Database, instance: DagsterInstance, requeue: Requeue
) -> None:
    ann = given_up(database, "ann@example.com")
    result = requeue(emails=["ann@example.com", "nobody.here@example.com"], dry_run=False)
    assert "1 of 2 addresses are no contact's: n***@example.com. Nothing was changed." in failure(result)
    assert pair(database, ann) == ("Error", "Error")
    logged = " ".join(entry.to_json() for entry in instance.all_logs(result.run_id))  # type: ignore[attr-defined]
    assert "nobody.here" not in logged


def test_ids_choose_and_an_unknown_one_or_an_address_among_them_changes_nothing(
    database: Database, requeue: Requeue
) -> None:
    ann, bob = given_up(database, "ann@example.com"), given_up(database, "bob@example.com")
    nobody = str(uuid4())
    assert f"1 of 2 ids are no contact's: {nobody}." in failure(requeue(ids=[str(ann), nobody], dry_run=False))
    assert "b***@example.com" in failure(requeue(ids=[str(ann), "bob@example.com"], dry_run=False))
    assert f"are no contact's: {bob}." in failure(requeue(emails=["ann@example.com", str(bob)], dry_run=False))
    assert pairs(database) == {"Error/Error": 2}
    requeue(ids=[str(ann).upper()], dry_run=False)
    assert (pair(database, ann), pair(database, bob)) == (("Selected", "Queued"), ("Error", "Error"))


def test_it_needs_neither_key_nor_crm(
    monkeypatch: pytest.MonkeyPatch, database: Database, account: Account, requeue: Requeue
) -> None:
    monkeypatch.delenv("BREVO_API_KEY")
    given_up(database, "ann@example.com")
    assert shown(requeue(all_given_up=True, dry_run=False))["requeued"] == 1
    assert account.received == []


def test_what_was_queued_again_is_what_the_sensor_starts_a_run_for(
    database: Database, pipeline: Pipeline, requeue: Requeue, sync: Requeue
) -> None:
    given_up(database, "ann@example.com")
    assert not pipeline.queue.due_now()
    requeue(all_given_up=True, dry_run=False)
    assert pipeline.queue.due_now().queued
    assert sync().success
    assert pairs(database) == {"Complete/Complete": 1}


def test_dagster_keeps_no_address_beside_the_config_that_a_person_filled_in(
    database: Database, home: Path, requeue: Requeue
) -> None:
    given_up(database, "ann.lee@example.com", "ann.lee@example.com is bad")
    assert requeue(all_given_up=True, dry_run=False).success
    assert requeue(error_contains="bad").success
    kept = b"".join(path.read_bytes() for path in home.rglob("*") if path.is_file())
    assert b"requeue_contacts" in kept
    assert b"ann.lee" not in kept


def test_the_launchpad_is_filled_with_a_dry_run_and_says_what_to_do(defs: Definitions) -> None:
    job = defs.resolve_job_def("brevo_requeue")
    assert job.run_config is not None
    assert job.run_config["ops"]["requeue_contacts"]["config"] == {
        "emails": [],
        "ids": [],
        "all_given_up": False,
        "error_contains": "",
        "dry_run": True,
    }
    assert "dry_run: false" in str(job.graph.node_named("requeue_contacts").definition.description)
