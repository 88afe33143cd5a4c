"""Is the database as the pipeline needs it? What there is, held against what must be, before anything is touched."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from crm_pipeline.database.engine import Database
from crm_pipeline.database.present import Column, Present, Table, quoted, read_present
from crm_pipeline.database.tables import (
    LABELS,
    OWN_INDEXES,
    OWN_TABLES,
    TEXT,
    Index,
    Wanted,
    contact_columns,
    contact_indexes,
)
from crm_pipeline.errors import SchemaError

SQL_NAMES = {"timestamptz": "timestamp with time zone", "varchar": "character varying"}
KINDS = {"v": "a view", "m": "a materialized view", "p": "a partitioned table", "f": "a foreign table"}


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference: a sentence, and the statements that end it, for the owner of the tables to run."""

    sentence: str
    remedies: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "\n".join([self.sentence, *(f"    {remedy}" for remedy in self.remedies)])


@dataclass(slots=True)
class Differences:
    """All of them, by what they mean."""

    blocking: list[Difference] = field(default_factory=list)
    """An upgrade cannot end them without touching what is the application's: a person must."""
    missing: list[Difference] = field(default_factory=list)
    """What an upgrade adds."""
    unindexed: list[Difference] = field(default_factory=list)
    """Missing or invalid indexes: an upgrade builds them; without them the pipeline is right, but slow."""
    warnings: list[Difference] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class StatusTypes:
    """What one CRM's columns are in this database, where an adopted one may have its own."""

    sync: str
    """Name of the enum of `{crm}_sync_status`."""
    processing: str
    """Name of the enum of `{crm}_processing_status`."""
    error_length: int | None = None
    """The length of `{crm}_processing_error` where it is a varchar(n)."""


def check_schema(database: Database, crm: str, external_id: str, mapped: Sequence[str] = ()) -> StatusTypes:
    """The CRM's types; raises SchemaError that names each missing or retyped column with found and wanted type.

    `mapped` are columns of the application's own that the CRM's settings send.
    """
    present = database.run(lambda connection: read_present(connection, {crm: external_id}))
    found = differences(present, {crm: external_id}, database.schema)
    if problems := [*found.blocking, *found.missing]:
        upgrade_helps = not found.blocking
        raise SchemaError(
            [str(problem) for problem in problems],
            "Run `crm-pipeline db upgrade`." if upgrade_helps else "Then run `crm-pipeline db upgrade`.",
        )
    assert present.contacts is not None
    columns = present.contacts.columns
    if unknown := [column for column in mapped if column not in columns]:
        raise SchemaError(
            [f"contacts has no column {', '.join(unknown)}, which {crm.upper()}_ATTRIBUTES maps."],
            "Correct the variable, or add the column.",
        )
    return StatusTypes(
        columns[f"{crm}_sync_status"].type_name,
        columns[f"{crm}_processing_status"].type_name,
        columns[f"{crm}_processing_error"].length,
    )


def differences(present: Present, crms: Mapping[str, str], schema: str | None = None) -> Differences:
    """Everything in which `present` is not as these CRMs need it. `schema` is the one that was asked for, if any."""
    found = Differences()
    if present.schema is None:
        name = quoted(schema or "public")
        found.blocking.append(
            Difference(
                f"There is no schema {name}, or the role {present.role} may not use it.",
                (f"CREATE SCHEMA IF NOT EXISTS {name};", f"GRANT USAGE ON SCHEMA {name} TO {present.role};"),
            )
        )
        return found
    found.blocking += [
        Difference(
            f"{present.tables[name].quoted} is {KINDS.get(present.tables[name].kind, 'no table')}, wanted: a table."
        )
        for name in ("contacts", *OWN_TABLES)
        if name in present.tables and present.tables[name].kind != "r"
    ]
    found.blocking += _surroundings(present)
    found.blocking += [
        Difference(f"The type {name} is no enum (wanted: an enum of {', '.join(LABELS[name])}).")
        for name, found_type in present.types.items()
        if not found_type.is_enum
    ]
    if present.contacts is None:
        found.missing.append(
            Difference("There is no table contacts on the search path (CRM_PIPELINE_SCHEMA names another schema).")
        )
    else:
        _compare_contacts(found, present, present.contacts, contact_columns(crms))
    for name in OWN_TABLES:
        _compare_own_table(found, name, present.tables.get(name))
    for index in (*OWN_INDEXES, *contact_indexes(crms)):
        _compare_index(found, present, index)
    return found


