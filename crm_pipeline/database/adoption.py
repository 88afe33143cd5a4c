"""The statements that give a database what it lacks. No value is changed, and writers hardly wait.

Each statement commits by itself and may be run again; what was stopped goes on where it stopped.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError
from tenacity import RetryError, Retrying, retry_if_exception, stop_after_delay, wait_random

from crm_pipeline.database.catalog import quoted_labels
from crm_pipeline.database.present import Present, Table, quoted
from crm_pipeline.database.tables import (
    HOT_TABLE,
    LABELS,
    OWN_INDEXES,
    OWN_TABLES,
    PROCESSING_TYPE,
    SYNC_TYPE,
    Index,
    contact_columns,
    contact_indexes,
    crm_columns,
)
from crm_pipeline.errors import DatabaseFailure

logger = logging.getLogger(__name__)

LOCK_MS = 25
"""While a statement waits for a table's lock, writers queue behind it: so it waits briefly, and often."""
LONGEST_PAUSE_SECONDS = 1.0
CONTENTION = {"55P03", "40P01"}
"""Lock timeout, deadlock."""
ROWS_AT_ONCE = 200
"""Contacts taken over in one transaction: whoever deletes one of them waits for its end."""
_HOLDERS = text(
    "SELECT DISTINCT a.pid, extract(epoch FROM now() - a.xact_start)::int AS seconds FROM pg_locks l "
    "JOIN pg_stat_activity a USING (pid) WHERE l.relation = to_regclass('contacts') AND l.granted "
    "AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND a.pid <> pg_backend_pid()"
)


@dataclass(frozen=True, slots=True)
class Statement:
    """What it does, for people, and its SQL: parts that are repeated together."""

    says: str
    sql: tuple[str, ...]
    unhurried: bool = False
    """Its locks block no writer: it may wait for as long as it takes."""

    @property
    def lock_ms(self) -> int:
        """Its lock_timeout."""
        return 0 if self.unhurried else LOCK_MS


def session_settings(present: Present) -> list[str]:
    """For the connection that runs the statements: no time limit of the role applies, and it leaves room for others."""
    assert present.schema is not None
    path = [present.schema, *(schema for schema in present.path if schema != present.schema)]
    limits = "'statement_timeout', 'transaction_timeout', 'idle_in_transaction_session_timeout'"
    return [
        f"SET search_path = {', '.join(quoted(schema) for schema in path)}",
        "SET client_min_messages = warning",
        "SET max_parallel_maintenance_workers = 0",
        "SET enable_seqscan = off",  # no statistics know the new indexes: read them in their order, row by row
        "SET enable_bitmapscan = off",
        f"SELECT count(set_config(name, '0', false)) FROM pg_settings WHERE name IN ({limits})",  # noqa: S608
    ]


def missing_statements(present: Present, crms: Mapping[str, str]) -> list[Statement]:
    """Types, labels, columns, tables and indexes that are not there; nothing when all is."""
    return [
        *_types(present, crms),
        *_contacts(present, crms),
        *(
            Statement(
                f"the table {name}",
                (
                    f"CREATE TABLE IF NOT EXISTS {name} (\n    {table.definition()}\n)"
                    + (f" WITH ({table.options})" if table.options else ""),
                ),
            )
            for name, table in OWN_TABLES.items()
            if name not in present.tables
        ),
        *_own_columns(present),
        *(
            _index(index, present.tables.get(index.table))
            for index in (*OWN_INDEXES, *contact_indexes(crms))
            if not present.indexes.get(index.name, (None, False))[1]
        ),
    ]


def first_statements(present: Present, crms: Mapping[str, str]) -> list[Statement]:
    """What is done once, when these CRMs come to the database: their gates, and retries that wait already."""
    # The slow default, until a run writes the configured rate.
    values = ", ".join(f"('{crm}', 1)" for crm in crms)
    gates = f"INSERT INTO crm_gate (crm, rate_per_second) VALUES {values} ON CONFLICT (crm) DO NOTHING"  # noqa: S608
    found = present.contacts.columns if present.contacts is not None else {}
    return [
        Statement("the gates", (gates,)),
        *(
            Statement(f"retries of {crm} that are waiting", (_take_over(crm),))
            for crm in crms
            if all(column in found for column in (f"{crm}_sync_status", f"{crm}_processing_status"))
        ),
    ]


def execute(connection: Connection, statements: Sequence[Statement], patience_seconds: float) -> None:
    """Run them on an autocommit connection with `session_settings`.

    One that meets a lock is tried again for `patience_seconds`; then DatabaseFailure says who holds it.
    """
    for statement in statements:
        logger.info("Database: %s", statement.says)
        retrying = Retrying(
            retry=retry_if_exception(_is_contention),
            stop=stop_after_delay(patience_seconds),
            wait=wait_random(LOCK_MS / 1000, LONGEST_PAUSE_SECONDS),
        )
        try:
            retrying(_execute, connection, statement)
        except RetryError as error:
            raise DatabaseFailure(
                f"{statement.says} waited {patience_seconds:.0f} s for a lock{_holders(connection)}. "
                "End what holds it, or try at a quieter time: what was done stays, and the rest follows",
                getattr(getattr(error.last_attempt.exception(), "orig", None), "pgcode", None),
            ) from None


def _execute(connection: Connection, statement: Statement) -> None:
    connection.exec_driver_sql(f"SET lock_timeout = {statement.lock_ms}")
    for part in statement.sql:
        connection.exec_driver_sql(part)


def _is_contention(error: BaseException) -> bool:
    return isinstance(error, DBAPIError) and getattr(error.orig, "pgcode", None) in CONTENTION


