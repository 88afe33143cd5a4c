"""What can go wrong that is no contact's fault.

PipelineError                 a sentence for a person, and an exit code
|-- UsageError            2   wrong use: nothing was touched
|   |-- SettingsError         one or more variables are wrong
|   |-- SchemaError           the database is not as the pipeline needs it
|   |-- DatabaseUnreachable   no connection within 10 s
|   `-- UnknownContact        an address or id that no contact has
|-- DatabaseFailure       1   a statement failed for good; the batch as a whole is repeated
`-- ActionNeeded          1   the CRM's account or settings: a person must act
    `-- SandboxMismatch       demo contacts and a real CRM, or the other way round
"""

from __future__ import annotations

from collections.abc import Sequence


class PipelineError(Exception):
    """A failure that a person can read: `str()` of it says what happened and what to do."""

    exit_code = 1


class UsageError(PipelineError):
    """Wrong use; nothing was touched."""

    exit_code = 2


class SettingsError(UsageError):
    """One or more settings are wrong; all of them are listed, each with its variable."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


class SchemaError(UsageError):
    """The database's catalogue differs from what the pipeline needs; each difference is listed."""

    def __init__(self, problems: Sequence[str], remedy: str = "Run `crm-pipeline db upgrade`.") -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join([*self.problems, remedy]))


class DatabaseUnreachable(UsageError):
    """No connection to the database; names the variable, host and port, never the password."""


class UnknownContact(UsageError):
    """No contact has this address or id."""


class DatabaseFailure(PipelineError):
    """A statement failed, and repeating it for some seconds did not help. Carries no row's data."""

    def __init__(self, message: str, sqlstate: str | None = None, about_a_row: bool = False) -> None:
        self.sqlstate = sqlstate
        self.about_a_row = about_a_row
        super().__init__(f"The database refused: {message}" + (f" (SQLSTATE {sqlstate})" if sqlstate else ""))


class ActionNeeded(PipelineError):
    """The CRM's account or its settings need a person; contacts wait unharmed."""


class SandboxMismatch(ActionNeeded):
    """Demo contacts never reach a real CRM, real contacts never a sandbox."""