def _compare_contacts(found: Differences, present: Present, contacts: Table, wanted: Mapping[str, Wanted]) -> None:
    alter = f"ALTER TABLE {contacts.quoted}"
    for name, column in wanted.items():
        have = contacts.columns.get(name)
        if have is None:
            missing = Difference(
                f"contacts.{name} is missing (wanted: {_wanted(column)}).",
                (f"{alter} ADD COLUMN {name} {_addable(name, column)};",),
            )
            (found.blocking if name in ("id", "email") else found.missing).append(missing)
            continue
        if column.taken and have.type not in column.taken:
            found.blocking.append(_retyped(present, alter, name, have, column))
        elif gone := [label for label in column.labels if label not in have.labels]:
            found.missing.append(
                Difference(
                    f"contacts.{name} is {have.shown}, which has no label {', '.join(gone)} "
                    f"(wanted: {_wanted(column)}).",
                    tuple(f"ALTER TYPE {have.type_name} ADD VALUE IF NOT EXISTS '{label}';" for label in gone),
                )
            )
        if have.length is not None and column.least_length is not None and have.length < column.least_length:
            found.blocking.append(
                Difference(
                    f"contacts.{name} is {have.shown}, too short: {column.least_length} characters are needed.",
                    (f"{alter} ALTER COLUMN {name} TYPE varchar;",),
                )
            )
        if have.length is not None and column.cut_at is not None and have.length < column.cut_at:
            found.warnings.append(
                Difference(
                    f"contacts.{name} is {have.shown}: errors have up to {column.cut_at} characters, and are cut.",
                    (f"{alter} ALTER COLUMN {name} TYPE text;",),
                )
            )
        if have.not_null and column.set_to_null:
            found.blocking.append(
                Difference(
                    f"contacts.{name} is NOT NULL, and the pipeline must be able to empty it.",
                    (f"{alter} ALTER COLUMN {name} DROP NOT NULL;",),
                )
            )
    found.blocking += _identity(present, contacts)


def _surroundings(present: Present) -> Iterator[Difference]:
    """What is wrong about the database and the table as a whole."""
    if present.encoding != "UTF8":
        yield Difference(
            f"The database's encoding is {present.encoding}, wanted: UTF8. Names, and what a CRM answers, may hold any "
            "character: move the tables to a database that was created with ENCODING 'UTF8'."
        )
    if present.heirs:
        yield Difference(
            f"{', '.join(present.heirs)} inherit from contacts (wanted: no table does): their rows would be taken for "
            "its own. Give the pipeline a table by itself, in another schema that CRM_PIPELINE_SCHEMA names."
        )
    for key in present.astray:
        yield Difference(
            f"{key.table}.{key.name} points at {key.points_at}, wanted: contacts. Was contacts replaced by another "
            "table? What is known of contacts that the new one does not have goes with these statements.",
            (
                f"ALTER TABLE {key.table} DROP CONSTRAINT {key.name};",
                f"DELETE FROM {key.table} WHERE contact_id NOT IN (SELECT id FROM contacts);",  # noqa: S608 (own names)
                f"ALTER TABLE {key.table} ADD FOREIGN KEY (contact_id) REFERENCES contacts (id) ON DELETE CASCADE;",
            ),
        )


def _identity(present: Present, contacts: Table) -> Iterator[Difference]:
    """Foreign keys point at contacts.id: it must be unique by itself, and never NULL."""
    found = contacts.columns.get("id")
    if found is None or found.type != "uuid":
        return
    if not present.unique_id:
        yield Difference(
            "contacts.id is not unique (wanted: a primary key, or a plain unique index on it alone).",
            (f"CREATE UNIQUE INDEX CONCURRENTLY ON {contacts.quoted} (id);",),
        )
    if not found.not_null:
        yield Difference(
            "contacts.id may be NULL, wanted: NOT NULL.",
            (f"ALTER TABLE {contacts.quoted} ALTER COLUMN id SET NOT NULL;",),
        )


