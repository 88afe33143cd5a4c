"""Contacts from a file, into the application's table: who is there already is left as it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from crm_pipeline.contacts.columns import address_key
from crm_pipeline.contacts.csv_lines import Line
from crm_pipeline.contacts.queue import Queue
from crm_pipeline.database.engine import Database
from crm_pipeline.database.present import required_columns
from crm_pipeline.errors import DatabaseFailure, UsageError

AT_ONCE = 5000


@dataclass(frozen=True, slots=True)
class Added:
    """What became of lines."""

    added: int
    selected: int
    refused: list[tuple[Line, str]]
    """Lines that the database does not take, each with its reason."""


def check_columns(database: Database, columns: Sequence[str]) -> None:
    """Raise UsageError naming what a contact of this database must have, and the file has not."""
    missing = [column for column in database.run(required_columns) if column not in columns]
    if missing:
        raise UsageError(
            f"A contact of this database must have a value in {', '.join(missing)}, which the file does not give: "
            "insert these contacts through the application or with SQL, then select them."
        )


def unknown(database: Database, lines: Sequence[Line]) -> list[Line]:
    """Those whose address (any case, blanks aside) no contact has. Scans the table, for no index serves that."""

    def look(connection: Connection) -> set[str]:
        connection.execute(text("SET LOCAL enable_seqscan = on; SET LOCAL statement_timeout = '60s'"))
        return set(
            connection.execute(
                text(
                    "SELECT line.email FROM unnest(CAST(:emails AS text[])) AS line (email) WHERE EXISTS "  # noqa: S608
                    f"(SELECT FROM contacts c WHERE {address_key('c.email')} = {address_key('line.email')})"
                ),
                {"emails": [line.values["email"] for line in lines]},
            ).scalars()
        )

    known = database.run(look) if lines else set()
    return [line for line in lines if line.values["email"] not in known]


def add_lines(database: Database, lines: Sequence[Line], wanted_by: Queue | None = None) -> Added:
    """Add a contact for each, and select it when somebody wants it: both or neither, whatever cuts this off.

    In one transaction; when that is refused, in halves, until the lines to blame are found.
    """

    def work(connection: Connection) -> Added:
        ids = _insert(connection, lines)
        return Added(len(ids), wanted_by.select_within(connection, ids) if wanted_by else 0, [])

    if not lines:
        return Added(0, 0, [])
    try:
        return database.run(work)
    except DatabaseFailure as failure:
        if not failure.about_a_row:
            raise
        if len(lines) == 1:
            return Added(0, 0, [(lines[0], str(failure))])
    middle = len(lines) // 2
    one, two = (add_lines(database, half, wanted_by) for half in (lines[:middle], lines[middle:]))
    return Added(one.added + two.added, one.selected + two.selected, one.refused + two.refused)


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
