"""What there is: the part of the database's catalogue that the pipeline depends on, read in one go."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, text

from crm_pipeline.database.tables import LABELS, OWN_INDEXES, OWN_TABLES, contact_indexes

VERSION_TABLE = "crm_pipeline_version"
TABLES = ("contacts", *OWN_TABLES, VERSION_TABLE)
_MAX_DOMAIN_DEPTH = 8

_SESSION = text(
    "SELECT current_schema()::text AS schema, current_schemas(false)::text[] AS path, "
    "quote_ident(current_user) AS role, "
    "coalesce(has_schema_privilege(current_schema(), 'CREATE'), false) AS may_create, "
    "current_setting('server_version_num')::int AS server_version, "
    "current_setting('server_encoding') AS encoding"
)
_LOWERS_ALL = text("SELECT lower('\u00c9') = '\u00e9'")
# Ours stand beside `contacts`; another schema of the search path may have a pipeline of its own.
_TABLES = text(
    "WITH home AS (SELECT coalesce("
    "(SELECT c.relnamespace FROM pg_class c WHERE c.oid = to_regclass('contacts')), "
    "(SELECT n.oid FROM pg_namespace n WHERE n.nspname = current_schema())) AS oid) "
    "SELECT c.oid, c.relname::text AS name, n.nspname::text AS schema, c.relkind::text AS kind, "
    "has_schema_privilege(n.oid, 'CREATE') AS may_create, "
    "quote_ident(n.nspname) || '.' || quote_ident(c.relname) AS quoted, "
    "quote_ident(pg_get_userbyid(c.relowner)) AS owner, pg_has_role(c.relowner, 'USAGE') AS owned "
    "FROM home JOIN pg_namespace n ON n.oid = home.oid JOIN pg_class c ON c.relnamespace = n.oid "
    "AND c.relname = ANY(CAST(:tables AS text[]))"
)
# A domain is taken for the type beneath it.
_COLUMNS = text(
    "WITH RECURSIVE beneath (attrelid, attnum, type, modifier, depth) AS ("
    "SELECT a.attrelid, a.attnum, a.atttypid, a.atttypmod, 0 FROM pg_attribute a "
    "WHERE a.attrelid = ANY(CAST(:tables AS oid[])) AND a.attnum > 0 AND NOT a.attisdropped "
    "UNION ALL SELECT b.attrelid, b.attnum, t.typbasetype, t.typtypmod, b.depth + 1 "
    "FROM beneath b JOIN pg_type t ON t.oid = b.type AND t.typtype = 'd' WHERE b.depth < :depth) "
    "SELECT a.attrelid, a.attname::text AS name, format_type(a.atttypid, a.atttypmod) AS shown, "
    "CASE t.typtype WHEN 'e' THEN 'enum' ELSE regexp_replace(format_type(b.type, NULL), '^.*[.]', '') END AS type, "
    "CASE WHEN b.type = 'varchar'::regtype AND b.modifier > 4 THEN b.modifier - 4 END AS length, "
    "b.type::regtype::text AS type_name, pg_has_role(t.typowner, 'USAGE') AS type_owned, "
    "ARRAY(SELECT e.enumlabel::text FROM pg_enum e WHERE e.enumtypid = b.type ORDER BY e.enumsortorder) AS labels, "
    "a.attnotnull AS not_null, a.atthasdef OR a.attidentity <> '' AS has_default "
    "FROM beneath b JOIN pg_attribute a ON a.attrelid = b.attrelid AND a.attnum = b.attnum "
    "JOIN pg_type t ON t.oid = b.type WHERE t.typtype <> 'd' ORDER BY a.attrelid, a.attnum"
)
_UNIQUE_ID = text(
    "SELECT EXISTS (SELECT FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attname = 'id' "
    "WHERE i.indrelid = CAST(:table AS oid) AND i.indisunique AND i.indisvalid AND i.indimmediate "
    "AND i.indpred IS NULL AND i.indnkeyatts = 1 AND i.indkey[0] = a.attnum)"
)
_TYPES = text(
    "SELECT wanted.name, t.typtype = 'e' AS is_enum, pg_has_role(t.typowner, 'USAGE') AS owned, "
    "ARRAY(SELECT e.enumlabel::text FROM pg_enum e WHERE e.enumtypid = t.oid ORDER BY e.enumsortorder) AS labels "
    "FROM unnest(CAST(:types AS text[])) AS wanted (name) JOIN pg_type t ON t.oid = to_regtype(wanted.name)"
)
_INDEXES = text(
    "SELECT c.relname::text AS name, i.indrelid AS table, coalesce(i.indisvalid AND i.indisready, false) AS valid "
    "FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = :schema "
    "LEFT JOIN pg_index i ON i.indexrelid = c.oid WHERE c.relname = ANY(CAST(:indexes AS text[]))"
)


_HEIRS = text(
    "SELECT i.inhrelid::regclass::text FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhparent AND c.relkind = 'r' "
    "WHERE i.inhparent = CAST(:table AS oid) ORDER BY 1"
)
_ASTRAY = text(
    "SELECT k.conrelid AS table, k.conname::text AS name, k.confrelid::regclass::text AS points_at "
    "FROM pg_constraint k WHERE k.contype = 'f' AND k.conrelid = ANY(CAST(:tables AS oid[])) "
    "AND k.confrelid <> CAST(:contacts AS oid) ORDER BY 1"
)


@dataclass(frozen=True, slots=True)
class Column:
    """A column as it is."""

    shown: str
    """Its type for people, e.g. `character varying(50)`."""
    type: str
    """Without length and schema, beneath any domain; `enum` for every enum."""
    type_name: str
    """As it stands in SQL, for an enum."""
    type_owned: bool
    labels: tuple[str, ...]
    length: int | None
    """Of a varchar(n)."""
    not_null: bool
    has_default: bool


@dataclass(frozen=True, slots=True)
class Table:
    """A table (or view, ...) as it is."""

    oid: int
    schema: str
    kind: str
    """pg_class.relkind: r is a plain table."""
    quoted: str
    """With its schema, as it stands in SQL."""
    owner: str
    owned: bool
    """The role may act as its owner."""
    columns: Mapping[str, Column]

    def beside(self, name: str) -> str:
        """Another name in its schema, as it stands in SQL."""
        return f"{self.quoted.rpartition('.')[0]}.{name}"

    @property
    def required(self) -> list[str]:
        """Columns that an INSERT must fill."""
        return [name for name, column in self.columns.items() if column.not_null and not column.has_default]


@dataclass(frozen=True, slots=True)
class EnumType:
    """A type with a name that the pipeline uses."""

    is_enum: bool
    owned: bool
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """A foreign key of one of our own tables."""

    table: str
    name: str
    points_at: str


@dataclass(frozen=True, slots=True)
class Present:
    """What a connection sees of what the pipeline needs."""

    schema: str | None
    """Where `contacts` is, or would be made; None: there is no such schema, or the role may not use it."""
    path: tuple[str, ...]
    role: str
    """Quoted."""
    may_create: bool
    server_version: int
    encoding: str
    """The database's, e.g. `UTF8`."""
    lowers_all: bool
    """lower() knows more letters than A to Z: not so where the locale is C."""
    tables: Mapping[str, Table]
    unique_id: bool
    """`contacts.id` alone is unique, so that foreign keys can point at it."""
    heirs: tuple[str, ...]
    """Tables that inherit from `contacts`, as they stand in SQL."""
    astray: tuple[ForeignKey, ...]
    """Foreign keys of our own tables that point at another table than `contacts`."""
    types: Mapping[str, EnumType]
    indexes: Mapping[str, tuple[str | None, bool]]
    """name -> (its table, valid)."""

    @property
    def contacts(self) -> Table | None:
        """The application's table."""
        return self.tables.get("contacts")


