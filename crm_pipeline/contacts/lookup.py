"""Finding contacts, and what is known about them: for people, the CLI and tables in the UI."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from crm_pipeline.contacts.columns import CrmColumns
from crm_pipeline.database.engine import Database
from crm_pipeline.database.present import required_columns
from crm_pipeline.errors import DatabaseFailure, UnknownContact, UsageError

NOT_NULL_VIOLATION = "23502"


class Contacts:
    """The application's table, as people ask about it."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def find(self, names: Sequence[str]) -> list[UUID]:
        """The contacts with these e-mail addresses (any case) or ids; raises UnknownContact naming those nobody has."""
        rows = self._look_up(names)
        known = {str(row.id) for row in rows} | {row.email for row in rows}
        unknown = [name for name in names if name.strip().lower() not in known]
        if unknown:
            raise UnknownContact(f"No contact has the address or id {', '.join(unknown)}.")
        return [row.id for row in rows]

    def known(self, names: Sequence[str]) -> list[UUID]:
        """Those of the contacts with these e-mail addresses (any case) or ids that there are."""
        return [row.id for row in self._look_up(names)]

    def add(self, email: str, name: str | None = None, phone_number: str | None = None) -> UUID:
        """Insert one contact, wanted by no CRM yet. What is not given keeps the table's default.

        Raises UsageError naming the columns that an application's table must have filled, when there are others.
        """
        values = {"email": email, "name": name, "phone_number": phone_number}
        values = {column: value for column, value in values.items() if value is not None}
        insert = text(
            f"INSERT INTO contacts ({', '.join(values)}) "  # noqa: S608 (own names)
            f"VALUES (:{', :'.join(values)}) RETURNING id"
        )
        try:
            contact_id: UUID = self.database.run(lambda connection: connection.execute(insert, values).scalar_one())
        except DatabaseFailure as failure:
            if failure.sqlstate != NOT_NULL_VIOLATION:
                raise
            columns = [column for column in self.database.run(required_columns) if column not in values]
            raise UsageError(
                f"A contact of this database must have a value in {', '.join(columns) or 'some column'}, which cannot "
                "be given here: insert it through the application or with SQL, then select it."
            ) from None
        return contact_id

    def statuses(self, columns: CrmColumns, ids: Sequence[UUID]) -> list[Any]:
        """Rows by address: id, email, sync_status, processing_status, error, external_id, retry_count, next_retry_at,
        leased, synced_at, target.
        """
        return list(
            self.database.run(
                lambda connection: connection.execute(
                    text(
                        f"SELECT c.id, c.email, c.{columns.sync_status}::text AS sync_status, "  # noqa: S608 (own names)
                        f"c.{columns.processing_status}::text AS processing_status, c.{columns.error} AS error, "
                        f"c.{columns.external_id} AS external_id, coalesce(s.retry_count, 0) AS retry_count, "
                        "coalesce(s.next_retry_at, CASE WHEN c.last_failed_crm = :crm THEN c.next_retry_at END) "
                        "AS next_retry_at, coalesce(s.leased_until > now(), false) AS leased, s.synced_at, s.target "
                        "FROM contacts c LEFT JOIN crm_sync s ON s.contact_id = c.id AND s.crm = :crm "
                        "WHERE c.id = ANY(CAST(:ids AS uuid[])) ORDER BY c.email, c.id"
                    ),
                    {"crm": columns.crm, "ids": [str(contact_id) for contact_id in ids]},
                ).all()
            )
        )

    def attempts(self, contact_id: UUID, crm: str, limit: int = 50) -> list[Any]:
        """The contact's rows of `crm_attempts`, newest first."""
        return list(
            self.database.run(
                lambda connection: connection.execute(
                    text(
                        "SELECT * FROM crm_attempts WHERE contact_id = CAST(:id AS uuid) AND crm = :crm "
                        "ORDER BY started_at DESC, id DESC LIMIT :limit"
                    ),
                    {"id": str(contact_id), "crm": crm, "limit": limit},
                ).all()
            )
        )

    def _look_up(self, names: Sequence[str]) -> Sequence[Any]:
        names = [name.strip().lower() for name in names]
        ids = [name for name in names if _is_uuid(name)]

        def look(connection: Connection) -> Sequence[Any]:
            connection.execute(text("SET LOCAL enable_seqscan = on"))  # no index serves an address in any case
            return connection.execute(
                text(
                    "SELECT c.id, lower(btrim(c.email)) AS email FROM contacts c "
                    "WHERE c.id = ANY(CAST(:ids AS uuid[])) "
                    "UNION SELECT c.id, lower(btrim(c.email)) FROM contacts c "
                    "WHERE cardinality(CAST(:emails AS text[])) > 0 AND lower(btrim(c.email)) = ANY(:emails) "
                    "ORDER BY id"
                ),
                {"ids": ids, "emails": [name for name in names if name not in ids]},
            ).all()

        return self.database.run(look)


def _is_uuid(value: str) -> bool:
    try:
        UUID(value)
    except ValueError:
        return False
    return True
