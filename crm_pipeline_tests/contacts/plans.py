"""The plans of the statements that the queue really runs, with what each read; and a table large enough to show it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import event

from crm_pipeline.database.engine import Database
from crm_pipeline_tests.support.contacts import sql


@dataclass(frozen=True)
class Plan:
    """One statement's plan as it ran."""

    statement: str
    nodes: list[dict[str, Any]]

    @property
    def buffers(self) -> int:
        """Pages of 8 kB that were read, found in the cache or not."""
        top = self.nodes[0]
        return int(top["Shared Hit Blocks"] + top["Shared Read Blocks"])

    @property
    def rows_looked_at(self) -> int:
        """Rows that scans of tables and indexes gave or threw away."""
        return sum(
            int(
                node["Actual Loops"]
                * (
                    node["Actual Rows"]
                    + node.get("Rows Removed by Filter", 0)
                    + node.get("Rows Removed by Join Filter", 0)
                )
            )
            for node in self.nodes
        )

    @property
    def scanned(self) -> list[str]:
        """Tables that were read from end to end."""
        return [node["Relation Name"] for node in self.nodes if node["Node Type"] == "Seq Scan"]


@dataclass
class Plans:
    """While it is on, each statement is explained with its own values, undone, and then run as it would have been."""

    database: Database
    seen: list[Plan] = field(default_factory=list)

    def of(self, work: Callable[[], object]) -> list[Plan]:
        """The plans of all statements that `work` runs."""
        self.seen.clear()
        event.listen(self.database.engine, "before_cursor_execute", self._explain)
        try:
            work()
        finally:
            event.remove(self.database.engine, "before_cursor_execute", self._explain)
        return list(self.seen)

    def _explain(self, _connection: Any, cursor: Any, statement: str, values: Any, *_rest: Any) -> None:
        if "SET LOCAL" in statement:
            return
        cursor.execute("SAVEPOINT explained")
        cursor.execute("EXPLAIN (ANALYZE, BUFFERS, TIMING off, FORMAT JSON) " + statement, values)
        (answer,) = cursor.fetchone()
        cursor.execute("ROLLBACK TO SAVEPOINT explained")
        found = answer if isinstance(answer, list) else json.loads(answer)
        self.seen.append(Plan(statement, list(_nodes(found[0]["Plan"]))))


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", []):
        yield from _nodes(child)


def fill(database: Database, contacts: int) -> None:
    """Contacts wanted by nobody, and their mechanics from some earlier sync."""
    sql(
        database,
        "INSERT INTO contacts (email, name, updated_at) "
        "SELECT 'person-' || n || '@example.com', 'Person ' || n, now() - n * interval '1 second' "
        "FROM generate_series(1, :contacts) n",
        contacts=contacts,
    )
    sql(database, "INSERT INTO crm_sync (contact_id, crm) SELECT id, 'brevo' FROM contacts")


def enqueue(database: Database) -> None:
    """In one statement each, as a person would: three tenths due, three waiting for their retry, two synced."""
    sql(
        database,
        "UPDATE contacts SET "
        "brevo_sync_status = (ARRAY['Selected', 'Queued', 'Complete', 'New'])[kind]::crm_sync_status, "
        "brevo_processing_status = (ARRAY['Queued', 'Error', 'Complete', NULL])[kind]::crm_processing_status "
        "FROM (SELECT id, CASE WHEN n % 10 < 3 THEN 1 WHEN n % 10 < 6 THEN 2 WHEN n % 10 < 8 THEN 3 ELSE 4 END AS kind "
        "FROM (SELECT id, row_number() OVER (ORDER BY updated_at) AS n FROM contacts) numbered) kinds "
        "WHERE contacts.id = kinds.id",
    )
    sql(
        database,
        "UPDATE crm_sync SET retry_count = 1, next_retry_at = now() + interval '1 hour' FROM contacts c "
        "WHERE c.id = contact_id AND c.brevo_processing_status = 'Error'",
    )


def command(database: Database, statement: str) -> None:
    """Run what cannot run in a transaction."""
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql(statement)
