"""The job, step by step, on a real database and over real HTTP."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from dagster import (
    AssetKey,
    DagsterEventType,
    DagsterInstance,
    ExecuteInProcessResult,
    JobDefinition,
    ReexecutionOptions,
    RetryPolicy,
    execute_job,
    reconstructable,
)
from dagster_postgres.utils import DagsterPostgresException

from crm_pipeline.crms.brevo.connector import Brevo
from crm_pipeline.database.engine import Database
from crm_pipeline.definitions import load
from crm_pipeline.model import News, NewsKind
from crm_pipeline.push.push import Push
from crm_pipeline.sandbox.account import Account
from crm_pipeline.settings import Settings
from crm_pipeline.wiring import Pipeline
from crm_pipeline_tests.support.contacts import insert, insert_many, pair, pairs, sql
from crm_pipeline_tests.support.sandbox import KEY

Sync = Callable[..., ExecuteInProcessResult]


def messages(instance: DagsterInstance, result: ExecuteInProcessResult) -> list[str]:
    return [entry.user_message for entry in instance.all_logs(result.run_id)]


def failure(result: ExecuteInProcessResult, step: str) -> str:
    """What a person reads on a red step."""
    data = result.failure_data_for_node(step)
    assert data is not None
    assert data.user_failure_data is not None
    return str(data.user_failure_data.description)


def numbers(instance: DagsterInstance) -> dict[str, Any]:
    """The metadata of the newest materialization."""
    event = instance.get_latest_materialization_event(AssetKey(["brevo", "contacts"]))
    assert event is not None
    assert event.asset_materialization is not None
    return {name: value.value for name, value in event.asset_materialization.metadata.items()}


def refusal(email: str) -> tuple[int, dict[str, str]]:
    return 400, {"code": "bad", "message": f"{email} is bad"}


def started_steps(result: ExecuteInProcessResult) -> list[str | None]:
    return [event.step_key for event in result.all_events if event.event_type is DagsterEventType.STEP_START]


def test_all_contacts_of_a_run_are_synced_each_once(database: Database, account: Account, sync: Sync) -> None:
    insert_many(database, 25)
    assert sync().success
    assert pairs(database) == {"Complete/Complete": 25}
    assert len({address for _, address in account.received}) == len(account.received) == 25


def test_each_batch_is_written_back_before_the_next_is_pushed(database: Database, sync: Sync) -> None:
    insert_many(database, 25)
    assert started_steps(sync()) == [
        "extract_queued_contacts",
        *(f"{op}[batch_00{n}]" for n in range(3) for op in ("push_contacts", "write_statuses")),
        "summarize",
    ]


def test_a_run_that_finds_nothing_is_green_and_adds_a_point_to_the_plots(instance: DagsterInstance, sync: Sync) -> None:
    assert sync().success
    found = numbers(instance)
    assert found.pop("failures").records == []
    assert set(found.values()) == {0}


def test_every_run_reports_the_same_numbers(database: Database, instance: DagsterInstance, sync: Sync) -> None:
    sync()
    of_an_empty_run = numbers(instance)
    insert_many(database, 3)
    sync()
    of_a_full_run = numbers(instance)
    assert of_a_full_run["synced"] == 3
    assert of_a_full_run["p95_ms"] > 0
    assert {name: type(value) for name, value in of_a_full_run.items()} == {
        name: type(value) for name, value in of_an_empty_run.items()
    }


def test_failures_are_counted_and_listed_without_the_address_and_leave_the_run_green(
    database: Database, instance: DagsterInstance, account: Account, sync: Sync
) -> None:
    refused = insert(database, "ann.lee@example.com")
    nobody = insert(database, "")
    insert_many(database, 3)
    account.faults.answer = lambda email: (
        (400, {"code": "bad", "message": f"{email} is bad"}) if email[0] == "a" else None
    )
    result = sync()
    assert result.success
    assert pair(database, refused) == ("Queued", "Error")
    assert pair(database, nobody) == ("Error", "Error")
    found = numbers(instance)
    assert (found["synced"], found["failed"], found["rejected"], found["given_up"], found["waiting"]) == (3, 1, 1, 1, 1)
    rows = {record["outcome"]: record for record in (row.data for row in found["failures"].records)}
    assert rows["failed"]["email"] == "a***@example.com"
    assert rows["failed"]["error"] == "a***@example.com is bad (bad, HTTP 400)"
    assert rows["failed"]["retry"] == 1
    assert rows["failed"]["next_try"]
    assert rows["rejected"]["email"] == "(none)"
    assert rows["rejected"]["next_try"] == ""
    assert any(message.startswith("a***@example.com") for message in messages(instance, result))


def test_a_run_says_what_it_found_and_what_it_did(database: Database, instance: DagsterInstance, sync: Sync) -> None:
    insert_many(database, 12)
    said = messages(instance, sync())
    assert "Found 12 contacts in 2 batches" in said
    assert "batch_001: pushed 2 of 2 contacts: 2 synced" in said
    assert any(message.startswith("Finished: 12 synced; 0 given up;") for message in said)


def test_each_run_is_tagged_with_how_many_contacts_it_claimed(
    database: Database, instance: DagsterInstance, sync: Sync
) -> None:
    insert_many(database, 12)
    run = instance.get_run_by_id(sync().run_id)
    assert run is not None
    assert run.tags == {"contacts": "12", "crm": "brevo", "dagster/max_runtime": "900"}


def test_a_wrong_key_makes_the_run_red_names_its_variable_and_touches_no_contact(
    database: Database, account: Account, sync: Sync
) -> None:
    insert_many(database, 3)
    account.api_key = "another"
    result = sync()
    assert not result.success
    assert "BREVO_API_KEY" in failure(result, "extract_queued_contacts")
    assert "No contact was touched" in failure(result, "extract_queued_contacts")
    assert account.received == []
    assert pairs(database) == {"Selected/Queued": 3}
    assert sql(database, "SELECT FROM crm_sync UNION ALL SELECT FROM crm_attempts") == []


def test_a_missing_key_makes_a_run_by_hand_red_and_names_the_variable(
    monkeypatch: pytest.MonkeyPatch, sync: Sync
) -> None:
    monkeypatch.delenv("BREVO_API_KEY")
    assert "BREVO_API_KEY is not set" in failure(sync(), "extract_queued_contacts")


def test_a_missing_column_makes_the_run_red_before_anything_is_claimed(database: Database, sync: Sync) -> None:
    insert_many(database, 3)
    sql(database, "ALTER TABLE contacts DROP COLUMN brevo_processing_error")
    assert "contacts.brevo_processing_error is missing" in failure(sync(), "extract_queued_contacts")


def test_an_unreachable_database_makes_the_run_red_within_10_s_and_names_the_variable(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, sync: Sync
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody:secret@127.0.0.1:1/none")
    said = failure(sync(), "extract_queued_contacts")
    assert "DATABASE_URL" in said
    assert "secret" not in said


def break_claims(database: Database, times: int) -> None:
    """The database refuses to claim the contact `broken@example.com`, so many times."""
    sql(database, "CREATE SEQUENCE refusals")
    sql(
        database,
        f"""CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF nextval('refusals') <= {times} THEN RAISE 'disk full' USING ERRCODE = 'disk_full'; END IF;
            RETURN NEW;
        END $$""",
    )
    sql(
        database,
        "CREATE TRIGGER refuse BEFORE UPDATE ON contacts FOR EACH ROW "
        "WHEN (NEW.email = 'broken@example.com' AND NEW.brevo_sync_status = 'Processing') EXECUTE FUNCTION refuse()",
    )


def test_a_batch_that_fails_for_good_leaves_the_others_alone_and_turns_the_run_red_at_its_end(
    database: Database, instance: DagsterInstance, sync: Sync
) -> None:
    broken = insert(database, "broken@example.com")
    insert_many(database, 19)
    break_claims(database, times=1000)
    result = sync()
    assert not result.success
    said = failure(result, "summarize")
    assert "1 of 2 batches could not be pushed" in said
    assert "disk full" in said
    assert "Do not re-execute this run from failure" in said
    assert pairs(database) == {"Complete/Complete": 10, "Selected/Queued": 10}
    assert pair(database, broken) == ("Selected", "Queued")
    assert numbers(instance)["synced"] == 10
    assert not any("broken@example.com" in message for message in messages(instance, result))


def test_a_database_that_fails_once_costs_a_retry_and_no_contact(
    database: Database, account: Account, sync: Sync
) -> None:
    insert(database, "broken@example.com")
    insert_many(database, 19)
    break_claims(database, times=1)
    result = sync()
    assert result.success
    assert pairs(database) == {"Complete/Complete": 20}
    assert len(account.received) == 20
    assert sum(event.event_type is DagsterEventType.STEP_UP_FOR_RETRY for event in result.all_events) == 1


@pytest.mark.parametrize(("times", "success"), [(1, True), (99, False)])
def test_dagsters_own_database_that_is_away_costs_a_retry_and_is_no_bug(
    database: Database, sync: Sync, monkeypatch: pytest.MonkeyPatch, times: int, success: bool
) -> None:
    insert_many(database, 10)
    calls: list[int] = []
    push = Push.push

    def away(self: Push, *given: Any, **further: Any) -> Any:
        calls.append(1)
        if len(calls) <= times:
            raise DagsterPostgresException("could not connect to server")
        return push(self, *given, **further)

    monkeypatch.setattr(Push, "push", away)
    monkeypatch.setattr(RetryPolicy, "calculate_delay", lambda policy, attempt: 0)
    result = sync()
    assert result.success is success
    said = " ".join(f"{event.message} {event.event_specific_data}" for event in result.all_events)
    assert "A bug in the pipeline" not in said
    assert "Dagster's database was away" in said


def test_a_repeated_step_goes_on_with_its_lease_and_pushes_no_contact_twice(
    database: Database, account: Account, sync: Sync
) -> None:
    insert_many(database, 10)
    sql(database, "CREATE SEQUENCE refusals")
    sql(
        database,
        """CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF NEW.applied = 'applied' AND nextval('refusals') = 1 THEN RAISE '' USING ERRCODE = 'disk_full'; END IF;
            RETURN NEW;
        END $$""",
    )
    sql(database, "CREATE TRIGGER refuse BEFORE UPDATE ON crm_attempts FOR EACH ROW EXECUTE FUNCTION refuse()")
    assert sync().success
    assert pairs(database) == {"Complete/Complete": 10}
    assert len(account.received) == 10
    assert len(sql(database, "SELECT DISTINCT lease_id FROM crm_attempts")) == 1


def test_a_bug_turns_the_run_red_and_quotes_no_contact(
    database: Database, instance: DagsterInstance, sync: Sync, monkeypatch: pytest.MonkeyPatch
) -> None:
    insert_many(database, 3)

    def body(self: Brevo, contact: Any) -> None:
        raise KeyError(contact.email)

    monkeypatch.setattr(Brevo, "upsert", body)
    result = sync()
    assert not result.success
    assert "A bug in the pipeline: KeyError" in failure(result, "summarize")
    assert pairs(database) == {"Selected/Queued": 3}
    assert sql(database, "SELECT FROM crm_sync WHERE lease_id IS NOT NULL OR crashes > 0") == []
    said = "".join(messages(instance, result))
    assert "in body" in said, "the traceback stands in the log"
    assert "person-1@" not in said


def test_an_account_that_closes_during_a_run_turns_it_red_and_the_contacts_wait(
    database: Database, account: Account, sync: Sync
) -> None:
    insert_many(database, 30)
    account.faults.answer = lambda _: (402, {"code": "not_enough_credits", "message": "No credits"}) if late() else None

    def late() -> bool:
        return len(account.received) > 12

    result = sync()
    assert not result.success
    assert "plan" in failure(result, "summarize")
    after = pairs(database)
    assert after["Complete/Complete"] + after["Queued/Error"] + after["Selected/Queued"] == 30
    assert sql(database, "SELECT FROM contacts WHERE brevo_sync_status = 'Error'") == []


def test_a_crm_that_is_down_leaves_the_run_green_with_a_warning(
    database: Database, instance: DagsterInstance, account: Account, sync: Sync, pipeline: Pipeline
) -> None:
    insert_many(database, 3)
    pipeline.gate.begin()
    for _ in range(10):
        pipeline.gate.tell(News(NewsKind.UNAVAILABLE, "Brevo is out of order"))
    result = sync()
    assert result.success
    assert pairs(database) == {"Selected/Queued": 3}
    assert account.received == []
    assert any("Brevo is out of order" in message for message in messages(instance, result))


def brevo_sync() -> JobDefinition:
    """For `reconstructable`: a re-execution loads its job anew."""
    return load(Settings.load()).resolve_job_def("brevo_sync")


def test_a_re_executed_summary_says_that_nothing_is_repeated_and_is_green(
    database: Database,
    instance: DagsterInstance,
    account: Account,
    environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(RetryPolicy, "calculate_delay", lambda policy, attempt: 0)
    insert(database, "broken@example.com")
    break_claims(database, times=1000)
    with execute_job(reconstructable(brevo_sync), instance) as parent:
        assert not parent.success
    options = ReexecutionOptions.from_failure(parent.run_id, instance)
    with execute_job(reconstructable(brevo_sync), instance, reexecution_options=options) as again:
        assert again.success
        assert {event.step_key for event in again.all_events if event.step_key} == {"summarize"}
    assert any("they are not repeated here" in entry.user_message for entry in instance.all_logs(again.run_id))
    assert account.received == []


def test_a_thousand_contacts_cost_less_than_one_event_each(
    database: Database, instance: DagsterInstance, sync: Sync
) -> None:
    insert_many(database, 1000)
    result = sync()
    assert result.success
    assert pairs(database) == {"Complete/Complete": 1000}
    assert len(instance.all_logs(result.run_id)) < 500


def test_dagster_keeps_no_address_no_name_and_no_key(
    database: Database, instance: DagsterInstance, home: Path, account: Account, sync: Sync
) -> None:
    insert(database, "broken@example.com", name="Person Broken")
    insert_many(database, 30)
    break_claims(database, times=1)
    account.faults.answer = lambda email: (
        (400, {"code": "bad", "message": f"{email} is bad"}) if "-7@" in email else None
    )
    assert sync().success
    kept = b"".join(path.read_bytes() for path in home.rglob("*") if path.is_file())
    assert b"batch_000" in kept, "the outputs and events are there"
    for secret in (b"person-", b"Person ", b"broken@", KEY.encode()):
        assert secret not in kept
