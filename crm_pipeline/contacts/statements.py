"""The SQL files of this package, made ready for one CRM."""

from __future__ import annotations

from functools import cache
from importlib import resources

from sqlalchemy import TextClause, text

from crm_pipeline.contacts.columns import CrmColumns
from crm_pipeline.contacts.which import Which


def file_text(folder: str, name: str) -> str:
    """The text of `<folder>/<name>.sql` in this package."""
    return resources.files(__package__).joinpath(folder, f"{name}.sql").read_text(encoding="utf-8")


class Statements:
    """`statements("claim")` is the statement of `transitions/claim.sql` for this CRM."""

    def __init__(self, columns: CrmColumns, which: Which | None = None) -> None:
        self.columns = columns
        self._fragments = columns.fragments(which)
        self._ready: dict[str, TextClause] = {}
        self._choosing: dict[Which, Statements] = {}

    def choosing(self, which: Which | None) -> Statements:
        """The same for what a person chose, in the place of what is due or named; None: these."""
        if which is None:
            return self
        if which not in self._choosing:
            self._choosing[which] = Statements(self.columns, which)
        return self._choosing[which]

    def __call__(self, name: str, folder: str = "transitions") -> TextClause:
        """The statement, cached."""
        if name not in self._ready:
            self._ready[name] = text(self.sql(name, folder))
        return self._ready[name]

    def sql(self, name: str, folder: str = "transitions") -> str:
        """The statement as text, with this CRM's columns in place, for psql and EXPLAIN."""
        return file_text(folder, name).format_map(self._fragments)


@cache
def transition_names() -> tuple[str, ...]:
    """All events, by file name."""
    folder = resources.files(__package__).joinpath("transitions")
    return tuple(sorted(entry.name.removesuffix(".sql") for entry in folder.iterdir() if entry.name.endswith(".sql")))
