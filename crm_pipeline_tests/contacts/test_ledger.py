"""Every contact that somebody wants is in one state with a next step that is taken in time; what has none is listed."""

from __future__ import annotations

import pytest

from crm_pipeline.contacts.ledger import INTERVALS, Healed, heal, look
from crm_pipeline.contacts.queue import Queue
from crm_pipeline.contacts.statuses import PAIRS, Meaning
from crm_pipeline.database.engine import Database
from crm_pipeline.model import OutcomeKind, ProcessingStatus, SyncStatus
from crm_pipeline_tests.contacts.steps import claim, leases_end, push
from crm_pipeline_tests.support.contacts import insert, insert_many, pair, sql

MINUTES = 5


def lost(queue: Queue, paused: bool = False) -> dict[str, str]:
    """Masked address -> state, of what the ledger holds for lost."""
    return {entry.masked_email: entry.state for entry in look(queue, MINUTES, paused).lost}


def minutes_pass(database: Database, minutes: float) -> None:
    sql(database, "UPDATE crm_ledger SET since = since - make_interval(mins => 1) * :minutes", minutes=minutes)
    sql(
        database,
        "UPDATE crm_attempts SET started_at = started_at - make_interval(mins => 1) * :minutes",
        minutes=minutes,
    )


@pytest.mark.parametrize(("sync", "processing"), PAIRS, ids=str)
def test_each_pair_is_lost_warned_of_or_neither_and_a_person_reads_why(
    queue: Queue, sync: SyncStatus, processing: ProcessingStatus | None
) -> None:
    insert(queue.database, "ann@example.com", sync, processing)
    ledger = look(queue, MINUTES, paused=False)
    at_once = [entry.state for entry in ledger.lost]
    minutes_pass(queue.database, 100)
    later = [entry.state for entry in look(queue, MINUTES, paused=False).lost]
    meaning = PAIRS[sync, processing]
    expected = {Meaning.DUE: ["due"], Meaning.WISH: ["wish"], Meaning.HELD: ["left behind"]}
    assert at_once == (["unclear"] if meaning is Meaning.UNCLEAR else [])
    assert later == expected.get(meaning, at_once)
    half_wanted = meaning is Meaning.UNWANTED and processing is ProcessingStatus.QUEUED
    assert [entry.state for entry in ledger.warnings] == ["half wanted"] * half_wanted
    for entry in (*ledger.lost, *ledger.warnings):
        assert (entry.masked_email, entry.statuses) == ("a***@example.com", f"{sync} / {processing or 'NULL'}")
        assert entry.what_to_do


@pytest.mark.parametrize(("sync", "state"), [("Selected", "due"), ("Queued", "due")])
def test_what_is_due_may_wait_for_three_intervals_and_no_longer(queue: Queue, sync: str, state: str) -> None:
    insert(queue.database, "ann@example.com", sync, "Queued")
    assert lost(queue) == {}
    minutes_pass(queue.database, 3 * MINUTES - 0.1)
    assert lost(queue) == {}
    minutes_pass(queue.database, 0.2)
    assert lost(queue) == {"a***@example.com": state}


def test_a_wait_past_its_time_may_last_for_two_intervals_and_no_longer(queue: Queue) -> None:
    ann = insert(queue.database, "ann@example.com")
    push(queue, ann, kind=OutcomeKind.FAILED)
    assert lost(queue) == {}
    minutes_pass(queue.database, 1000)
    assert lost(queue) == {}, "its time has not come"
    sql(queue.database, "UPDATE crm_sync SET next_retry_at = now() - interval '1 second'")
    assert lost(queue) == {}
    minutes_pass(queue.database, INTERVALS["overdue"] * MINUTES)
    assert lost(queue) == {"a***@example.com": "overdue"}


def test_a_lease_past_its_end_may_wait_for_two_intervals_and_a_live_one_for_ever(queue: Queue) -> None:
    claim(queue, insert(queue.database, "ann@example.com"))
    lost(queue)
    minutes_pass(queue.database, 1000)
    assert lost(queue) == {}
    leases_end(queue.database)
    assert lost(queue) == {}
    minutes_pass(queue.database, 2 * MINUTES)
    assert lost(queue) == {"a***@example.com": "lease over"}


