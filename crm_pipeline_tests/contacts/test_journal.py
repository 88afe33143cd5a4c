"""The journal: outcomes as they come, one per contact and lease, whatever the CRM answered."""

from __future__ import annotations

from dataclasses import replace
from uuid import uuid4

import pytest

from crm_pipeline.contacts.queue import Queue
from crm_pipeline.model import JournalEntry, Outcome, OutcomeKind
from crm_pipeline_tests.contacts.steps import answer, claim, push
from crm_pipeline_tests.support.contacts import attempts, insert, sql

FAILED, SYNCED = OutcomeKind.FAILED, OutcomeKind.SYNCED


def test_a_row_says_who_pushed_what_when_where_and_what_came_back(queue: Queue) -> None:
    ann = insert(queue.database, "ann@example.com")
    batch = claim(queue, ann, run_id="run 1")
    outcome = Outcome(FAILED, 503, "busy", "try later", "7", "request 9", "note", duration_ms=250)
    queue.journal(batch.lease_id, "run 1", [JournalEntry(ann, outcome, age_seconds=60)])
    (row,) = attempts(queue.database, ann)
    assert (row.crm, row.run_id, row.lease_id, row.attempt) == ("brevo", "run 1", batch.lease_id, 1)
    assert (row.target, row.duration_ms, row.outcome, row.http_status) == ("api.example.com", 250, "failed", 503)
    assert (row.code, row.error, row.external_id, row.request_id) == ("busy", "try later", "7", "request 9")
    assert (row.note, row.applied) == ("note", "pending")
    (age,) = sql(queue.database, "SELECT extract(epoch FROM clock_timestamp() - started_at) AS s FROM crm_attempts")
    assert 60 <= age.s < 70, "by the database's clock"


def test_under_one_lease_a_contact_is_journalled_once(queue: Queue) -> None:
    ann = insert(queue.database, "ann@example.com")
    batch = claim(queue, ann)
    assert answer(queue, batch, SYNCED) == 1
    assert answer(queue, batch, FAILED) == 0
    assert [row.outcome for row in attempts(queue.database, ann)] == ["synced"]


def test_each_push_has_its_own_row(queue: Queue) -> None:
    ann = insert(queue.database, "ann@example.com")
    push(queue, ann)
    queue.select([ann])
    push(queue, ann)
    assert [row.outcome for row in attempts(queue.database, ann)] == ["synced", "synced"]


def test_nothing_is_journalled_for_a_deleted_contact_and_its_neighbours_are(queue: Queue) -> None:
    ann, bob = insert(queue.database, "ann@example.com"), insert(queue.database, "bob@example.com")
    batch = claim(queue, ann, bob)
    sql(queue.database, "DELETE FROM contacts WHERE id = :id", id=ann)
    assert answer(queue, batch) == 1
    assert [row.contact_id for row in sql(queue.database, "SELECT * FROM crm_attempts")] == [bob]


def test_a_late_answer_takes_the_place_of_the_release_noted_in_its_absence(queue: Queue) -> None:
    ann = insert(queue.database, "ann@example.com")
    batch = claim(queue, ann)
    queue.release(batch.lease_id, "paused")
    assert [(row.outcome, row.applied) for row in attempts(queue.database, ann)] == [("released", "applied")]
    assert answer(queue, batch, external_id="7") == 1
    (row,) = attempts(queue.database, ann)
    assert (row.outcome, row.applied, row.external_id) == ("synced", "pending", "7")
    assert row.note == "paused; then answered late"


def test_an_error_is_cut_at_500_characters(queue: Queue) -> None:
    ann = insert(queue.database, "ann@example.com")
    answer(queue, claim(queue, ann), FAILED, error="é" * 600)
    assert [row.error for row in attempts(queue.database, ann)] == ["é" * 500]


@pytest.mark.parametrize("hostile", ["a\x00b", "a\ud800b"])
def test_what_no_database_can_store_is_left_out_of_an_answer(queue: Queue, hostile: str) -> None:
    ann = insert(queue.database, "ann@example.com")
    outcome = Outcome(FAILED, code=hostile, error=hostile, external_id=hostile, request_id=hostile, note=hostile)
    batch = claim(queue, ann)
    queue.journal(batch.lease_id, "a run", [JournalEntry(ann, outcome, 0)])
    (row,) = attempts(queue.database, ann)
    assert {row.code, row.error, row.external_id, row.request_id, row.note} == {"ab"}


def test_quotes_and_percent_signs_stay_data(queue: Queue) -> None:
    ann = insert(queue.database, "ann@example.com")
    hostile = "'; DROP TABLE contacts; -- %s %(id)s :id {due} \\"
    answer(queue, claim(queue, ann), FAILED, error=hostile)
    assert [row.error for row in attempts(queue.database, ann)] == [hostile]


def test_an_empty_journal_is_no_statement(queue: Queue) -> None:
    assert queue.journal(uuid4(), "a run", []) == 0
    ann = insert(queue.database, "ann@example.com")
    batch = claim(queue, ann)
    assert answer(queue, replace(batch, contacts=[])) == 0
