"""Every pair of statuses, under every lease and with every retry time: what a run pushes, repairs and leaves alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import pytest

from crm_pipeline.contacts.answers import RetryPolicy
from crm_pipeline.contacts.queue import Queue
from crm_pipeline.contacts.statuses import PAIRS, Meaning, predicate
from crm_pipeline.database.embedded import EmbeddedPostgres
from crm_pipeline.database.engine import Database
from crm_pipeline.model import ProcessingStatus, SyncStatus
from crm_pipeline.push.batches import into_batches
from crm_pipeline_tests.conftest import BREVO
from crm_pipeline_tests.contacts.cases import CASES, IN_FLIGHT, Case, put_in, rows_of
from crm_pipeline_tests.contacts.steps import next_run
from crm_pipeline_tests.support.contacts import insert, pair, sql
from crm_pipeline_tests.support.postgres import cloned


@dataclass(frozen=True)
class Run:
    """What one run did with all cases."""

    before: list[Any]
    after: list[Any]
    attempts: dict[UUID, int]
    """Contact -> number of the attempt, for what was claimed."""

    def each(self) -> Iterator[tuple[Case, Any, Any]]:
        """(case, row before, row after)."""
        return zip(CASES, self.before, self.after, strict=True)


@pytest.fixture(scope="module")
def run(postgres: EmbeddedPostgres) -> Iterator[Run]:
    with cloned(postgres) as url:
        database = Database(url)
        queue = Queue(database, BREVO, RetryPolicy(), "api.example.com")
        put_in(database)
        before = rows_of(database)
        queue.reap()
        queue.take_back(always=True)
        queue.promote()
        attempts = {}
        for ids in into_batches(queue.list_due(len(CASES)), 500):
            attempts.update({contact.id: contact.attempt for contact in queue.claim(ids, uuid4(), "run", 600).contacts})
        yield Run(before, rows_of(database), attempts)
        database.dispose()


def test_there_are_35_pairs_and_each_has_one_meaning() -> None:
    assert PAIRS.keys() == {(sync, processing) for sync in SyncStatus for processing in (None, *ProcessingStatus)}


@pytest.mark.parametrize("meaning", Meaning)
def test_each_predicate_is_true_for_the_pairs_of_its_meaning_and_no_other(database: Database, meaning: Meaning) -> None:
    rows = sql(
        database,
        f"SELECT sync, processing FROM unnest(CAST(:syncs AS crm_sync_status[]), "
        f"CAST(:processings AS crm_processing_status[])) AS pair (sync, processing) "
        f"WHERE {predicate(meaning, 'sync', 'processing')}",
        syncs=[sync.value for sync, _ in PAIRS],
        processings=[processing and processing.value for _, processing in PAIRS],
    )
    assert {tuple(row) for row in rows} == {found for found, means in PAIRS.items() if means is meaning}


def test_a_run_pushes_what_is_due_and_what_becomes_due_by_its_repairs_and_nothing_else(run: Run) -> None:
    wrong = [case for case, row, _ in run.each() if (case.pushed_as is not None) != (row.id in run.attempts)]
    assert wrong == []
    assert 0 < len(run.attempts) < len(CASES)


def test_nothing_that_nobody_wants_is_ever_pushed(run: Run) -> None:
    unwanted = [case for case, row, _ in run.each() if case.pair[0] in ("New", "Skipped") and row.id in run.attempts]
    assert unwanted == []


def test_each_contact_is_claimed_from_the_pair_that_the_table_says(run: Run) -> None:
    claimed = [(case, row) for case, _, row in run.each() if row.id in run.attempts]
    assert [
        (case, row.prior_sync_status, row.prior_processing_status)
        for case, row in claimed
        if case.pushed_as != (row.prior_sync_status, row.prior_processing_status)
        or (row.sync, row.processing) != IN_FLIGHT
        or row.lease_id is None
        or row.next_retry_at is not None
    ] == []


def test_only_queued_queued_keeps_its_retries_and_every_other_push_starts_afresh(run: Run) -> None:
    wrong = [
        (case, run.attempts[row.id])
        for case, row, _ in run.each()
        if row.id in run.attempts and run.attempts[row.id] != case.attempt
    ]
    assert wrong == []
    assert {case.attempt for case in CASES if case.pushed_as is not None} == {1, 2, 3}


def test_what_a_run_does_not_push_is_not_even_rewritten(run: Run) -> None:
    rewritten = [
        case for case, before, after in run.each() if after.id not in run.attempts and before.version != after.version
    ]
    assert rewritten == []


def test_a_live_lease_is_left_alone_whatever_the_statuses_say(run: Run) -> None:
    touched = [case for case, before, after in run.each() if case.lease == "live lease" and before != after]
    assert touched == []


def test_a_lease_that_is_over_is_ended_with_one_crash_whatever_the_statuses_say(run: Run) -> None:
    ended = [(case, before, after) for case, before, after in run.each() if case.lease == "lease over"]
    assert {after.crashes for _, _, after in ended} == {1}
    assert [case for case, before, after in ended if after.lease_id == before.lease_id] == []
    assert [case for case, _, after in ended if (after.lease_id is not None) != (after.id in run.attempts)] == []


def test_mechanics_without_a_lease_change_only_where_the_contact_is_pushed(run: Run) -> None:
    changed = [
        case
        for case, before, after in run.each()
        if case.lease in ("no row", "no lease")
        and (before.mechanics_version != after.mechanics_version) != (after.id in run.attempts)
    ]
    assert changed == []


@pytest.mark.parametrize(
    ("sync", "processing"),
    [("Paused", "Queued"), ("Paused", "Processing"), ("Paused", None)]
    + [(sync, "Paused") for sync in ("Selected", "Queued", "Processing", "Complete", "Error")],
)
def test_a_status_that_the_application_added_is_never_pushed_nor_changed(
    queue: Queue, sync: str, processing: str | None
) -> None:
    database = queue.database
    for enum in ("crm_sync_status", "crm_processing_status"):
        with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql(f"ALTER TYPE {enum} ADD VALUE 'Paused'")
    contact = insert(database, "ann@example.com", sync, processing)
    assert next_run(queue) == []
    assert not queue.due_now()
    assert not queue.left_behind()
    assert queue.claim([contact], uuid4(), "run", 600).contacts == []
    assert pair(database, contact) == (sync, processing)
