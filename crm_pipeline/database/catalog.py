"""Is the database as the pipeline needs it? Asked of the catalogue, before a run's first claim."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, text

from crm_pipeline.database.engine import Database
from crm_pipeline.errors import SchemaError
from crm_pipeline.model import ProcessingStatus, SyncStatus

TEXT = frozenset({"text", "character varying", "citext", "character"})
CONTACT_COLUMNS: dict[str, frozenset[str]] = {
    "id": frozenset({"uuid"}),
    "email": TEXT,
    "name": TEXT,
    "phone_number": TEXT,
    "has_gmail": frozenset({"boolean"}),
    "source_url": TEXT,
    "domain_id": frozenset({"uuid"}),
    "page_id": frozenset({"uuid"}),
    "created_at": frozenset({"timestamp with time zone"}),
    "updated_at": frozenset({"timestamp with time zone"}),
    "retry_count": frozenset({"integer", "bigint", "smallint"}),
    "last_retry_at": frozenset({"timestamp with time zone"}),
    "next_retry_at": frozenset({"timestamp with time zone"}),
    "last_failed_crm": TEXT,
}
TABLES = ("crm_sync", "crm_attempts", "crm_gate")
_COLUMNS = text(
    "SELECT a.attname AS name, regexp_replace(format_type(a.atttypid, a.atttypmod), '\\(.*\\)', '') AS type, "
    "a.atttypid::regtype::text AS type_name, "
    "ARRAY(SELECT e.enumlabel FROM pg_enum e WHERE e.enumtypid = a.atttypid) AS labels "
    "FROM pg_attribute a WHERE a.attrelid = to_regclass('contacts') AND a.attnum > 0 AND NOT a.attisdropped"
)


@dataclass(frozen=True, slots=True)
class StatusTypes:
    """The names of a CRM's two enums in this database (adopted databases may have their own)."""

    sync: str
    processing: str


def check_schema(database: Database, crm: str, external_id: str) -> StatusTypes:
    """The CRM's enum names; raises SchemaError that names each missing or retyped column with found and wanted type."""
    return database.run(lambda connection: _check(connection, crm, external_id))


def _check(connection: Connection, crm: str, external_id: str) -> StatusTypes:
    found = {row.name: row for row in connection.execute(_COLUMNS)}
    if not found:
        raise SchemaError(["There is no table contacts on the search path (CRM_PIPELINE_SCHEMA names another schema)."])
    problems = [
        f"There is no table {table}."
        for table in TABLES
        if connection.execute(text("SELECT to_regclass(:table) IS NULL"), {"table": table}).scalar_one()
    ]
    for name, wanted in (CONTACT_COLUMNS | {f"{crm}_processing_error": TEXT, external_id: TEXT}).items():
        if name not in found:
            problems.append(f"contacts.{name} is missing (wanted: {_one(wanted)}).")
        elif found[name].type not in wanted:
            problems.append(f"contacts.{name} is {found[name].type}, wanted: {_one(wanted)}.")
    if "email_type" not in found:
        problems.append("contacts.email_type is missing (wanted: contact_email_type_enum).")
    for name, enum in ((f"{crm}_sync_status", SyncStatus), (f"{crm}_processing_status", ProcessingStatus)):
        labels = [label.value for label in enum]
        if name not in found:
            problems.append(f"contacts.{name} is missing (wanted: an enum of {', '.join(labels)}).")
        elif missing := [label for label in labels if label not in found[name].labels]:
            problems.append(
                f"contacts.{name} is {found[name].type}, which has no label {', '.join(missing)} "
                f"(wanted: an enum of {', '.join(labels)})."
            )
    if problems:
        raise SchemaError(problems)
    return StatusTypes(found[f"{crm}_sync_status"].type_name, found[f"{crm}_processing_status"].type_name)


def _one(types: frozenset[str]) -> str:
    return "text" if types is TEXT else " or ".join(sorted(types))
