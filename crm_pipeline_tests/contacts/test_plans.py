"""With 100,000 contacts no statement of the queue reads more than its batch needs, whatever the statistics say.

The statistics of a queue are always stale: what was counted is done, what is due has come since. So each statement is
run with statistics of four moments; what it reads is counted in pages, so that an index read from end to end is found
as well as a table.
"""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID, uuid4

import pytest

from crm_pipeline.contacts.answers import RetryPolicy
from crm_pipeline.contacts.queue import AT_ONCE, Queue
from crm_pipeline.database.embedded import EmbeddedPostgres
from crm_pipeline.database.engine import Database
from crm_pipeline.model import OutcomeKind
from crm_pipeline_tests.conftest import BREVO
from crm_pipeline_tests.contacts.plans import Plan, Plans, command, enqueue, fill
from crm_pipeline_tests.contacts.steps import answer
from crm_pipeline_tests.support.contacts import sql
from crm_pipeline_tests.support.postgres import cloned

pytestmark = pytest.mark.xdist_group("plans")  # filled once, not by each worker
CONTACTS = 100_000
WAITING = 3 * CONTACTS // 10
BATCH = 100
PAGES_PER_CONTACT = 100
"""About twice what a batch of 100 needs for claim and write-back, the foreign keys' look-ups included."""


@pytest.fixture(scope="module")
def filled(postgres: EmbeddedPostgres) -> Iterator[str]:
    """A database to clone: 100,000 contacts, with statistics of when there was none."""
    with cloned(postgres) as url:
        database = Database(url)
        command(database, "ANALYZE")
        fill(database, CONTACTS)
        database.dispose()
        yield str(url.database)


@pytest.fixture(scope="module", params=["fresh", "of an empty table", "before anything was due", "when all was due"])
def queue(request: pytest.FixtureRequest, postgres: EmbeddedPostgres, filled: str) -> Iterator[Queue]:
    """A large queue with statistics of that moment."""
    with cloned(postgres, filled) as url:
        database = Database(url)
        if request.param == "before anything was due":
            command(database, "ANALYZE")
        if request.param == "when all was due":
            sql(database, "UPDATE contacts SET brevo_sync_status = 'Selected', brevo_processing_status = 'Queued'")
            sql(database, "UPDATE crm_sync SET next_retry_at = now()")
            command(database, "ANALYZE")
        enqueue(database)
        if request.param == "fresh":
            command(database, "ANALYZE")
        yield Queue(database, BREVO, RetryPolicy(), "api.example.com")
        database.dispose()


def assert_cheap(plans: list[Plan], pages: int, rows: int | None = None) -> None:
    """Each plan scans no table and reads no more than so many pages, and rows."""
    assert plans
    for plan in plans:
        seen = f"{plan.buffers} pages, {plan.rows_looked_at} rows: {plan.statement}\n" + "\n".join(
            f"{node['Node Type']} {node.get('Index Name') or node.get('Relation Name', '')} "
            f"{node['Actual Rows']} rows x {node['Actual Loops']}"
            for node in plan.nodes
        )
        assert plan.scanned == [], seen
        assert plan.buffers <= pages, seen
        assert rows is None or plan.rows_looked_at <= rows, seen


def listed(queue: Queue) -> list[UUID]:
    return [due.id for due in queue.list_due(BATCH)]


def test_the_list_reads_the_head_of_what_is_due(queue: Queue) -> None:
    listed(queue)  # the first reader after many changes cleans the index up
    assert_cheap(Plans(queue.database).of(lambda: queue.list_due(BATCH)), 10 * BATCH, 4 * BATCH)


@pytest.mark.parametrize("kind", [kind for kind in OutcomeKind if kind is not OutcomeKind.RELEASED])
def test_claim_journal_and_write_back_read_what_their_batch_needs(queue: Queue, kind: OutcomeKind) -> None:
    plans, lease = Plans(queue.database), uuid4()
    ids = listed(queue)
    assert_cheap(plans.of(lambda: queue.claim(ids, lease, "run", 600)), BATCH * PAGES_PER_CONTACT, 22 * BATCH)
    batch = queue.claim(ids, lease, "run", 600)
    assert len(batch.contacts) == BATCH
    assert_cheap(plans.of(lambda: queue.claim(ids, lease, "run", 600)), 20 * BATCH, 20 * BATCH)
    assert_cheap(plans.of(lambda: answer(queue, batch, kind, error="no")), BATCH * PAGES_PER_CONTACT, 20 * BATCH)
    assert_cheap(plans.of(lambda: queue.write_back(lease)), BATCH * PAGES_PER_CONTACT, 30 * BATCH)


@pytest.mark.parametrize("event", ["release", "reap", "give_back"])
def test_ending_a_lease_reads_what_is_under_it(queue: Queue, event: str) -> None:
    lease = uuid4()
    queue.claim(listed(queue), lease, "run", -1 if event == "reap" else 600)
    ends = {
        "release": lambda: queue.release(lease, "paused"),
        "reap": queue.reap,
        "give_back": lambda: queue.give_back("run", "cancelled", crashed=True),
    }
    assert_cheap(Plans(queue.database).of(ends[event]), BATCH * PAGES_PER_CONTACT, 30 * BATCH)


def test_the_sensor_reads_one_row_of_what_is_due_and_each_waiting_contact_once(queue: Queue) -> None:
    queue.due_now()
    assert_cheap(Plans(queue.database).of(queue.due_now), 8 * WAITING, 5 * WAITING)  # the trees may be a level higher


def test_promote_reads_each_waiting_contact_once_and_each_wish_once(queue: Queue) -> None:
    wishes = 3 * AT_ONCE
    sql(
        queue.database,
        "UPDATE contacts SET brevo_processing_status = NULL WHERE id IN "
        "(SELECT id FROM contacts "
        "WHERE brevo_sync_status = 'Selected' AND brevo_processing_status = 'Queued' LIMIT :n)",
        n=wishes,
    )
    plans = Plans(queue.database).of(queue.promote)
    assert_cheap(plans, 8 * WAITING + AT_ONCE * PAGES_PER_CONTACT)
    assert sum(plan.rows_looked_at for plan in plans) <= 5 * WAITING + 20 * wishes, "in all transactions together"


def test_select_and_unselect_read_the_contacts_that_are_named(queue: Queue) -> None:
    ids = [row.id for row in sql(queue.database, "SELECT id FROM contacts LIMIT :n", n=BATCH)]
    plans = Plans(queue.database)
    assert_cheap(plans.of(lambda: queue.unselect(ids)), BATCH * PAGES_PER_CONTACT, 20 * BATCH)
    assert_cheap(plans.of(lambda: queue.select(ids)), BATCH * PAGES_PER_CONTACT, 20 * BATCH)


def test_what_is_in_flight_is_read_once_by_a_list_and_once_by_a_claim(queue: Queue) -> None:
    leases = [uuid4() for _ in range(5)]
    for lease in leases:
        queue.claim(listed(queue), lease, "run", 600)
    in_flight, ids = BATCH * len(leases), listed(queue)
    plans = Plans(queue.database)
    assert_cheap(plans.of(lambda: queue.list_due(BATCH)), 10 * BATCH + 10 * in_flight, 4 * BATCH + 6 * in_flight)
    claimed = plans.of(lambda: queue.claim(ids, uuid4(), "run", 600))
    assert_cheap(claimed, BATCH * PAGES_PER_CONTACT + 10 * in_flight, 22 * BATCH + 6 * in_flight)
    queue.give_back("run", "over", crashed=False)
