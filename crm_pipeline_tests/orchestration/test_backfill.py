"""`brevo_backfill`: one run a day of `created_at`, over what a person chose; what cannot be sent is as it was."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from dagster import (
    DagsterInstance,
    Definitions,
    ExecuteInProcessResult,
)

from crm_pipeline.contacts import chosen
from crm_pipeline.contacts.statuses import PAIRS, Meaning
from crm_pipeline.contacts.which import Which
from crm_pipeline.database.engine import Database
from crm_pipeline.model import SyncStatus
from crm_pipeline.orchestration import backfill as module
from crm_pipeline.push.push import CHECK_REQUESTS
from crm_pipeline.sandbox.account import Account
from crm_pipeline.wiring import Pipeline
from crm_pipeline_tests.orchestration.days import DAY, NOON, Backfill, backfill_of
from crm_pipeline_tests.support.contacts import attempts, insert, mechanics, pair, pairs, sql


@pytest.fixture
def backfill(defs: Definitions, instance: DagsterInstance) -> Backfill:
    return backfill_of(defs, instance)


def failure(result: ExecuteInProcessResult, step: str = "summarize_day") -> str:
    data = result.failure_data_for_node(step)
    assert data is not None
    assert data.user_failure_data is not None
    return str(data.user_failure_data.description)


def one_of_each_pair(database: Database) -> dict[UUID, tuple[SyncStatus, Meaning]]:
    return {
        insert(database, f"{sync}-{processing}@example.com", sync, processing, created_at=NOON): (sync, meaning)
        for (sync, processing), meaning in PAIRS.items()
    }


@pytest.mark.parametrize(
    ("which", "meanings"),
    [
        # What was left behind (held, without a lease) is taken back first, as by every run, and is due then.
        ("wanted", {Meaning.DUE, Meaning.WISH, Meaning.WAITING, Meaning.HELD}),
        ("given_up", {Meaning.GIVEN_UP}),
        ("complete", {Meaning.SYNCED}),
        ("everyone", set(Meaning)),
    ],
)
def test_each_choice_pushes_the_pairs_that_it_means_and_never_one_who_opted_out(
    database: Database, account: Account, backfill: Backfill, which: str, meanings: set[Meaning]
) -> None:
    everybody = one_of_each_pair(database)
    assert backfill(which=which).success
    for an_id, (sync, meaning) in everybody.items():
        is_chosen = meaning in meanings and sync is not SyncStatus.SKIPPED
        assert len(attempts(database, an_id)) == is_chosen, (sync, meaning)
        assert not is_chosen or pair(database, an_id) == ("Complete", "Complete")


def test_a_tag_of_the_backfill_chooses_in_the_place_of_the_config_which_the_dialog_does_not_have(
    database: Database, account: Account, backfill: Backfill
) -> None:
    given_up = insert(database, "ann@example.com", "Error", "Error", created_at=NOON)
    due = insert(database, "bob@example.com", created_at=NOON)
    assert backfill(tags={"which": "given_up", "dry_run": "true"}).success
    assert account.received == []
    assert "which is one of wanted, given_up" in failure(backfill(tags={"which": "all"}), "list_contacts_of_day")
    assert "dry_run is true or false" in failure(backfill(tags={"dry_run": "yes"}), "list_contacts_of_day")
    assert backfill(tags={"which": "given_up"}).success
    assert (pair(database, given_up), pair(database, due)) == (("Complete", "Complete"), ("Selected", "Queued"))


def test_a_day_has_the_contacts_created_from_midnight_to_midnight_utc(
    database: Database, account: Account, backfill: Backfill
) -> None:
    midnight = NOON.replace(hour=0)
    times = [midnight - timedelta(microseconds=1), midnight, midnight + timedelta(days=1, microseconds=-1)]
    ids = [
        insert(database, f"{n}@example.com", created_at=at)
        for n, at in enumerate([*times, midnight + timedelta(days=1)])
    ]
    assert backfill().success
    assert [pair(database, an_id)[0] for an_id in ids] == ["Selected", "Complete", "Complete", "Selected"]


def test_a_contact_created_today_can_be_backfilled_today(database: Database, backfill: Backfill) -> None:
    ann = insert(database, "ann@example.com")
    assert backfill(datetime.now(UTC).date()).success
    assert pair(database, ann) == ("Complete", "Complete")


def test_a_contact_that_waits_for_its_retry_is_pushed_at_once_with_fresh_retries(
    database: Database, account: Account, backfill: Backfill, pipeline: Pipeline
) -> None:
    ann = waiting(database)
    assert backfill().success
    (attempt,) = attempts(database, ann)
    assert (attempt.attempt, pair(database, ann)) == (1, ("Complete", "Complete"))


def waiting(database: Database) -> UUID:
    """A contact that has used two retries and waits an hour; another CRM has written the shared columns since."""
    ann = insert(database, "ann@example.com", "Queued", "Error", created_at=NOON, last_failed_crm="hubspot")
    sql(
        database,
        "INSERT INTO crm_sync (contact_id, crm, retry_count, next_retry_at) "
        "VALUES (:id, 'brevo', 2, now() + interval '1 hour')",
        id=ann,
    )
    return ann


def test_a_backfill_that_meets_a_closed_account_is_red_and_leaves_each_contact_as_it_was(
    database: Database, account: Account, backfill: Backfill
) -> None:
    ann = waiting(database)
    for n in range(30):
        insert(database, f"{n}@example.com", "Complete", "Complete", created_at=NOON - timedelta(hours=1))
    time_of_retry = mechanics(database, ann).next_retry_at
    account.faults.answer = lambda _: (402, {"code": "not_enough_credits", "message": "No credits"}) if late() else None

    def late() -> bool:
        return len(account.received) > 12

    result = backfill(which="everyone")
    assert f"{DAY} is not done" in failure(result)
    assert "Run this day again" in failure(result)
    after = pairs(database)
    blocked = [row.contact_id for row in sql(database, "SELECT contact_id FROM crm_attempts WHERE outcome = 'blocked'")]
    assert after["Complete/Complete"] == 30 - len(blocked)
    assert ann not in blocked
    assert pair(database, ann) == ("Queued", "Error")
    assert mechanics(database, ann).next_retry_at == time_of_retry
    assert sql(database, "SELECT FROM crm_sync WHERE lease_id IS NOT NULL") == []


def test_a_contact_that_was_released_waits_as_long_as_before(
    database: Database, account: Account, backfill: Backfill, pipeline: Pipeline
) -> None:
    ann = waiting(database)
    before = mechanics(database, ann).next_retry_at
    lease = UUID(int=7)
    (taken,) = pipeline.queue.claim([ann], lease, "a run", 600, Which.WANTED).contacts
    assert taken.attempt == 1
    pipeline.queue.release(lease, "cancelled")
    assert pair(database, ann) == ("Queued", "Error")
    assert mechanics(database, ann).next_retry_at == before
    assert not pipeline.queue.due_now()


def test_a_day_run_again_sends_only_what_is_left(database: Database, account: Account, backfill: Backfill) -> None:
    for n in range(20):
        insert(database, f"{n}@example.com", created_at=NOON)
    account.faults.answer = lambda _: (402, {"code": "not_enough_credits"}) if len(account.received) > 12 else None
    assert not backfill().success
    done = {row.contact_id for row in sql(database, "SELECT contact_id FROM crm_attempts WHERE outcome = 'synced'")}
    assert 0 < len(done) < 20
    account.faults.answer = lambda _: None
    assert backfill().success
    assert pairs(database) == {"Complete/Complete": 20}
    assert all(
        [attempt.outcome for attempt in attempts(database, an_id)].count("synced") == 1
        for an_id in (row.id for row in sql(database, "SELECT id FROM contacts"))
    )


def test_a_refused_contact_leaves_its_day_green_and_is_retried_by_the_sync(
    database: Database, account: Account, backfill: Backfill
) -> None:
    bad = insert(database, "invalid-email", "Complete", "Complete", created_at=NOON)
    assert backfill(which="complete").success
    assert pair(database, bad) == ("Queued", "Error")


def test_a_day_is_listed_in_several_portions_each_contact_once(
    database: Database, account: Account, backfill: Backfill, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chosen, "LISTED_AT_ONCE", 3)
    for n in range(11):
        insert(database, f"{n}@example.com", created_at=NOON + timedelta(seconds=n // 5))
    assert backfill().success
    assert pairs(database) == {"Complete/Complete": 11}
    assert len(account.received) == 11


def test_a_run_that_has_lasted_too_long_claims_no_more_and_is_red(
    database: Database, account: Account, backfill: Backfill, monkeypatch: pytest.MonkeyPatch
) -> None:
    insert(database, "ann@example.com", "Complete", "Complete", created_at=NOON)
    monkeypatch.setattr(module, "PUSHING_SECONDS", -1)
    said = failure(backfill(which="complete"))
    assert "Run this day again" in said
    assert account.received == []
    assert pairs(database) == {"Complete/Complete": 1}


def test_a_day_of_more_than_one_run_takes_is_red_when_its_part_is_done(
    database: Database, account: Account, backfill: Backfill, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chosen, "LISTED_AT_ONCE", 3)
    monkeypatch.setattr("crm_pipeline.push.due.MOST_OF_A_DAY", 3)
    for n in range(5):
        insert(database, f"{n}@example.com", created_at=NOON)
    assert "2 contacts are more than one run takes" in failure(backfill())
    assert len(account.received) == 3
    assert backfill().success


def test_a_dry_run_counts_and_shows_whom_it_would_push_and_changes_nothing(
    database: Database, account: Account, backfill: Backfill, monkeypatch: pytest.MonkeyPatch
) -> None:
    one_of_each_pair(database)
    monkeypatch.delenv("BREVO_API_KEY")
    before = sql(database, "SELECT c.*, xmin::text FROM contacts c ORDER BY id")
    result = backfill(which="given_up", dry_run=True)
    assert result.success
    (event,) = (
        event
        for event in result.events_for_node("list_contacts_of_day")
        if event.is_successful_output and event.step_output_data.output_name == "day"
    )
    shown = {name: value.value for name, value in event.step_output_data.metadata.items()}
    assert shown["contacts"] == 3
    assert {row.data["statuses"]: row.data["contacts"] for row in shown["by_statuses"].records} == {
        "Error / NULL": 1,
        "Error / Complete": 1,
        "Error / Error": 1,
    }
    assert {row.data["email"] for row in shown["first_contacts"].records} == {"E***@example.com"}
    assert sql(database, "SELECT c.*, xmin::text FROM contacts c ORDER BY id") == before
    assert account.received == []


def hour_used(database: Database) -> int:
    return int(sql(database, "SELECT hour_used FROM crm_gate WHERE crm = 'brevo'")[0].hour_used)


def test_a_request_takes_two_slots_while_live_contacts_wait_and_one_when_none_does(
    database: Database, account: Account, backfill: Backfill
) -> None:
    for n in range(10):
        insert(database, f"{n}@example.com", "Complete", "Complete", created_at=NOON)
    assert backfill(which="complete").success
    begun = hour_used(database)
    assert backfill(which="complete").success
    alone = hour_used(database) - begun
    insert(database, "live@example.com")
    begun = hour_used(database)
    assert backfill(which="complete").success
    assert hour_used(database) - begun == alone + 10
    assert len(account.received) == 30


def test_a_backfill_of_what_is_wanted_anyway_does_not_make_way_for_itself(
    database: Database, account: Account, backfill: Backfill
) -> None:
    for n in range(20):
        insert(database, f"{n}@example.com", created_at=NOON)
    sql(database, "UPDATE crm_gate SET checked_at = now(), hour_used = 0 WHERE crm = 'brevo'")
    assert backfill(which="wanted").success
    assert len(account.received) == 20
    assert hour_used(database) <= 20 + CHECK_REQUESTS
