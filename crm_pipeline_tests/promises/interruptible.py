"""A database connection on which a COMMIT's answer can be lost, and others can act between two statements."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from sqlalchemy import Connection, event
from sqlalchemy.engine import URL

from crm_pipeline.database.engine import Database

T = TypeVar("T")
_BEGIN = "SET LOCAL statement_timeout"


class InterruptibleDatabase(Database):
    """The product's own `Database`; what is done to it here happens to real connections and transactions.

    `lose_answer()`: the next transaction commits, its answer is lost, and the work is repeated, as `run` does it.
    `interrupt(at, work)`: before the `at`-th statement of the next transactions, `work(said)` runs to its end in
    transactions of its own; `said`: the statements of the open transaction so far.
    """

    def __init__(self, url: URL) -> None:
        super().__init__(url)
        self._lose = False
        self._at = 0
        self._meanwhile: Callable[[Sequence[str]], None] | None = None
        self._said: list[str] = []
        event.listen(self.engine, "before_cursor_execute", self._before)

    def calm(self) -> None:
        """Nothing is lost and nobody interrupts until asked again."""
        self._lose = False
        self._meanwhile = None

    def lose_answer(self) -> None:
        self._lose = True

    def interrupt(self, at: int, work: Callable[[Sequence[str]], None]) -> None:
        self._at = at
        self._meanwhile = work

    def run(self, work: Callable[[Connection], T], patience_seconds: float = 6.0) -> T:
        if self._lose:
            self._lose = False
            super().run(work, patience_seconds)
        return super().run(work, patience_seconds)

    def _before(self, _connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if statement.startswith(_BEGIN):
            self._said = []
            return
        if self._meanwhile is not None:
            self._at -= 1
            if self._at <= 0:
                work, self._meanwhile = self._meanwhile, None
                work(tuple(self._said))
        self._said.append(statement)
