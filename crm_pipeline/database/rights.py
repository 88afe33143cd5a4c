"""What the pipeline's role may do: what it needs for a run, and who may upgrade."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sqlalchemy import Connection, text

from crm_pipeline.database.catalog import Difference
from crm_pipeline.database.present import VERSION_TABLE, Present, Table, quoted
from crm_pipeline.database.tables import OWN_TABLES, WRITTEN, contact_columns, crm_columns

_MAY = text("SELECT has_table_privilege(CAST(:table AS oid), :privilege)")
_MAY_NOT_COLUMNS = text(
    "SELECT a.attname::text FROM pg_attribute a WHERE a.attrelid = CAST(:table AS oid) "
    "AND a.attname = ANY(CAST(:columns AS text[])) AND NOT has_column_privilege(a.attrelid, a.attnum, :privilege) "
    "ORDER BY a.attnum"
)
_ROW_SECURITY = text(
    "SELECT row_security_active(CAST(:table AS oid)) AS active, EXISTS ("
    "SELECT FROM pg_policy p WHERE p.polrelid = CAST(:table AS oid) AND p.polpermissive AND p.polcmd IN ('*', 'r') "
    "AND (p.polroles = '{0}' OR EXISTS (SELECT FROM unnest(p.polroles) r WHERE pg_has_role(r, 'USAGE')))) AS shows_some"
)
_NEEDED = {name: table.privileges for name, table in OWN_TABLES.items()} | {VERSION_TABLE: ("SELECT",)}


def not_owned(present: Present, crms: Mapping[str, str]) -> list[str]:
    """Why this connection's role cannot upgrade the database; empty when it can."""
    sentences = [
        f"The role {present.role} does not own {table.quoted}; {table.owner} does."
        for table in present.tables.values()
        if not table.owned
    ]
    if not present.may_create:
        sentences.append(f"The role {present.role} may not create tables in the schema {present.schema}.")
    found = present.contacts.columns if present.contacts is not None else {}
    for crm, external_id in crms.items():
        sentences += [
            f"The role {present.role} does not own the type {found[name].type_name}, which lacks labels."
            for name, column in crm_columns(crm, external_id).items()
            if name in found and not found[name].type_owned and not set(column.labels) <= set(found[name].labels)
        ]
    return sentences


def grants(present: Present) -> list[str]:
    """Statements that give this connection's role what a run needs. For psql, in the schema of `contacts`."""
    needed = {"contacts": ("SELECT", "INSERT", "UPDATE")} | _NEEDED
    return [
        f"GRANT USAGE ON SCHEMA {quoted(present.schema or '')} TO {present.role};",
        *(f"GRANT {', '.join(privileges)} ON {table} TO {present.role};" for table, privileges in needed.items()),
    ]


def missing_privileges(connection: Connection, present: Present, crms: Mapping[str, str]) -> Iterator[Difference]:
    """What a run needs and this connection's role may not, with the GRANT."""
    for name, privileges in _NEEDED.items():
        table = present.tables.get(name)
        for privilege in privileges if table is not None else ():
            assert table is not None
            if not connection.execute(_MAY, {"table": table.oid, "privilege": privilege}).scalar_one():
                yield _missing(present, table, privilege)
    if (contacts := present.contacts) is None:
        return
    wanted = contact_columns(crms)
    written = [*WRITTEN, *(name for crm, external_id in crms.items() for name in crm_columns(crm, external_id))]
    for privilege, columns in (("SELECT", [*wanted]), ("UPDATE", written)):
        key = {"table": contacts.oid, "privilege": privilege, "columns": columns}
        if not_allowed := connection.execute(_MAY_NOT_COLUMNS, key).scalars().all():
            yield _missing(present, contacts, privilege, f" ({', '.join(not_allowed)})")


def no_insert(connection: Connection, present: Present) -> Iterator[Difference]:
    """A run inserts no contact; `contacts add` does."""
    contacts = present.contacts
    if contacts and not connection.execute(_MAY, {"table": contacts.oid, "privilege": "INSERT"}).scalar_one():
        sentence = f"The role {present.role} may not INSERT into {contacts.quoted}: `contacts add` does not work."
        yield Difference(sentence, (f"GRANT INSERT ON {contacts.quoted} TO {present.role};",))


def row_security(connection: Connection, present: Present) -> Iterator[tuple[bool, Difference]]:
    """(hides everything, difference) of each table where a policy decides which rows this connection's role sees."""
    for table in present.tables.values():
        found = connection.execute(_ROW_SECURITY, {"table": table.oid}).one()
        if not found.active:
            continue
        shown = "only what a policy shows is seen" if found.shows_some else "no policy shows it a row"
        yield (
            not found.shows_some,
            Difference(
                f"Row security is active on {table.quoted} for the role {present.role}: {shown}. "
                "The pipeline must see every row.",
                (f"ALTER ROLE {present.role} BYPASSRLS;",),
            ),
        )


def _missing(present: Present, table: Table, privilege: str, columns: str = "") -> Difference:
    return Difference(
        f"The role {present.role} may not {privilege} {table.quoted}{columns}.",
        (f"GRANT {privilege} ON {table.quoted} TO {present.role};",),
    )
