"""A row that the application's table refuses, by a constraint or a trigger, must not hold up all others."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar
from uuid import UUID

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from crm_pipeline.database.engine import Database, first_line, is_about_a_row
from crm_pipeline.errors import DatabaseFailure

logger = logging.getLogger(__name__)
Row = TypeVar("Row")
T = TypeVar("T")
_LATER = text("SET CONSTRAINTS ALL DEFERRED")
_NOW = text("SET CONSTRAINTS ALL IMMEDIATE")


def at_once_or_apart(database: Database, work: Callable[[Connection, bool], T]) -> T:
    """A transaction of `work(connection, each_apart=False)`; where a row was refused, one of `work(connection, True)`.

    Raises DatabaseFailure.
    """
    try:
        return database.run(lambda connection: work(connection, False))
    except DatabaseFailure as failure:
        if not failure.about_a_row:
            raise
    return database.run(lambda connection: work(connection, True))


def apart(
    connection: Connection, rows: Iterable[Row], work: Callable[[Row], T]
) -> tuple[list[T], list[tuple[Row, DBAPIError]]]:
    """Do `work` for each row, within a savepoint of its own: what was done, and which rows were refused.

    A constraint that waits for the COMMIT is asked at the end of each savepoint, for it would refuse all.
    """
    done: list[T] = []
    refused: list[tuple[Row, DBAPIError]] = []
    for row in rows:
        try:
            with connection.begin_nested():
                connection.execute(_LATER)
                done.append(work(row))
                connection.execute(_NOW)
        except DBAPIError as error:
            if not is_about_a_row(error):
                raise
            refused.append((row, error))
    return done, refused


def warn(event: str, refused: Sequence[tuple[UUID, DBAPIError]]) -> None:
    """Say in the run's log which contacts were left out."""
    for contact_id, error in refused:
        logger.warning("Contact %s is not %s: %s", contact_id, event, first_line(error))
