"""`kill -9` at each moment of a batch: nothing is lost, and what was not in flight is pushed exactly once.

The moments are met without hooks in the product: the sandbox holds an answer, or a second connection holds a lock for
which the run then waits.
"""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest
from sqlalchemy import text

from crm_pipeline.contacts.statements import Statements
from crm_pipeline.database.engine import Database
from crm_pipeline.sandbox.account import Account
from crm_pipeline_tests.conftest import BREVO
from crm_pipeline_tests.orchestration.live.stack import Dagster
from crm_pipeline_tests.support.contacts import insert_many, pairs, sql
from crm_pipeline_tests.support.waiting import wait_for

pytestmark = [pytest.mark.timeout(400), pytest.mark.xdist_group("killed")]
BATCH = 10
ALL = [f"person-{number}" for number in range(1, BATCH + 1)]
FIRST = ALL[0]
WAITS_FOR_THE_GATE = (
    "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '-- GCRA: the next free slot%'"
)
Moment = Callable[[Database, Account, str], AbstractContextManager[None]]


@contextmanager
def holding(database: Database, statement: str, **values: Any) -> Iterator[None]:
    """A second connection that holds what `statement` locks, and undoes what it did."""
    with database.engine.connect() as connection:
        connection.execute(text(statement), values)
        yield
        connection.rollback()


def wait_for_a_waiter(database: Database, name: str, folder: str = "transitions") -> None:
    """Return when the statement of this file waits for a lock."""
    first_line = Statements(BREVO).sql(name, folder).splitlines()[0]
    waiters = "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND starts_with(query, :first_line)"
    wait_for(lambda: sql(database, waiters, first_line=first_line), every=0.02)


def held_claim(database: Database, domain: str) -> AbstractContextManager[None]:
    """The claim waits for a row of crm_sync that may come to be."""
    insert = "INSERT INTO crm_sync (contact_id, crm) SELECT id, 'brevo' FROM contacts WHERE email = :email"
    return holding(database, insert, email=f"{FIRST}@{domain}")


@contextmanager
def before_the_claim_commits(database: Database, account: Account, domain: str) -> Iterator[None]:
    with held_claim(database, domain):
        wait_for_a_waiter(database, "claim")
        yield


@contextmanager
def after_the_claim_before_the_first_request(database: Database, account: Account, domain: str) -> Iterator[None]:
    with held_claim(database, domain):
        wait_for_a_waiter(database, "claim")
        gate = holding(database, "SELECT FROM crm_gate FOR UPDATE")
        gate.__enter__()
    wait_for(lambda: sql(database, WAITS_FOR_THE_GATE), every=0.02)
    yield
    gate.__exit__(None, None, None)


@contextmanager
def during_the_sends(database: Database, account: Account, domain: str) -> Iterator[None]:
    with account.faults.hold(lambda address: address.endswith(domain), before_storing=True) as hold:
        hold.wait_for(BATCH, 120)
        yield


@contextmanager
def after_an_answer(database: Database, account: Account, domain: str) -> Iterator[None]:
    """Nine answers are journalled, the tenth request is in flight."""
    with account.faults.hold(lambda address: address == f"{FIRST}@{domain}"):
        wait_for(lambda: len(journalled(database, domain)) == BATCH - 1)
        yield


@contextmanager
def during_the_journals_insert(database: Database, account: Account, domain: str) -> Iterator[None]:
    with holding(database, "LOCK TABLE crm_attempts IN SHARE MODE"):
        wait_for_a_waiter(database, "journal", "queries")
        yield


@contextmanager
def during_the_write_back(database: Database, account: Account, domain: str) -> Iterator[None]:
    with account.faults.hold(lambda address: address == f"{FIRST}@{domain}") as hold:
        attempts = wait_for(lambda: len(rows := journalled(database, domain)) == BATCH - 1 and rows)
        ids = [row.id for row in attempts]
        with holding(database, "SELECT FROM crm_attempts WHERE id = ANY(:ids) FOR UPDATE", ids=ids):
            hold.release()
            wait_for_a_waiter(database, "synced")
            yield


@contextmanager
def after_the_write_back(database: Database, account: Account, domain: str) -> Iterator[None]:
    """The first batch is written back, the requests of the second are in flight."""
    with account.faults.hold(lambda address: address.endswith("second.example.com")) as hold:
        hold.wait_for(1, 120)
        yield


# Who was in flight, and so may be pushed twice.
MOMENTS: dict[Moment, list[str]] = {
    before_the_claim_commits: [],
    after_the_claim_before_the_first_request: [],
    during_the_sends: ALL,
    after_an_answer: [FIRST],
    during_the_journals_insert: ALL,
    during_the_write_back: [],
    after_the_write_back: [],
}


def insert_first(database: Database, domain: str, days: int) -> None:
    """A batch that the next run takes first: before what earlier runs left, which is given back meanwhile."""
    insert_many(database, BATCH, domain)
    changed = "UPDATE contacts SET updated_at = now() - make_interval(days => :days) WHERE email LIKE :like"
    sql(database, changed, days=days, like=f"%@{domain}")


def journalled(database: Database, domain: str) -> list[Any]:
    rows = "SELECT a.id FROM crm_attempts a JOIN contacts c ON c.id = a.contact_id WHERE c.email LIKE :like"
    return sql(database, rows, like=f"%@{domain}")


def test_a_run_killed_at_any_moment_loses_nothing_and_repeats_only_what_was_in_flight(
    database: Database, account: Account, dagster: Dagster
) -> None:
    dagster.stop_sensor("brevo_retry_sensor")
    dagster.stop_schedule("brevo_sync_schedule")
    in_flight = {f"{name}@second.example.com" for name in ALL}
    contacts = BATCH
    for number, (moment, names) in enumerate(MOMENTS.items(), start=1):
        domain = f"{moment.__name__.replace('_', '-')}.example.com"
        insert_first(database, domain, days=2 * number)
        if moment is after_the_write_back:
            insert_first(database, "second.example.com", days=2 * number - 1)
        run_id = dagster.launch("brevo_sync")
        with moment(database, account, domain):
            dagster.run_process(run_id).send_signal(signal.SIGKILL)
            wait_for(lambda run_id=run_id: dagster.run(run_id)["status"] == "FAILURE")  # type: ignore[misc]
        in_flight |= {f"{name}@{domain}" for name in names}
        contacts += BATCH
    dagster.start_sensor("brevo_retry_sensor")
    wait_for(lambda: pairs(database) == {"Complete/Complete": contacts})
    pushes = Counter(address for _, address in account.received)
    assert {address for address, count in pushes.items() if count > 1} <= in_flight
    assert max(pushes.values()) <= 2
    assert len(pushes) == contacts
    assert sql(database, "SELECT FROM contacts WHERE retry_count > 0") == []
