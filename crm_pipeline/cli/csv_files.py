"""`crm-pipeline contacts import` and `export`: contacts from and to CSV files."""

from __future__ import annotations

import csv
import io
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer
from rich.console import Console
from rich.progress import Progress

from crm_pipeline.cli.choice import CrmOption, chosen
from crm_pipeline.contacts.csv_lines import CsvFile, Line, open_csv
from crm_pipeline.contacts.exported import COLUMNS, exported
from crm_pipeline.contacts.formulas import as_text
from crm_pipeline.contacts.imported import AT_ONCE, Added, add_lines, check_columns, unknown
from crm_pipeline.errors import UsageError
from crm_pipeline.logs import start_logging
from crm_pipeline.model import SyncStatus
from crm_pipeline.settings import Settings
from crm_pipeline.wiring import Pipeline

console = Console()
errors = Console(stderr=True)
REASONS_SHOWN = 10


def import_(
    path: Annotated[Path, typer.Argument(metavar="FILE.csv", help="CSV with a header, in UTF-8.")],
    mapping: Annotated[
        list[str] | None, typer.Option("--map", help='Which header is which column: "Mail address=email". Repeatable.')
    ] = None,
    select: Annotated[bool, typer.Option("--select", help="Select for the CRM whoever is added.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Read and check all, and change nothing.")] = False,
    encoding: Annotated[str, typer.Option(help="The file's encoding.")] = "utf-8-sig",
    crm: CrmOption = None,
) -> None:
    """Add contacts from a CSV file. Whose address somebody has already is left alone: a second import adds nobody."""
    settings = Settings.load()
    start_logging(settings)
    with open_csv(path, encoding) as file, ExitStack() as at_the_end:
        lines = CsvFile(file, mapping or ())
        for column, header in lines.columns.items():
            console.print(f"{header} -> {column}", markup=False)
        if lines.left_out:
            console.print(f"Left out: {', '.join(lines.left_out)}", style="yellow", markup=False)
        pipeline = chosen(settings, crm)
        at_the_end.callback(pipeline.close)
        check_columns(pipeline.database, list(lines.columns))
        rejected = _Rejected(path, lines.header, dry_run)
        at_the_end.callback(rejected.close)
        added, selected, known = _take(pipeline, file, path, lines, rejected, select=select, dry_run=dry_run)
    done = "would be added" if dry_run else f"added, {selected:,} selected" if select else "added"
    console.print(f"{added:,} {done}; {known:,} were there already; {rejected.count:,} rejected.")
    for reason in rejected.first:
        console.print(f"  {reason}", markup=False, highlight=False)
    if rejected.count and not dry_run:
        console.print(f"The rejected lines, each with its reason, are in {rejected.path}.", markup=False)


def _take(
    pipeline: Pipeline,
    file: TextIO,
    path: Path,
    lines: CsvFile,
    rejected: _Rejected,
    *,
    select: bool,
    dry_run: bool,
) -> tuple[int, int, int]:
    """How many contacts were added and selected, and how many lines' addresses somebody had."""
    database, wanted_by = pipeline.database, pipeline.queue if select and not dry_run else None
    added = selected = known = 0
    with Progress(console=errors, disable=not errors.is_terminal) as progress:
        task = progress.add_task(path.name, total=path.stat().st_size)
        for some in _portions(lines.lines()):
            good = [line for line in some if line.reason is None]
            for line in some:
                if line.reason is not None:
                    rejected.add(line, line.reason)
            new = unknown(database, good)
            known += len(good) - len(new)
            done = Added(len(new), 0, []) if dry_run else add_lines(database, new, wanted_by)
            added += done.added
            selected += done.selected
            for line, reason in done.refused:
                rejected.add(line, reason)
            progress.update(task, completed=file.buffer.tell())
    return added, selected, known


def export(
    path: Annotated[Path | None, typer.Argument(metavar="FILE.csv", help="Unset: standard output.")] = None,
    status: Annotated[list[SyncStatus] | None, typer.Option(help="Only these sync statuses. Repeatable.")] = None,
    crm: CrmOption = None,
) -> None:
    """Write all contacts, with what became of each in the CRM, to a CSV file."""
    settings = Settings.load()
    start_logging(settings)
    pipeline = chosen(settings, crm)
    with ExitStack() as at_the_end:
        at_the_end.callback(pipeline.close)
        rows = exported(pipeline.queue, status or ())
        try:
            file = at_the_end.enter_context(_private(path)) if path else _stdout()
        except OSError as error:
            raise UsageError(f"{path} cannot be written: {error}.") from None
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        count = 0
        for some in rows:
            writer.writerows(map(_cells, some))
            count += len(some)
    errors.print(f"{count:,} contacts{f' in {path}' if path else ''}.", markup=False)


class _Rejected:
    """FILE.rejected.csv beside the file: made when the first line is rejected, and never by a dry run."""

    def __init__(self, source: Path, header: list[str], dry_run: bool) -> None:
        self.path = source.with_suffix(".rejected.csv")
        self.count = 0
        self.first: list[str] = []
        self._header = header
        self._dry_run = dry_run
        self._file: TextIO | None = None

    def add(self, line: Line, reason: str) -> None:
        self.count += 1
        if self.count <= REASONS_SHOWN:
            self.first.append(f"line {line.number}: {reason}")
        if self._dry_run:
            return
        if self._file is None:
            try:
                self._file = _private(self.path)
            except OSError as error:
                raise UsageError(f"{self.path}, for the rejected lines, cannot be written: {error}.") from None
            csv.writer(self._file).writerow(_cells([*self._header, "line", "reason"]))
        csv.writer(self._file).writerow(_cells([*line.fields, line.number, reason]))

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


def _private(path: Path) -> TextIO:
    """The file, opened to be written anew: one that is made is its owner's alone, for personal data goes into it."""
    return open(path, "w", encoding="utf-8", newline="", opener=lambda name, flags: os.open(name, flags, 0o600))


def _stdout() -> TextIO:
    """In UTF-8, whatever is said there otherwise, unless it is a terminal: what reads it further on is as a file."""
    if isinstance(sys.stdout, io.TextIOWrapper) and not sys.stdout.isatty():
        sys.stdout.reconfigure(encoding="utf-8")
    return sys.stdout


def _cells(values: Sequence[Any]) -> list[Any]:
    return [as_text(value) if isinstance(value, str) else value for value in values]


def _portions(lines: Iterator[Line]) -> Iterator[list[Line]]:
    while some := list(islice(lines, AT_ONCE)):
        yield some
