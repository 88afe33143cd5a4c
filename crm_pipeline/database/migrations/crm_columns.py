"""What migrations do more than once: adding a CRM is one call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from alembic import op
from sqlalchemy import text


def table_exists(table: str) -> bool:
    """Is there such a table on the search path?"""
    return bool(op.get_bind().execute(text("SELECT to_regclass(:table) IS NOT NULL"), {"table": table}).scalar_one())


def add_enum(name: str, labels: Sequence[str]) -> None:
    """Create the enum unless it exists."""
    if op.get_bind().execute(text("SELECT to_regtype(:name) IS NULL"), {"name": name}).scalar_one():
        op.execute(f"CREATE TYPE {name} AS ENUM ({', '.join(repr(label) for label in labels)})")


def add_missing_columns(table: str, columns: Mapping[str, str]) -> None:
    """Add the columns that the table does not have, all in one statement; constant defaults rewrite nothing."""
    have = set(
        op.get_bind()
        .execute(
            text(
                "SELECT attname FROM pg_attribute "
                "WHERE attrelid = to_regclass(:table) AND attnum > 0 AND NOT attisdropped"
            ),
            {"table": table},
        )
        .scalars()
    )
    missing = [f"ADD COLUMN {name} {definition}" for name, definition in columns.items() if name not in have]
    if missing:
        op.execute(f"ALTER TABLE {table} {', '.join(missing)}")


def add_crm(crm: str, external_id: str) -> None:
    """A CRM's columns in `contacts`, its two indexes and its gate."""
    sync, processing = f"{crm}_sync_status", f"{crm}_processing_status"
    add_missing_columns(
        "contacts",
        {
            sync: "crm_sync_status NOT NULL DEFAULT 'New'",
            processing: "crm_processing_status",
            f"{crm}_processing_error": "text",
            external_id: "varchar",
        },
    )
    op.execute(
        f"CREATE INDEX IF NOT EXISTS contacts_{crm}_due ON contacts (updated_at, id) "
        f"WHERE {processing} = 'Queued' AND {sync} IN ('Selected', 'Queued', 'Complete', 'Error')"
    )
    op.execute(
        f"CREATE INDEX IF NOT EXISTS contacts_{crm}_waiting ON contacts (id) "
        f"WHERE {sync} IN ('Selected', 'Queued') AND {processing} IS DISTINCT FROM 'Queued'"
    )
    # The slow default, until a run writes the configured rate.
    op.execute(f"INSERT INTO crm_gate (crm, rate_per_second) VALUES ('{crm}', 1)")
