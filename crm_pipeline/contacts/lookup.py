"""Finding contacts, and what is known about them: for people, the CLI and tables in the UI."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from crm_pipeline.contacts.columns import CrmColumns, address_key
from crm_pipeline.contacts.queue import Queue
from crm_pipeline.database.engine import Database
from crm_pipeline.database.present import required_columns
from crm_pipeline.errors import DatabaseFailure, UnknownContact, UsageError

NOT_NULL_VIOLATION = "23502"


class Contacts:
    """The application's table, as people ask about it."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def find(self, names: Sequence[str]) -> list[UUID]:
        """The contacts with these addresses (any case, blanks aside) or ids.

        Raises UnknownContact naming those nobody has.
        """
        known = self.known(names)
        unknown = [name for name in names if name not in known]
        if unknown:
            raise UnknownContact(f"No contact has the address or id {', '.join(unknown)}.")
        return sorted({contact_id for ids in known.values() for contact_id in ids})

    def known(self, names: Sequence[str]) -> dict[str, list[UUID]]:
        """The contacts with these addresses (any case, blanks aside) or ids, by name; without those nobody has."""
        ids = {name: str(UUID(name.strip())) for name in names if _is_uuid(name.strip())}

        def look(connection: Connection) -> Sequence[Any]:
            connection.execute(text("SET LOCAL enable_seqscan = on"))  # no index serves an address in any case
            return connection.execute(
                text(
                    "SELECT named.name, c.id FROM unnest(CAST(:names AS text[]), CAST(:ids AS uuid[])) "  # noqa: S608
                    "AS named (name, id) JOIN contacts c ON c.id = named.id "
                    "UNION SELECT named.name, c.id FROM unnest(CAST(:emails AS text[])) AS named (name) "
                    f"JOIN contacts c ON {address_key('c.email')} = {address_key('named.name')} ORDER BY id"
                ),
                {"names": list(ids), "ids": list(ids.values()), "emails": [name for name in names if name not in ids]},
            ).all()

        found: dict[str, list[UUID]] = {}
        for row in self.database.run(look):
            found.setdefault(row.name, []).append(row.id)
        return found

    def add(
        self, email: str, name: str | None = None, phone_number: str | None = None, wanted_by: Sequence[Queue] = ()
    ) -> UUID:
        """Insert one contact, and select it for these CRMs: both or neither. What is not given keeps its default.

        Raises UsageError naming the columns that an application's table must have filled, when there are others.
        """
        values = {"email": email, "name": name, "phone_number": phone_number}
        values = {column: value for column, value in values.items() if value is not None}
        insert = text(
            f"INSERT INTO contacts ({', '.join(values)}) "  # noqa: S608 (own names)
            f"VALUES (:{', :'.join(values)}) RETURNING id"
        )

        def work(connection: Connection) -> UUID:
            contact_id: UUID = connection.execute(insert, values).scalar_one()
            for queue in wanted_by:
                queue.select_within(connection, [contact_id])
            return contact_id

        try:
            return self.database.run(work)
        except DatabaseFailure as failure:
            if failure.sqlstate != NOT_NULL_VIOLATION:
                raise
            columns = [column for column in self.database.run(required_columns) if column not in values]
            raise UsageError(
                f"A contact of this database must have a value in {', '.join(columns) or 'some column'}, which cannot "
                "be given here: insert it through the application or with SQL, then select it."
            ) from None

    def statuses(self, columns: CrmColumns, ids: Sequence[UUID]) -> list[Any]:
        """Rows by address: id, email, sync_status, processing_status, error, external_id, retry_count, next_retry_at,
        leased, synced_at, target, refused_until.
        """
        return list(
            self.database.run(
                lambda connection: connection.execute(
                    text(
                        f"SELECT c.id, c.email, c.{columns.sync_status}::text AS sync_status, "  # noqa: S608 (own names)
                        f"c.{columns.processing_status}::text AS processing_status, c.{columns.error} AS error, "
                        f"c.{columns.external_id} AS external_id, coalesce(s.retry_count, 0) AS retry_count, "
                        "coalesce(s.next_retry_at, CASE WHEN c.last_failed_crm = :crm THEN c.next_retry_at END) "
                        "AS next_retry_at, coalesce(s.leased_until > now(), false) AS leased, s.synced_at, s.target, "
                        "CASE WHEN s.refused_until > now() THEN s.refused_until END AS refused_until "
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


def _is_uuid(value: str) -> bool:
    try:
        UUID(value)
    except ValueError:
        return False
    return True
