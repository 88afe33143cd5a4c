"""Contacts from a file, into the application's table: who is there already is left as it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from crm_pipeline.contacts.csv_lines import Line
from crm_pipeline.database.engine import Database
from crm_pipeline.database.present import required_columns
from crm_pipeline.errors import DatabaseFailure, UsageError

AT_ONCE = 5000
ABOUT_DATA = ("22", "23", "P0")
"""Classes of errors that a line's own values cause: too long, against a constraint, refused by a trigger."""


def check_columns(database: Database, columns: Sequence[str]) -> None:
    """Raise UsageError naming what a contact of this database must have, and the file has not."""
    missing = [column for column in database.run(required_columns) if column not in columns]
    if missing:
        raise UsageError(
            f"A contact of this database must have a value in {', '.join(missing)}, which the file does not give: "
            "insert these contacts through the application or with SQL, then select them."
        )


def unknown(database: Database, lines: Sequence[Line]) -> list[Line]:
    """Those whose address (in any case) no contact has. Scans the table, for no index serves an address in any case."""

    def look(connection: Connection) -> set[str]:
        connection.execute(text("SET LOCAL enable_seqscan = on; SET LOCAL statement_timeout = '60s'"))
        return set(
            connection.execute(
                text(
                    "SELECT line.key FROM unnest(CAST(:keys AS text[])) AS line (key) "
                    "WHERE EXISTS (SELECT FROM contacts c WHERE lower(btrim(c.email::text)) = line.key)"
                ),
                {"keys": [line.key for line in lines]},
            ).scalars()
        )

    known = database.run(look) if lines else set()
    return [line for line in lines if line.key not in known]


def add_lines(database: Database, lines: Sequence[Line]) -> tuple[list[UUID], list[tuple[Line, str]]]:
    """Add a contact for each; ids, and the lines that the database does not take, each with its reason.

    In one statement; when that is refused, in halves, until the lines to blame are found.
    """
    if not lines:
        return [], []
    try:
        return database.run(lambda connection: _insert(connection, lines)), []
    except DatabaseFailure as failure:
        if (failure.sqlstate or "")[:2] not in ABOUT_DATA:
            raise
        if len(lines) == 1:
            return [], [(lines[0], str(failure))]
    middle = len(lines) // 2
    ids, rejected = add_lines(database, lines[:middle])
    more_ids, more_rejected = add_lines(database, lines[middle:])
    return ids + more_ids, rejected + more_rejected


def _insert(connection: Connection, lines: Sequence[Line]) -> list[UUID]:
    columns = list(lines[0].values)
    types: dict[str, str] = dict(
        connection.execute(
            text(
                "SELECT attname, format_type(atttypid, NULL) FROM pg_attribute "
                "WHERE attrelid = 'contacts'::regclass AND attname = ANY(:columns)"
            ),
            {"columns": columns},
        )
        .tuples()
        .all()
    )
    arrays = ", ".join(f"CAST(:{column} AS text[])" for column in columns)
    values = ", ".join(f"CAST(line.{column} AS {types[column]})" for column in columns)
    statement = text(
        f"INSERT INTO contacts ({', '.join(columns)}) SELECT {values} "  # noqa: S608 (own names)
        f"FROM unnest({arrays}) AS line ({', '.join(columns)}) RETURNING id"
    )
    parameters = {column: [_text(line.values[column]) for line in lines] for column in columns}
    return list(connection.execute(statement, parameters).scalars())


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
