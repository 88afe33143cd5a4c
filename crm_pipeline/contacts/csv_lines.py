"""Lines of a CSV file as contacts, or the reason why one is none. Nothing here touches the database."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO
from uuid import UUID

from crm_pipeline.contacts.formulas import as_it_was
from crm_pipeline.database.tables import EMAIL_TYPE, LABELS
from crm_pipeline.errors import UsageError

DELIMITERS = ",;\t|"
HEADERS = {
    "email": ("email", "e_mail", "mail", "email_address", "e_mail_address"),
    "name": ("name", "full_name"),
    "phone_number": ("phone_number", "phone", "telephone", "mobile"),
    "email_type": ("email_type",),
    "has_gmail": ("has_gmail",),
    "context": ("context",),
    "source_url": ("source_url",),
    "source_job_id": ("source_job_id",),
    "domain_id": ("domain_id",),
    "page_id": ("page_id",),
}
"""Columns of contacts, and the headers (in small letters, anything else as _) under which each is found by itself."""
_TRUTH = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


@dataclass(frozen=True, slots=True)
class Line:
    """One record of the file: its values by column of contacts, or the reason why it cannot be one."""

    number: int
    """Of the file's line on which the record ends, from 1 on."""
    fields: Sequence[str]
    """As the file has them, but for the apostrophe before a formula."""
    values: Mapping[str, Any]
    reason: str | None = None


class CsvFile:
    """An open CSV file with a header. `columns` says which header goes to which column of contacts.

    Raises UsageError for a file that is no such, and for a mapping that does not fit it.
    """

    def __init__(self, file: TextIO, mapping: Sequence[str] = ()) -> None:
        self._file = file
        first = file.readline()
        delimiter = max(DELIMITERS, key=first.count)
        self._reader = csv.reader(file, delimiter=delimiter, strict=True)
        self.header = [as_it_was(name) for name in next(csv.reader([first], delimiter=delimiter), [])]
        if not any(name.strip() for name in self.header):
            raise UsageError("The file has no header: its first line must name the columns, such as email,name,phone.")
        self.columns = self._columns(mapping)

    @property
    def left_out(self) -> list[str]:
        """Headers that go to no column."""
        return [name for name in self.header if name not in self.columns.values()]

    def lines(self) -> Iterator[Line]:
        """Every record, in order. Empty lines are passed over."""
        seen: dict[str, int] = {}
        while True:
            try:
                fields = next(self._reader)
            except StopIteration:
                return
            except csv.Error as error:
                raise UsageError(f"Line {self._reader.line_num + 1} of the file is no CSV: {error}.") from None
            except UnicodeDecodeError:
                raise UsageError(
                    f"The file is not in UTF-8, as is seen after line {self._reader.line_num + 1}. "
                    "Save it as CSV in UTF-8, or name its encoding: --encoding cp1252."
                ) from None
            if any(field.strip() for field in fields):
                yield self._line([as_it_was(field) for field in fields], seen)

    def _line(self, fields: Sequence[str], seen: dict[str, int]) -> Line:
        number = self._reader.line_num + 1
        if len(fields) != len(self.header):
            return Line(number, fields, {}, f"it has {len(fields)} fields, and the header {len(self.header)}")
        record = dict(zip(self.header, fields, strict=True))
        values: dict[str, Any] = {}
        try:
            for column, header in self.columns.items():
                values[column] = _read(column, record[header].strip())
        except ValueError as error:
            return Line(number, fields, {}, str(error))
        key = values["email"].lower()
        if key in seen:
            return Line(number, fields, {}, f"it has the same address as line {seen[key]}")
        seen[key] = number
        return Line(number, fields, values)

    def _columns(self, mapping: Sequence[str]) -> dict[str, str]:
        """Headers by column: those that the mapping names, and those that say it themselves."""
        columns: dict[str, str] = {}
        for entry in mapping:
            header, _, column = (part.strip() for part in entry.rpartition("="))
            if header not in self.header:
                raise UsageError(f"The file has no column {header!r}. It has: {', '.join(self.header)}.")
            if column not in HEADERS:
                raise UsageError(f"{column!r} cannot be imported into. There are: {', '.join(HEADERS)}.")
            columns[column] = header
        for header in self.header:
            plain = re.sub(r"[^a-z0-9]+", "_", header.lower()).strip("_")
            for column, names in HEADERS.items():
                if plain in names and header not in columns.values():
                    columns.setdefault(column, header)
        if "email" not in columns:
            raise UsageError(
                f"Which column has the e-mail addresses? The file has: {', '.join(self.header)}. "
                'Say it with --map "HEADER=email".'
            )
        return columns


def open_csv(path: Path, encoding: str) -> TextIO:
    """The file, opened as `csv` wants it; raises UsageError when that cannot be."""
    try:
        file = path.open(encoding=encoding, newline="")
        file.read(1)
        file.seek(0)
    except (OSError, LookupError) as error:
        raise UsageError(f"{path} cannot be read: {error}.") from None
    except UnicodeDecodeError:
        raise UsageError(f"{path} is not in {encoding}. Name its encoding: --encoding cp1252.") from None
    return file


def _email(value: str) -> str:
    if not value:
        raise ValueError("it has no e-mail address")
    if "@" not in value or any(character.isspace() for character in value):
        raise ValueError(f"{value!r} is no e-mail address")
    return value


def _email_type(value: str) -> str | None:
    if value and value.upper() not in LABELS[EMAIL_TYPE]:
        raise ValueError(f"email_type is {value!r}; it must be one of {', '.join(LABELS[EMAIL_TYPE])}")
    return value.upper() or None


def _truth(value: str) -> bool | None:
    if value and value.lower() not in _TRUTH:
        raise ValueError(f"has_gmail is {value!r}; it must be true or false")
    return _TRUTH[value.lower()] if value else None


def _uuid(value: str) -> str | None:
    try:
        return str(UUID(value)) if value else None
    except ValueError:
        raise ValueError(f"{value!r} is no UUID") from None


READ: dict[str, Callable[[str], Any]] = {
    "email": _email,
    "email_type": _email_type,
    "has_gmail": _truth,
    "source_job_id": _uuid,
    "domain_id": _uuid,
    "page_id": _uuid,
}


def _read(column: str, value: str) -> Any:
    """The column's value; None for an empty field. Raises ValueError with the reason."""
    if "\x00" in value:
        raise ValueError(f"{column} has a character that PostgreSQL cannot store")
    return READ[column](value) if column in READ else value or None
