"""Connections, time limits, and which failures are worth repeating a transaction for."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from psycopg2 import ProgrammingError
from psycopg2.extensions import parse_dsn
from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError, OperationalError
from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_random_exponential

from crm_pipeline.errors import DatabaseFailure, DatabaseUnreachable
from crm_pipeline.redaction import redact

logger = logging.getLogger(__name__)
T = TypeVar("T")

ABOUT_A_ROW = ("22", "23", "44", "54", "P0")
"""Classes of SQLSTATE: unfit data, a constraint, a view's check option, an index entry's size, a trigger's RAISE."""
ABOUT_THE_SERVER = ("08", "40", "53", "55", "57", "58", "XX")
"""Connections, conflicts, memory and disk, locks, a stop, system errors: met in a trigger too, no row is to blame."""
UNFIT = {"22001": "a value is too long for its column", "22003": "a number is out of its column's range"}
ONE_IN_FLIGHT = "crm_sync_one_address_in_flight"
"""Our own constraint: that it is met is no row's fault, but one of the locks."""
REPEATABLE = {"40001", "40P01", "55P03", "57P01", "57P02", "57P03", "25006"}
"""Serialization failure, deadlock, lock timeout, server going down or coming up, read-only (a former primary)."""
FOREIGN_OPTIONS = (
    "pgbouncer",
    "prepared_statement_cache_size",
    "statement_cache_size",
    "connection_limit",
    "pool_timeout",
)
"""What other clients' URLs carry, and what means nothing here."""
DISPOSE = {"57P01", "57P02", "25006"}
CONNECT_SECONDS = 8
STATEMENT_MS = 10_000
LOCK_MS = 2_000


def psycopg2_url(url: str) -> URL:
    """The URL in the one form used here; raises ValueError for what is no PostgreSQL URL.

    `postgres://`, `postgresql://`, `+asyncpg`, `+psycopg` become psycopg2, `ssl=` (asyncpg) becomes `sslmode=`.
    """
    try:
        parsed = make_url(url)
    except Exception as error:
        raise ValueError("is no database URL; expected postgresql://user:password@host:5432/database") from error
    backend = parsed.drivername.partition("+")[0]
    if backend not in ("postgres", "postgresql"):
        raise ValueError(f"names {parsed.drivername!r}; only PostgreSQL is supported (postgresql://...)")
    query = dict(parsed.query)
    ssl = query.pop("ssl", None)
    if ssl is not None and "sslmode" not in query:
        query["sslmode"] = {"true": "require", "1": "require", "false": "disable", "0": "disable"}.get(str(ssl), ssl)
    for name in FOREIGN_OPTIONS:
        query.pop(name, None)
    if not parsed.database:
        raise ValueError("names no database; expected postgresql://user:password@host:5432/database")
    if any(sign in f"{parsed.host}{parsed.database}" for sign in "@#"):
        raise ValueError("cannot be understood: write @ as %40, # as %23 and / as %2F where they stand in the password")
    unknown = [name for name in query if not _is_known(name)]
    if unknown:
        raise ValueError(f"has options that PostgreSQL's client does not know: {', '.join(unknown)}")
    return parsed.set(drivername="postgresql+psycopg2", query=query)


def _is_known(option: str) -> bool:
    try:
        parse_dsn(f"{option}=1")
    except ProgrammingError:
        return False
    return True


def address(url: URL) -> str:
    """The URL as other programs take it, its password included: not for people's eyes."""
    return url.set(drivername="postgresql").render_as_string(hide_password=False)


def where(url: URL) -> str:
    """Host, port and database for people; never the password."""
    host = url.host or url.query.get("host") or "the local socket"
    return f"host {host}, port {url.port or url.query.get('port') or 5432}, database {url.database}"