def _retyped(present: Present, alter: str, name: str, have: Column, wanted: Wanted) -> Difference:
    sentence = f"contacts.{name} is {have.shown}, wanted: {_wanted(wanted)}."
    if wanted.taken == frozenset({"uuid"}) and have.type not in TEXT:
        where_from = "The pipeline knows a contact by this column" if name == "id" else "The pipeline sends this column"
        return Difference(
            f"{sentence} {where_from}, and no {have.type} is a uuid: "
            "give the table such a column under this name, and the old one another."
        )
    remedies = []
    if wanted.labels and wanted.type not in present.types:
        remedies.append(f"CREATE TYPE {wanted.type} AS ENUM ({quoted_labels(wanted.labels)});")
    source = f"{name}::text::{wanted.type}"
    if have.type == "timestamp without time zone":
        sentence += " If its times are UTC:"
        source = f"{name} AT TIME ZONE 'UTC'"
    parts = [f"ALTER COLUMN {name} TYPE {wanted.type} USING {source}"]
    if have.has_default:
        parts.insert(0, f"ALTER COLUMN {name} DROP DEFAULT")
        parts += [f"ALTER COLUMN {name} SET DEFAULT {wanted.default}"] if wanted.default is not None else []
    return Difference(sentence, (*remedies, f"{alter} {', '.join(parts)};"))


def _compare_own_table(found: Differences, name: str, table: Table | None) -> None:
    wanted = OWN_TABLES[name].columns
    if table is None:
        found.missing.append(Difference(f"There is no table {name}."))
        return
    alter = f"ALTER TABLE {table.quoted}"
    for column, definition in wanted.items():
        have, type_name = table.columns.get(column), own_type(definition)
        if have is None:
            (found.missing if addable(definition) else found.blocking).append(
                Difference(
                    f"{name}.{column} is missing (wanted: {type_name}).",
                    (f"{alter} ADD COLUMN {column} {definition};",),
                )
            )
        elif have.shown != type_name:
            found.blocking.append(
                Difference(
                    f"{name}.{column} is {have.shown}, wanted: {type_name}.",
                    (f"{alter} ALTER COLUMN {column} TYPE {type_name} USING {column}::text::{type_name};",),
                )
            )
    found.blocking += [
        Difference(
            f"{name}.{column} is NOT NULL, has no default, and is unknown to the pipeline.",
            (f"{alter} ALTER COLUMN {column} DROP NOT NULL;",),
        )
        for column, have in table.columns.items()
        if column not in wanted and have.not_null and not have.has_default
    ]


def _compare_index(found: Differences, present: Present, index: Index) -> None:
    table = present.tables.get(index.table)
    if table is None:
        return
    have_table, valid = present.indexes.get(index.name, (index.table, None))
    if have_table != index.table:
        found.blocking.append(
            Difference(f"{index.name} is the name of something else, wanted: an index of {index.table}.")
        )
    elif not valid:
        what = "is missing" if valid is None else "is invalid: building it was interrupted"
        drop = () if valid is None else (f"DROP INDEX CONCURRENTLY IF EXISTS {table.beside(index.name)};",)
        create = f"CREATE {'UNIQUE ' if index.unique else ''}INDEX CONCURRENTLY {index.name}"
        found.unindexed.append(
            Difference(f"The index {index.name} {what}.", (*drop, f"{create} ON {table.quoted} {index.definition};"))
        )


def addable(definition: str) -> bool:
    """Can a table with rows be given this column? A newer version adds such ones to our own tables."""
    return "NOT NULL" not in definition or "DEFAULT" in definition


def own_type(definition: str) -> str:
    """The type that a definition of OWN_TABLES begins with, as format_type names it."""
    words = definition.split()
    name = " ".join(words[:2]) if words[0] == "double" else words[0]
    return SQL_NAMES.get(name, name)


def quoted_labels(labels: tuple[str, ...]) -> str:
    """As they stand in CREATE TYPE."""
    return ", ".join(f"'{label}'" for label in labels)


def _wanted(column: Wanted) -> str:
    if column.labels:
        return f"an enum of {', '.join(column.labels)}"
    return "text" if column.taken == TEXT else SQL_NAMES.get(column.type, column.type)


def _addable(name: str, column: Wanted) -> str:
    """What a table with rows can be given: a new `email` is NULL in them, a new `id` is made for each."""
    if name == "email":
        return column.type
    return f"{column.definition} UNIQUE" if name == "id" else column.definition
