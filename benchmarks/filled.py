"""A large table of contacts on a PostgreSQL of its own, filled once and copied for each measurement.

Of ten contacts one is due, four are synced, with their mechanics and a journal row, and five are wanted by nobody.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.progress import Progress

from benchmarks.server import data_folder, execute
from crm_pipeline.contacts.answers import RetryPolicy
from crm_pipeline.contacts.columns import CrmColumns
from crm_pipeline.contacts.queue import Queue
from crm_pipeline.database.embedded import EmbeddedPostgres
from crm_pipeline.database.engine import Database
from crm_pipeline.database.upgrade import upgrade

PARTS = 20
DUE_SHARE = 10
"""One contact in so many is due."""
_SYNCED = "brevo_sync_status = 'Complete'"


class Filled:
    """A filled database in `folder`, never connected to again but by those who copy it."""

    def __init__(self, folder: Path, contacts: int) -> None:
        self.contacts = contacts
        self._postgres = EmbeddedPostgres(folder).start()

    @contextmanager
    def copy(self) -> Iterator[Database]:
        """A database of its own with the same contacts, dropped at the end."""
        admin = Database(self._postgres.url("postgres"))
        database = Database(self._postgres.url("benchmark"))
        source = self._postgres.url().database
        execute(admin, f'CREATE DATABASE benchmark TEMPLATE "{source}" STRATEGY file_copy')
        try:
            yield database
        finally:
            database.dispose()
            execute(admin, "DROP DATABASE benchmark WITH (FORCE)")
            admin.dispose()


@contextmanager
def filled(progress: Progress, contacts: int) -> Iterator[Filled]:
    """So many contacts, with the indexes that the upgrade makes, vacuumed and analysed."""
    task = progress.add_task(f"filling a table with {contacts:,} contacts", total=PARTS + 3)
    with data_folder() as folder:
        database = Database(EmbeddedPostgres(folder).start().url())
        upgrade(database)
        for part in range(PARTS):
            execute(database, _contacts(part * contacts // PARTS + 1, (part + 1) * contacts // PARTS))
            progress.advance(task)
        for statement in (_unchecked(_MECHANICS), _unchecked(_JOURNAL), "VACUUM ANALYZE"):
            execute(database, statement)
            progress.advance(task)
        database.dispose()
        yield Filled(folder, contacts)


def brevo_queue(database: Database) -> Queue:
    """The queue that is measured."""
    return Queue(database, CrmColumns("brevo", "brevo_contact_id"), RetryPolicy(), "api.example.com")


def _unchecked(insert: str) -> str:
    """Without looking up each foreign key, which takes more than half of the time: the rows were read from there."""
    return f"BEGIN; SET LOCAL session_replication_role = replica; {insert}; COMMIT"


def _contacts(first: int, last: int) -> str:
    """They come in the order of their age; their ids are random, as everywhere."""
    return f"""
INSERT INTO contacts (
    email, name, phone_number, email_type, source_url, context, created_at, updated_at,
    brevo_sync_status, brevo_processing_status, brevo_contact_id
)
SELECT email, 'Person Number ' || i, '+336' || (10000000 + i), 'CORPORATE', 'https://example.com/page/' || i,
    repeat('x', 120), now() - i * interval '1 second', now() - i * interval '1 second',
    (CASE WHEN kind = 0 THEN 'Selected' WHEN kind <= 4 THEN 'Complete' ELSE 'New' END)::crm_sync_status,
    (CASE WHEN kind = 0 THEN 'Queued' WHEN kind <= 4 THEN 'Complete' END)::crm_processing_status,
    CASE WHEN kind BETWEEN 1 AND 4 THEN email END
FROM (
    SELECT i, i % {DUE_SHARE} AS kind, 'person-' || i || '@example.com' AS email FROM generate_series({first}, {last}) i
) numbers"""


_MECHANICS = f"""
INSERT INTO crm_sync (contact_id, crm, email_key, synced_fingerprint, synced_at, target)
SELECT id, 'brevo', email, encode(sha256(email::bytea), 'hex'), updated_at, 'api.example.com'
FROM contacts WHERE {_SYNCED}"""
_JOURNAL = f"""
INSERT INTO crm_attempts (
    crm, contact_id, run_id, lease_id, attempt, target, started_at, duration_ms,
    outcome, http_status, external_id, applied
)
SELECT 'brevo', id, md5('run ' || n / 2000), md5('lease ' || n / 100)::uuid, 1, 'api.example.com', updated_at, 80,
    'synced', 201, email, 'applied'
FROM (SELECT id, email, updated_at, row_number() OVER () AS n FROM contacts WHERE {_SYNCED}) synced"""
