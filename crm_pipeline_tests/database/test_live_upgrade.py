"""An upgrade of a database in use: it gives way, it goes on where it was stopped, and it leaves nothing half-built."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from sqlalchemy import text

from crm_pipeline.database.adoption import ROWS_AT_ONCE, session_settings
from crm_pipeline.database.engine import Database
from crm_pipeline.database.migrations.crms import CRMS
from crm_pipeline.database.present import read_present
from crm_pipeline.database.upgrade import current_version, newest_version, upgrade
from crm_pipeline.errors import DatabaseFailure
from crm_pipeline_tests.database.application import PLAIN, catalogue, leave_invalid
from crm_pipeline_tests.support.contacts import sql

ALTER_WAITS = (
    "SELECT 1 FROM pg_locks WHERE relation = to_regclass('contacts') AND NOT granted AND mode = 'AccessExclusiveLock'"
)
BUILD_WAITS = (
    "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND state = 'active' "
    "AND query LIKE 'CREATE INDEX CONCURRENTLY%' AND wait_event_type = 'Lock'"
)

TAKING_OVER_WAITS = (
    "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'DO %' "
    "AND wait_event_type = 'Lock'"
)


@pytest.fixture
def used(empty: Database) -> Database:
    """An application's database with a contact in it."""
    sql(empty, f"{PLAIN}; INSERT INTO contacts (email) VALUES ('ann@example.com')")
    return empty


@contextmanager
def held(database: Database, statement: str, isolation: str = "READ COMMITTED") -> Iterator[None]:
    """A transaction of somebody else that ran `statement` and stays open."""
    with database.engine.connect().execution_options(isolation_level=isolation) as connection:
        connection.execute(text(statement))
        yield
        connection.rollback()


class Background:
    """Upgrades in other threads."""

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        self._pool = pool

    def upgrade(self, database: Database) -> Future[tuple[str | None, str]]:
        """Begin one."""
        return self._pool.submit(upgrade, database, 60)


@pytest.fixture
def background() -> Iterator[Background]:
    with ThreadPoolExecutor() as pool:
        yield Background(pool)


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def test_while_an_upgrade_waits_for_a_reader_writers_go_on(used: Database, background: Background) -> None:
    writer = Database(used.url)
    with held(writer, "SELECT * FROM contacts"):
        running = background.upgrade(used)
        for _ in range(3):
            wait_until(lambda: sql(used, ALTER_WAITS))
            writer.run(
                lambda connection: connection.execute(
                    text("SET LOCAL lock_timeout = '1s'; UPDATE contacts SET favourite_colour = 'blue'")
                ),
                patience_seconds=0,
            )
        assert not running.done()
    assert running.result(timeout=60) == (None, newest_version())
    writer.dispose()


def test_an_upgrade_that_gets_no_lock_says_who_holds_it_and_goes_on_next_time(
    used: Database, database: Database
) -> None:
    with held(used, "SELECT pg_backend_pid(), contacts.* FROM contacts"):
        (holder,) = sql(used, "SELECT pid FROM pg_locks WHERE relation = 'contacts'::regclass")
        with pytest.raises(DatabaseFailure, match=f"contacts is in use by process {holder.pid} ") as caught:
            upgrade(used, patience_seconds=0.3)
        assert caught.value.sqlstate == "55P03"
        assert current_version(used) is None
    upgrade(used)
    assert catalogue(database) <= catalogue(used)


def test_an_index_whose_build_was_interrupted_is_dropped_and_rebuilt(used: Database, database: Database) -> None:
    leave_invalid(used, "contacts_brevo_due")
    assert sql(used, "SELECT 1 FROM pg_index WHERE NOT indisvalid")
    upgrade(used)
    assert catalogue(database) <= catalogue(used)


def test_an_upgrade_killed_while_it_builds_an_index_is_completed_by_the_next(
    used: Database, database: Database, background: Background
) -> None:
    reader = Database(used.url)
    with held(reader, "SELECT 1", isolation="REPEATABLE READ"):
        running = background.upgrade(used)
        wait_until(lambda: sql(used, BUILD_WAITS))
        sql(used, f"SELECT pg_terminate_backend(pid) FROM ({BUILD_WAITS}) building")
        with pytest.raises(DatabaseFailure):
            running.result(timeout=30)
    assert sql(used, "SELECT 1 FROM pg_index WHERE NOT indisvalid")
    upgrade(used)
    assert catalogue(database) <= catalogue(used)
    reader.dispose()


def test_while_an_index_is_built_writers_go_on(used: Database, background: Background) -> None:
    reader, writer = Database(used.url), Database(used.url)
    with held(reader, "SELECT 1", isolation="REPEATABLE READ"):
        running = background.upgrade(used)
        # It waits for the reader in one go: begun anew at each lock timeout, it would never come to an end.
        wait_until(lambda: sql(used, f"{BUILD_WAITS} AND clock_timestamp() - query_start > interval '0.2 s'"))
        sql(writer, "UPDATE contacts SET favourite_colour = 'blue'")
        sql(writer, "INSERT INTO contacts (email) VALUES ('bob@example.com')")
        sql(writer, "DELETE FROM contacts WHERE email = 'bob@example.com'")
        assert not running.done()
    assert running.result(timeout=60) == (None, newest_version())
    reader.dispose()
    writer.dispose()


def test_time_limits_of_the_role_do_not_stop_an_upgrade(used: Database) -> None:
    sql(used, f"ALTER DATABASE {used.url.database} SET statement_timeout = '9s'")
    fresh = Database(used.url)
    with fresh.engine.connect() as connection:
        assert connection.exec_driver_sql("SHOW statement_timeout").scalar() == "9s"
        for setting in session_settings(read_present(connection, CRMS)):
            connection.exec_driver_sql(setting)
        assert connection.exec_driver_sql("SHOW statement_timeout").scalar() == "0"
        connection.rollback()
    fresh.dispose()


def test_a_contact_deleted_while_its_retry_is_taken_over_is_no_failure(
    database: Database, background: Background
) -> None:
    sql(
        database,
        "DELETE FROM crm_pipeline_version; INSERT INTO contacts (email, brevo_sync_status, brevo_processing_status) "
        "SELECT i, 'Queued', 'Error' FROM generate_series(1, 10) i",
    )
    with database.engine.begin() as application:
        application.execute(text("DELETE FROM contacts WHERE email = '5'"))
        running = background.upgrade(database)
        wait_until(lambda: sql(database, TAKING_OVER_WAITS))
    running.result(timeout=60)
    assert sql(database, "SELECT count(*) FROM crm_sync") == [(9,)]


def test_waiting_contacts_are_taken_over_some_at_a_time(database: Database, background: Background) -> None:
    sql(
        database,
        "DELETE FROM crm_pipeline_version; "
        "INSERT INTO contacts (id, email, brevo_sync_status, brevo_processing_status) "
        f"SELECT lpad(to_hex(i), 32, '0')::uuid, i, 'Queued', 'Error' FROM generate_series(1, {ROWS_AT_ONCE + 1}) i",
    )
    with held(database, f"SELECT 1 FROM contacts WHERE email = '{ROWS_AT_ONCE + 1}' FOR UPDATE"):
        running = background.upgrade(database)
        wait_until(lambda: sql(database, TAKING_OVER_WAITS))
        assert sql(database, "SELECT count(*) FROM crm_sync") == [(ROWS_AT_ONCE,)]
    running.result(timeout=60)
    assert sql(database, "SELECT count(*) FROM crm_sync") == [(ROWS_AT_ONCE + 1,)]