class Database:
    """The one way to run SQL: `run(work)` is one transaction, repeated where repeating is safe.

    `work` must be repeatable: after a lost answer to COMMIT it runs again.
    """

    def __init__(self, url: str | URL, schema: str | None = None, pool_size: int = 4) -> None:
        self.url = psycopg2_url(url) if isinstance(url, str) else url
        self.schema = schema
        self.engine: Engine = create_engine(
            self.url,
            isolation_level="READ COMMITTED",  # whatever the role's default: each statement must see the last commits
            pool_size=pool_size,
            max_overflow=4,
            pool_pre_ping=True,
            pool_recycle=1800,
            pool_timeout=10,
            hide_parameters=True,  # an exception's text must not carry a contact's data
            connect_args={
                "connect_timeout": CONNECT_SECONDS,
                "keepalives_idle": 10,
                "keepalives_interval": 5,
                "keepalives_count": 3,
                "tcp_user_timeout": 20_000,
                "target_session_attrs": "read-write",
                "application_name": "crm-pipeline",
            },
        )
        # A queue's statistics are always stale; with them the planner reads whole tables where an index finds ten rows.
        begin = (
            f"SET LOCAL statement_timeout = {STATEMENT_MS}; SET LOCAL lock_timeout = {LOCK_MS}; "
            "SET LOCAL enable_seqscan = off; SET LOCAL jit = off"
        )
        if schema is not None:
            begin += "; SET LOCAL search_path = " + self.quoted_schema
        self._begin = text(begin)

    def run(self, work: Callable[[Connection], T], patience_seconds: float = 6.0) -> T:
        """Run `work` in one transaction; repeat it with backoff and jitter on what passes by itself.

        Raises DatabaseFailure when it fails for good, or still after `patience_seconds`.
        """
        retrying = Retrying(
            retry=retry_if_exception(self._worth_repeating),
            stop=stop_after_delay(patience_seconds),
            wait=wait_random_exponential(multiplier=0.1, max=2),
            reraise=True,
        )
        try:
            done: T = retrying(self._once, work)
            return done
        except DBAPIError as error:
            # The server's DETAIL line may quote a row: only the first line leaves this module.
            raise DatabaseFailure(
                first_line(error), getattr(error.orig, "pgcode", None), about_a_row=is_about_a_row(error)
            ) from None

    def ping(self, variable: str = "DATABASE_URL") -> None:
        """Raise DatabaseUnreachable, within 10 s, when there is no connection."""
        started = time.monotonic()
        try:
            with self.engine.connect() as connection:
                connection.execute(text("SELECT 1"))
        except OperationalError as error:
            seconds = time.monotonic() - started
            raise DatabaseUnreachable(
                f"No connection to the database of {variable} ({where(self.url)}) after {seconds:.0f} s: "
                f"{first_line(error)}. Is the server running, and is the address right?"
            ) from None

    @property
    def quoted_schema(self) -> str:
        """The schema's name as it stands in SQL."""
        assert self.schema is not None
        return self.engine.dialect.identifier_preparer.quote(self.schema)

    def dispose(self) -> None:
        """Close the pool."""
        self.engine.dispose()

    def _once(self, work: Callable[[Connection], T]) -> T:
        with self.engine.begin() as connection:
            connection.execute(self._begin)
            return work(connection)

    def _worth_repeating(self, error: BaseException) -> bool:
        if not isinstance(error, DBAPIError):
            return False
        state = getattr(error.orig, "pgcode", None)
        if state in DISPOSE or error.connection_invalidated:
            self.engine.dispose()
        no_connection = state is None and isinstance(error, OperationalError)
        repeat = error.connection_invalidated or no_connection or state in REPEATABLE or (state or "").startswith("08")
        if repeat:
            with suppress(Exception):  # Dagster writes log lines to its own database, which may be away too
                logger.warning("Database: %s; trying the transaction again", first_line(error))
        return repeat


def is_about_a_row(error: DBAPIError) -> bool:
    """Did the application's table refuse what was to stand in one of its rows?

    By a constraint, or in a trigger, whatever the code that it raises; a policy of row security counts too.
    """
    if _diagnosed(error, "constraint_name") == ONE_IN_FLIGHT:
        return False
    if _state(error).startswith(ABOUT_THE_SERVER):
        return False
    by_policy = "row-level security" in (_diagnosed(error, "message_primary") or "")
    return _state(error).startswith(ABOUT_A_ROW) or by_policy or _function(error) is not None


def first_line(error: DBAPIError) -> str:
    """What the server said, redacted, without what may quote a row.

    What a trigger or function of the application's says may hold anything: it is named in the place of its words. Of
    data that do not fit the server quotes the value: its sentence is not repeated either.
    """
    state, function = _state(error), _function(error)
    if function is not None and not state.startswith(ABOUT_THE_SERVER):
        return f"the function {function} raised an exception"
    if state.startswith("22"):
        return UNFIT.get(state, "a value does not fit its column")
    return redact((str(error.orig).strip().splitlines() or ["no reason given"])[0]).rstrip(".")


def _function(error: DBAPIError) -> str | None:
    """The function of the application's in which the error was raised."""
    context = _diagnosed(error, "context") or ""
    found = re.search(r"function (\S+?)\(", context)
    return found[1] if found else ("of the application" if _state(error).startswith("P0") else None)


def _state(error: DBAPIError) -> str:
    return getattr(error.orig, "pgcode", None) or ""


def _diagnosed(error: DBAPIError, name: str) -> str | None:
    return getattr(getattr(error.orig, "diag", None), name, None)