def test_an_unknown_label_is_listed_at_once(queue: Queue) -> None:
    sql(queue.database, "ALTER TYPE crm_sync_status ADD VALUE 'Archived'")
    insert(queue.database, "ann@example.com", "Archived", "Queued")
    assert lost(queue) == {"a***@example.com": "unknown"}


def test_a_backlog_that_moves_is_not_lost_however_long_it_takes(queue: Queue) -> None:
    insert_many(queue.database, 300)
    lost(queue)
    for _ in range(3):
        minutes_pass(queue.database, 3 * MINUTES)
        push(queue, *[contact.id for contact in queue.list_due(100)])
        assert lost(queue) == {}


def test_what_was_pushed_and_selected_again_begins_anew(queue: Queue) -> None:
    ann = insert(queue.database, "ann@example.com")
    lost(queue)
    minutes_pass(queue.database, 3 * MINUTES)
    push(queue, ann)
    queue.select([ann])
    assert lost(queue) == {}


def test_while_the_crm_is_paused_nobody_waits_too_long_but_what_is_unclear_stays_so(queue: Queue) -> None:
    insert(queue.database, "ann@example.com")
    insert(queue.database, "bob@example.com", "Complete", "Error")
    lost(queue)
    minutes_pass(queue.database, 100)
    assert lost(queue, paused=True) == {"b***@example.com": "unclear"}
    assert lost(queue) == {"b***@example.com": "unclear"}, "counted from the pause's end"
    minutes_pass(queue.database, 3 * MINUTES)
    assert lost(queue) == {"a***@example.com": "due", "b***@example.com": "unclear"}


def test_since_when_stays_and_what_is_mended_is_forgotten(queue: Queue) -> None:
    ann = insert(queue.database, "ann@example.com", "Complete", "Error")
    (first,) = look(queue, MINUTES, paused=False).lost
    (again,) = look(queue, MINUTES, paused=False).lost
    assert again.since == first.since
    queue.select([ann])
    push(queue, ann)
    assert lost(queue) == {}
    assert sql(queue.database, "SELECT FROM crm_ledger") == []


def test_heal_queues_what_is_unclear_and_does_what_each_run_begins_with(queue: Queue) -> None:
    unclear = insert(queue.database, "ann@example.com", "Complete", "Error", brevo_processing_error="no")
    left = insert(queue.database, "bob@example.com", "Processing", "Processing")
    wish = insert(queue.database, "cas@example.com", "Selected", None)
    crashed = insert(queue.database, "dan@example.com")
    claim(queue, crashed)
    leases_end(queue.database)
    nobody = insert(queue.database, "eve@example.com", "New", "Queued")
    given_up = insert(queue.database, "fay@example.com", "Error", "Error")
    assert heal(queue) == Healed(queued=1, reaped=1, taken_back=1, promoted=1)
    assert pair(queue.database, unclear) == ("Selected", "Queued")
    assert pair(queue.database, left) == ("Queued", "Queued")
    assert pair(queue.database, wish) == ("Selected", "Queued")
    assert pair(queue.database, crashed) == ("Selected", "Queued")
    assert pair(queue.database, nobody) == ("New", "Queued")
    assert pair(queue.database, given_up) == ("Error", "Error")
    assert heal(queue) == Healed(0, 0, 0, 0)


def test_another_crms_ledger_is_left_alone(queue: Queue) -> None:
    ann = insert(queue.database, "ann@example.com", "Complete", "Error")
    lost(queue)
    sql(
        queue.database,
        "INSERT INTO crm_ledger (crm, contact_id, state, since) VALUES ('hubspot', :id, 'due', now())",
        id=ann,
    )
    queue.select([ann])
    push(queue, ann)
    lost(queue)
    assert [row.crm for row in sql(queue.database, "SELECT crm FROM crm_ledger")] == ["hubspot"]
