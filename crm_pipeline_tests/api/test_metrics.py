"""What Prometheus reads: the queue, and the pushes of the last minutes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from crm_pipeline.contacts.answers import RetryPolicy
from crm_pipeline.contacts.counts import depth, recent
from crm_pipeline.contacts.queue import Queue
from crm_pipeline.database.embedded import EmbeddedPostgres
from crm_pipeline.database.engine import Database
from crm_pipeline.model import OutcomeKind
from crm_pipeline_tests.api.conftest import Client
from crm_pipeline_tests.conftest import BREVO
from crm_pipeline_tests.contacts.plans import Plans, command, enqueue, fill
from crm_pipeline_tests.contacts.steps import push
from crm_pipeline_tests.support.contacts import insert, sql
from crm_pipeline_tests.support.postgres import cloned

CONTACTS = 20_000


def values(api: Client) -> dict[tuple[str, ...], float]:
    """Each sample's value, by its name and the values of its labels."""
    said = api.get("/metrics")
    assert said.status_code == 200
    assert said.headers["content-type"].startswith("text/plain; version=")
    return {
        (sample.name.removeprefix("crm_pipeline_"), *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(said.text)
        for sample in family.samples
    }


def test_the_queue_and_the_pushes_of_the_last_minutes_are_told(api: Client, database: Database, queue: Queue) -> None:
    ann, bob, cat = (insert(database, f"{name}@example.com") for name in ("ann", "bob", "cat"))
    push(queue, ann, http_status=201, duration_ms=100)
    push(queue, bob, http_status=400, duration_ms=300, kind=OutcomeKind.FAILED, error="because")
    sql(database, "UPDATE contacts SET updated_at = now() - interval '1 minute' WHERE id = :id", id=cat)
    found = values(api)
    assert found["enabled", "brevo"] == 0
    assert (found["due_contacts", "brevo"], found["waiting_contacts", "brevo"]) == (1, 1)
    assert 60 <= found["oldest_due_seconds", "brevo"] < 70
    pushes = {outcome: found["recent_pushes", "brevo", outcome] for outcome in OutcomeKind}
    assert pushes == dict.fromkeys(OutcomeKind, 0) | {OutcomeKind.SYNCED: 1, OutcomeKind.FAILED: 1}
    assert found["recent_answer_seconds", "brevo", "0.5"] == pytest.approx(0.2)
    assert found["recent_answer_seconds", "brevo", "0.99"] == pytest.approx(0.298)


def test_pushes_of_longer_ago_do_not_count_and_answers_that_never_came_have_no_time(
    api: Client, database: Database, queue: Queue
) -> None:
    ann, bob = insert(database, "ann@example.com"), insert(database, "bob@example.com")
    push(queue, ann, http_status=201, duration_ms=100)
    sql(database, "UPDATE crm_attempts SET started_at = now() - interval '6 minutes'")
    push(queue, bob, kind=OutcomeKind.FAILED, code="timeout", error="no answer", duration_ms=10_000)
    found = values(api)
    assert found["recent_pushes", "brevo", "synced"] == 0
    assert found["recent_pushes", "brevo", "failed"] == 1
    assert not [name for name, *_ in found if name == "recent_answer_seconds"]


def test_a_crm_without_a_key_has_no_gate(api: Client) -> None:
    assert not [name for name, *_ in values(api) if name.startswith("gate_")]


@pytest.fixture(scope="module")
def large(postgres: EmbeddedPostgres) -> Iterator[Queue]:
    """Many contacts, each with an old row in the journal."""
    with cloned(postgres) as url:
        database = Database(url)
        fill(database, CONTACTS)
        sql(
            database,
            "INSERT INTO crm_attempts (crm, contact_id, lease_id, attempt, target, started_at, outcome) "
            "SELECT 'brevo', id, gen_random_uuid(), 1, 'api.example.com', now() - interval '2 hours', 'synced' "
            "FROM contacts",
        )
        enqueue(database)
        command(database, "VACUUM ANALYZE")
        yield Queue(database, BREVO, RetryPolicy())
        database.dispose()


def test_a_scrape_scans_neither_the_contacts_nor_the_journal(large: Queue) -> None:
    plans = Plans(large.database)
    seen = plans.of(lambda: (depth(large), recent(large, 5, (0.5,))))
    assert [plan.scanned for plan in seen] == [[]] * 3
    journal = [plan.rows_looked_at for plan in seen if "crm_attempts" in plan.statement]
    assert len(journal) == 2
    assert max(journal) < CONTACTS / 2
