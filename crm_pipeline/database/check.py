"""Is this database fit for the pipeline? Everything that a person would want to know, in words, without touching it."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, text

from crm_pipeline.database.catalog import Difference, differences
from crm_pipeline.database.engine import Database
from crm_pipeline.database.migrations.crms import CRMS
from crm_pipeline.database.present import VERSION_TABLE, Present, read_present
from crm_pipeline.database.rights import missing_privileges, no_insert, row_security
from crm_pipeline.database.tables import WRITTEN, contact_columns, crm_columns
from crm_pipeline.database.upgrade import current_version, is_known, newest_version

OLDEST_SERVER = 140_000
_MAY_READ_VERSION = text("SELECT has_table_privilege(CAST(:table AS oid), 'SELECT')")
_TRIGGERS = text(
    "SELECT t.tgname::text AS name FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid "
    "WHERE t.tgrelid = CAST(:table AS oid) AND NOT t.tgisinternal AND t.tgenabled <> 'D' "
    "AND t.tgtype & 1 = 1 AND t.tgtype & 2 = 2 AND t.tgtype & 16 = 16 "  # for each row, before, update
    "AND (p.prosrc LIKE '%updated_at%' OR encode(t.tgargs, 'escape') LIKE '%updated_at%') ORDER BY t.tgname"
)


@dataclass(frozen=True, slots=True)
class Findings:
    """`problems` must be mended before the pipeline can work; `warnings` are good to know."""

    problems: tuple[str, ...]
    warnings: tuple[str, ...]


# Of columns that the pipeline writes: what is written to one contact may be refused because of another.
_UNIQUE = text(
    "SELECT c.relname::text AS name, string_agg(a.attname, ', ' ORDER BY a.attnum) AS columns "
    "FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid "
    "JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY((i.indkey::int2[])[0:i.indnkeyatts - 1]) "
    "WHERE i.indrelid = CAST(:table AS oid) AND i.indisunique GROUP BY 1 "
    "HAVING bool_or(a.attname = ANY(CAST(:written AS text[]))) AND NOT bool_or(a.attname = 'id') ORDER BY 1"
)


def check(database: Database) -> Findings:
    """Version, columns, indexes, privileges, row security, triggers. Raises DatabaseUnreachable."""
    database.ping()
    present = database.run(lambda connection: read_present(connection, CRMS))
    problems: list[Difference] = []
    warnings: list[Difference] = []
    if present.server_version < OLDEST_SERVER:
        problems.append(Difference(f"PostgreSQL {present.server_version // 10_000} is too old: 14 or newer is needed."))
    found = differences(present, CRMS, database.schema)
    problems += found.blocking
    older, newer = _version(database, present)
    problems += older or [*found.missing, *found.unindexed]
    warnings += [*newer, *found.warnings]

    def ask(connection: Connection) -> None:
        problems.extend(missing_privileges(connection, present, CRMS))
        for hides_all, difference in row_security(connection, present):
            (problems if hides_all else warnings).append(difference)
        warnings.extend(no_insert(connection, present))
        warnings.extend(_triggers(connection, present))
        warnings.extend(_unique(connection, present))

    database.run(ask)
    warnings += _required(present)
    if present.encoding == "UTF8" and not present.lowers_all:
        warnings.append(
            Difference(
                "The database's locale knows the case of no letter but A to Z: two contacts whose addresses differ in "
                "the case of another letter alone are not known to have one address."
            )
        )
    return Findings(tuple(map(str, problems)), tuple(map(str, warnings)))


def _version(database: Database, present: Present) -> tuple[list[Difference], list[Difference]]:
    """What is wrong when the database is at an older version, and what is good to know when it is at a newer one."""
    table, newest = present.tables.get(VERSION_TABLE), newest_version()
    if table is not None and not database.run(
        lambda connection: connection.execute(_MAY_READ_VERSION, {"table": table.oid}).scalar_one()
    ):
        return [], []  # the missing privilege is named, and the columns speak for themselves
    version = current_version(database)
    at = f"The database is at version {version or 'none'}"
    if version == newest:
        return [], []
    if version is not None and not is_known(version):
        return [], [
            Difference(f"{at}, of a newer crm_pipeline. Upgrades only add: this one works with it, at {newest}.")
        ]
    return [Difference(f"{at}; this program needs {newest}: `crm-pipeline db upgrade`.")], []


def _triggers(connection: Connection, present: Present) -> list[Difference]:
    if present.contacts is None:
        return []
    return [
        Difference(
            f"The trigger {name} sets contacts.updated_at, also when the pipeline writes a status. "
            "Nothing is lost by it, but a contact that is tried again stands at the end of the queue."
        )
        for name in connection.execute(_TRIGGERS, {"table": present.contacts.oid}).scalars()
    ]


def _unique(connection: Connection, present: Present) -> list[Difference]:
    if present.contacts is None:
        return []
    values = {
        "table": present.contacts.oid,
        "written": [*WRITTEN, *(name for crm in CRMS.items() for name in crm_columns(*crm))],
    }
    return [
        Difference(
            f"The unique index {row.name} holds {row.columns}, which the pipeline writes: a contact whose answer it "
            "refuses ends as Error / Error, the others go on."
        )
        for row in connection.execute(_UNIQUE, values)
    ]


def _required(present: Present) -> list[Difference]:
    wanted = contact_columns(CRMS)
    required = present.contacts.required if present.contacts is not None else []
    return [
        Difference(
            f"contacts.{name} must have a value and has no default: `contacts add` cannot fill it, "
            "insert contacts through the application."
        )
        for name in required
        if name != "email" and (name not in wanted or wanted[name].default is None)
    ]