def read_present(connection: Connection, crms: Mapping[str, str]) -> Present:
    """Read the catalogue as this connection's role and search path see it."""
    session = connection.execute(_SESSION).one()
    rows = connection.execute(_TABLES, {"tables": list(TABLES)}).all()
    columns: dict[int, dict[str, Column]] = {row.oid: {} for row in rows}
    for row in connection.execute(_COLUMNS, {"tables": list(columns), "depth": _MAX_DOMAIN_DEPTH}):
        columns[row.attrelid][row.name] = _column(row)
    tables = {
        row.name: Table(row.oid, row.schema, row.kind, row.quoted, row.owner, row.owned, columns[row.oid])
        for row in rows
    }
    names = {table.oid: name for name, table in tables.items()}
    contacts = next((row for row in rows if row.name == "contacts"), None)
    schema, may_create = (contacts.schema, contacts.may_create) if contacts else (session.schema, session.may_create)
    wanted_indexes = [index.name for index in (*OWN_INDEXES, *contact_indexes(crms))]
    here = {"table": contacts.oid} if contacts else None
    keys = {"tables": [table.oid for name, table in tables.items() if name in OWN_TABLES]}
    return Present(
        schema=schema,
        path=tuple(session.path),
        role=session.role,
        may_create=may_create,
        server_version=session.server_version,
        encoding=session.encoding,
        lowers_all=session.encoding == "UTF8" and bool(connection.execute(_LOWERS_ALL).scalar_one()),
        tables=tables,
        unique_id=here is not None and bool(connection.execute(_UNIQUE_ID, here).scalar_one()),
        heirs=tuple(connection.execute(_HEIRS, here).scalars()) if here else (),
        astray=tuple(
            ForeignKey(names[row.table], row.name, row.points_at)
            for row in connection.execute(_ASTRAY, keys | {"contacts": contacts.oid})
        )
        if contacts
        else (),
        types={
            row.name: EnumType(row.is_enum, row.owned, tuple(row.labels))
            for row in connection.execute(_TYPES, {"types": list(LABELS)})
        },
        indexes={
            row.name: (names.get(row.table), row.valid)
            for row in connection.execute(_INDEXES, {"schema": schema, "indexes": wanted_indexes})
        },
    )


def quoted(name: str) -> str:
    """A schema's name as it stands in SQL."""
    return '"' + name.replace('"', '""') + '"'


def required_columns(connection: Connection) -> list[str]:
    """Columns of `contacts` that an INSERT must fill."""
    contacts = read_present(connection, {}).contacts
    return contacts.required if contacts is not None else []


def _column(row: Any) -> Column:
    return Column(
        shown=row.shown,
        type=row.type,
        type_name=row.type_name,
        type_owned=row.type_owned,
        labels=tuple(row.labels),
        length=row.length,
        not_null=row.not_null,
        has_default=row.has_default,
    )
