"""Contacts as tests need them: put in with any statuses, read back as rows."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import text

from crm_pipeline.database.engine import Database


def sql(database: Database, statement: str, **values: Any) -> list[Any]:
    """Run one statement in a transaction of its own, as a person with psql would."""

    def work(connection: Any) -> list[Any]:
        result = connection.execute(text(statement), values)
        return list(result.all()) if result.returns_rows else []

    return database.run(work)


def insert(
    database: Database, email: str, sync: str = "Selected", processing: str | None = "Queued", **columns: Any
) -> UUID:
    """One contact with the given pair of statuses for Brevo; returns its id."""
    values = {"email": email, "brevo_sync_status": sync, "brevo_processing_status": processing} | columns
    (row,) = sql(
        database,
        f"INSERT INTO contacts ({', '.join(values)}) VALUES ({', '.join(':' + name for name in values)}) RETURNING id",
        **values,
    )
    return row.id


def insert_many(database: Database, count: int, domain: str = "example.com") -> None:
    """`count` contacts, selected and queued: person-1@..., person-2@..."""
    sql(
        database,
        "INSERT INTO contacts (email, name, brevo_sync_status, brevo_processing_status) "
        "SELECT 'person-' || i || '@' || :domain, 'Person ' || i, 'Selected', 'Queued' "
        "FROM generate_series(1, :count) i",
        domain=domain,
        count=count,
    )


def contact(database: Database, contact_id: UUID) -> Any:
    """The contact's row."""
    (row,) = sql(database, "SELECT * FROM contacts WHERE id = :id", id=contact_id)
    return row


def pair(database: Database, contact_id: UUID) -> tuple[str, str | None]:
    """(sync status, processing status) for Brevo."""
    row = contact(database, contact_id)
    return row.brevo_sync_status, row.brevo_processing_status


def mechanics(database: Database, contact_id: UUID) -> Any:
    """The contact's row of crm_sync, or None."""
    rows = sql(database, "SELECT * FROM crm_sync WHERE contact_id = :id AND crm = 'brevo'", id=contact_id)
    return rows[0] if rows else None


def attempts(database: Database, contact_id: UUID) -> list[Any]:
    """The contact's journal, oldest first."""
    return sql(database, "SELECT * FROM crm_attempts WHERE contact_id = :id ORDER BY id", id=contact_id)


def pairs(database: Database) -> dict[str, int]:
    """How many contacts per pair, e.g. {'Complete/Complete': 5}."""
    rows = sql(
        database,
        "SELECT brevo_sync_status || '/' || coalesce(brevo_processing_status::text, 'NULL') AS pair, count(*) AS n "
        "FROM contacts GROUP BY 1",
    )
    return {row.pair: row.n for row in rows}