def _holders(connection: Connection) -> str:
    holders = [
        f"process {row.pid}" + (f" (its transaction began {row.seconds} s ago)" if row.seconds is not None else "")
        for row in connection.execute(_HOLDERS)
    ]
    return f"; contacts is in use by {', '.join(holders)}" if holders else ""


def _types(present: Present, crms: Mapping[str, str]) -> list[Statement]:
    made = [
        Statement(
            f"the type {name}",
            (
                f"DO $$ BEGIN CREATE TYPE {name} AS ENUM ({quoted_labels(labels)}); "
                "EXCEPTION WHEN duplicate_object THEN NULL; END $$",
            ),
        )
        for name, labels in LABELS.items()
        if name not in present.types
    ]
    # A new label can be used only after it was committed: each is a step of its own.
    missing = [
        (name, label)
        for name in (SYNC_TYPE, PROCESSING_TYPE)
        if name in present.types
        for label in LABELS[name]
        if label not in present.types[name].labels
    ]
    found = present.contacts.columns if present.contacts is not None else {}
    missing += [
        (found[name].type_name, label)
        for crm, external_id in crms.items()
        for name, column in crm_columns(crm, external_id).items()
        if name in found
        for label in column.labels
        if label not in found[name].labels
    ]
    return made + [
        Statement(f"the label {label} of {name}", (f"ALTER TYPE {name} ADD VALUE IF NOT EXISTS '{label}'",))
        for name, label in dict.fromkeys(missing)
    ]


def _contacts(present: Present, crms: Mapping[str, str]) -> list[Statement]:
    wanted = contact_columns(crms)
    if present.contacts is None:
        columns = ",\n    ".join(f"{name} {column.definition}" for name, column in wanted.items())
        create = f"CREATE TABLE IF NOT EXISTS contacts (\n    {columns},\n    PRIMARY KEY (id)\n) WITH ({HOT_TABLE})"
        return [Statement("the table contacts", (create,))]
    found = present.contacts.columns
    parts = [
        f"ADD COLUMN IF NOT EXISTS {name} {column.definition}" for name, column in wanted.items() if name not in found
    ]
    # An application that fills in its values itself needs no default; whoever adds a contact with SQL does.
    parts += [
        f"ALTER COLUMN {name} SET DEFAULT {column.default}"
        for name, column in wanted.items()
        if name in found and column.default is not None and found[name].not_null and not found[name].has_default
    ]
    alter = "ALTER TABLE contacts\n    " + ",\n    ".join(parts)
    return [Statement("columns of contacts", (alter,))] if parts else []


def _own_columns(present: Present) -> list[Statement]:
    """What a newer version adds to our own tables."""
    statements = []
    for name, wanted in OWN_TABLES.items():
        table = present.tables.get(name)
        missing = {} if table is None else {c: d for c, d in wanted.columns.items() if c not in table.columns}
        if missing:
            parts = ",\n    ".join(f"ADD COLUMN IF NOT EXISTS {column} {define}" for column, define in missing.items())
            statements.append(Statement(f"columns of {name}", (f"ALTER TABLE {name}\n    {parts}",)))
    return statements


def _index(index: Index, table: Table | None) -> Statement:
    create = f"CREATE {'UNIQUE ' if index.unique else ''}INDEX"
    rest = f"{index.name} ON {index.table} {index.definition}"
    if table is None:
        return Statement(f"the index {index.name}", (f"{create} IF NOT EXISTS {rest}",))
    # An interrupted build leaves an invalid index behind, which IF NOT EXISTS would take for a good one.
    return Statement(
        f"the index {index.name}",
        (f"DROP INDEX CONCURRENTLY IF EXISTS {table.beside(index.name)}", f"{create} CONCURRENTLY {rest}"),
        unhurried=True,
    )


def _take_over(crm: str) -> str:
    """Contacts that wait for a retry get their mechanics, some at a time.

    Retries and time count where this CRM was the one that failed last; others are due now.
    """
    sync, processing = f"c.{crm}_sync_status", f"c.{crm}_processing_status"
    return f"""DO $$
DECLARE
    start_at uuid := '00000000-0000-0000-0000-000000000000';
    batch uuid[];
BEGIN
    LOOP
        batch := ARRAY(
            SELECT c.id FROM contacts c
            WHERE c.id >= start_at AND {sync} = 'Queued' AND {processing} = 'Error'
                -- as in the index's predicate, so that it serves
                AND {sync} IN ('Selected', 'Queued') AND {processing} IS DISTINCT FROM 'Queued'
                AND NOT EXISTS (SELECT FROM crm_sync s WHERE s.contact_id = c.id AND s.crm = '{crm}')
            ORDER BY c.id LIMIT {ROWS_AT_ONCE}
        );
        WITH waiting AS MATERIALIZED (
            SELECT c.id, (c.last_failed_crm = '{crm}') IS TRUE AS is_own, c.retry_count, c.next_retry_at FROM contacts c
            WHERE c.id = ANY(batch) AND {sync} = 'Queued' AND {processing} = 'Error'
            ORDER BY c.id FOR KEY SHARE OF c
        )
        INSERT INTO crm_sync (contact_id, crm, retry_count, next_retry_at)
        SELECT id, '{crm}', CASE WHEN is_own THEN greatest(coalesce(retry_count, 0), 0) ELSE 0 END,
            CASE WHEN is_own THEN coalesce(next_retry_at, now()) ELSE now() END
        FROM waiting
        ON CONFLICT (contact_id, crm) DO NOTHING;
        COMMIT;
        EXIT WHEN cardinality(batch) < {ROWS_AT_ONCE};
        start_at := batch[{ROWS_AT_ONCE}];
    END LOOP;
END $$"""  # noqa: S608 (own names)
