"""Old attempts go, in short transactions; what is still needed stays."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import text

from crm_pipeline.contacts.prune import STRETCH, prune_attempts
from crm_pipeline.contacts.statements import file_text
from crm_pipeline.database.engine import Database
from crm_pipeline_tests.contacts.races import holding
from crm_pipeline_tests.support.contacts import insert, sql

DAYS = 180


def attempt(database: Database, days_ago: float, count: int = 1, **columns: Any) -> None:
    columns = {"applied": "applied", "left_behind": None, **columns}
    contact_id = insert(database, "ann@example.com")
    sql(
        database,
        "INSERT INTO crm_attempts "
        "(crm, contact_id, lease_id, attempt, target, started_at, outcome, applied, left_behind) "
        "SELECT 'brevo', :id, gen_random_uuid(), 1, 'x', now() - make_interval(secs => 86400 * :days), 'synced', "
        ":applied, :left_behind FROM generate_series(1, :count)",
        id=contact_id,
        days=days_ago,
        count=count,
        **columns,
    )


def left(database: Database) -> int:
    return int(sql(database, "SELECT count(*) AS n FROM crm_attempts")[0].n)


def test_what_is_older_goes_and_what_is_younger_stays(database: Database) -> None:
    attempt(database, DAYS + 0.1, 3)
    attempt(database, DAYS - 0.1, 2)
    assert sum(prune_attempts(database, DAYS)) == 3
    assert left(database) == 2
    assert sum(prune_attempts(database, DAYS)) == 0


@pytest.mark.parametrize("columns", [{"applied": "pending"}, {"left_behind": "old@example.com"}])
def test_what_is_still_needed_stays_however_old(database: Database, columns: dict[str, Any]) -> None:
    attempt(database, 1000, **columns)
    assert sum(prune_attempts(database, DAYS)) == 0
    assert left(database) == 1


def test_many_go_some_at_a_time(database: Database) -> None:
    attempt(database, 1000, 2 * STRETCH + 10)
    assert list(prune_attempts(database, DAYS)) == [STRETCH, STRETCH, 10]


def test_a_row_that_somebody_holds_is_left_for_the_next_time_and_nobody_waits(database: Database) -> None:
    attempt(database, 1000, 2)
    with holding(database, "SELECT FROM crm_attempts ORDER BY id LIMIT 1 FOR UPDATE"):
        assert sum(prune_attempts(database, DAYS)) == 1
    assert sum(prune_attempts(database, DAYS)) == 1


def test_contacts_are_neither_touched_nor_locked(database: Database) -> None:
    attempt(database, 1000)
    with holding(database, "SELECT FROM contacts FOR UPDATE"):
        assert sum(prune_attempts(database, DAYS)) == 1
    assert len(sql(database, "SELECT FROM contacts")) == 1


def test_rows_that_stay_do_not_hide_the_old_ones_behind_them(database: Database) -> None:
    attempt(database, 1000, STRETCH + 5, left_behind="old@example.com")
    attempt(database, 1000, 3)
    assert sum(prune_attempts(database, DAYS)) == 3
    assert left(database) == STRETCH + 5


def test_the_newer_part_of_the_journal_is_not_read(database: Database) -> None:
    attempt(database, 1000, STRETCH)
    attempt(database, 1, STRETCH)
    attempt(database, 1000, 5)  # out of order by far more than the length of a run
    assert sum(prune_attempts(database, DAYS)) == STRETCH
    assert left(database) == STRETCH + 5


def test_no_contact_is_waited_for(database: Database) -> None:
    attempt(database, 1000, 2)
    with holding(database, "SELECT FROM contacts FOR UPDATE"):
        assert sum(prune_attempts(database, DAYS)) == 2


def test_two_at_once_delete_each_row_once_and_neither_waits_for_the_other(database: Database) -> None:
    attempt(database, 1000, 4 * STRETCH)
    statement = file_text("queries", "prune_attempts")
    with database.engine.begin() as one:  # deletes the first stretch, and has not committed when the other begins
        gone = one.execute(text(statement), {"after": 0, "days": DAYS, "limit": STRETCH}).one().gone
        others = list(prune_attempts(database, DAYS))
    assert (gone, others) == (STRETCH, [0, STRETCH, STRETCH, STRETCH])
    assert left(database) == 0
