"""What every CRM is to the rest of the pipeline."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pydantic_settings import BaseSettings

from crm_pipeline.model import WELL, Answer, CheckResult, Contact, News


@dataclass(frozen=True, slots=True)
class Limits:
    """What one request may take."""

    contacts_per_request: int = 1
    total_seconds: float = 30.0
    """The longest that one request can last, connection and body included."""


@dataclass(frozen=True, slots=True)
class Mapped:
    """What a CRM's settings send beside the columns that every CRM gets."""

    columns: tuple[str, ...] = ()
    """Further columns of `contacts`."""
    stamp: str = ""
    """Part of a contact's fingerprint: changes with each change of the mapping. Hexadecimal; empty: the default."""


@dataclass(frozen=True, slots=True)
class SetupStep:
    """One request of a setup: what was made, or why not."""

    says: str
    news: News = WELL


class Crm(Protocol):
    """One CRM's account, ready for requests from several threads.

    A call makes one request, or as many as it says; it never sleeps, never retries beyond one immediate reconnect,
    opens no transaction and makes no status: it answers with outcomes and with what it learnt about the account.
    Expected failures are outcomes; an exception is a bug.
    """

    limits: Limits
    target: str
    """Host (and port) that contacts are synced to, e.g. `api.brevo.com`."""
    identity: str
    """Hash of key and URL: when it changes, a closed gate opens."""

    def reason_not_pushable(self, contact: Contact) -> str | None:
        """Why no request can be made for this contact (no address, ...), or None."""

    def push(self, contacts: Sequence[Contact]) -> Answer:
        """The first request of an upsert of at most `limits.contacts_per_request` contacts.

        Outcomes are matched by contact id. An answer with `then` needs another request.
        """

    def prepare(self) -> CheckResult:
        """Read what pushes need to know of the account (its attributes): once a run, one request."""

    def check(self) -> CheckResult:
        """Ask the CRM whether key, plan and configured list are usable, `prepare` included. At most two requests."""

    def setup(self) -> Iterator[SetupStep]:
        """Create what the settings need and the account lacks. Each step makes one request."""

    def close(self) -> None:
        """Close pooled connections."""


@dataclass(frozen=True)
class CrmSpec:
    """What the rest of the pipeline must know to run a CRM: one line in the registry each."""

    name: str
    """Column prefix and variable prefix in lower case, e.g. `brevo`."""
    title: str
    """As people write it, e.g. `Brevo`."""
    settings: type[BaseSettings]
    """Credentials and options, read from `{NAME}_...` variables."""
    connect: Callable[[Any, int], Crm]
    """(settings, threads) -> Crm. Makes no request."""
    key_variable: str
    """The variable without which the CRM is disabled, e.g. `BREVO_API_KEY`."""
    account_requests_per_second: float
    """What the CRM allows; the default rate stays below it."""
    account_requests_per_hour: int
    """What it allows in an hour."""
    sandbox_path: str
    """Path of the API at the sandbox, e.g. `/v3`; the base URL in `make dev` ends with it."""
    base_url_variable: str
    external_id_column: str
    """Column of `contacts` for the contact's id at the CRM, e.g. `brevo_contact_id`."""
    mapped: Callable[[Any], Mapped] = lambda _: Mapped()
    """Which further columns these settings send."""
