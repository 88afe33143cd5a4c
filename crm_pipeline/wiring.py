"""Settings -> database, queue, gate and CRM: the one place for Dagster, CLI and API."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import date
from functools import cached_property

from crm_pipeline.contacts.answers import RetryPolicy
from crm_pipeline.contacts.chosen import oldest_day as oldest_contact_day
from crm_pipeline.contacts.columns import CrmColumns
from crm_pipeline.contacts.lookup import Contacts
from crm_pipeline.contacts.queue import Queue
from crm_pipeline.contacts.which import Which
from crm_pipeline.crms.protocol import Crm, CrmSpec
from crm_pipeline.database.catalog import StatusTypes, check_schema
from crm_pipeline.database.check import Findings, check
from crm_pipeline.database.embedded import EmbeddedPostgres
from crm_pipeline.database.engine import Database
from crm_pipeline.errors import PipelineError
from crm_pipeline.gate.gate import Gate
from crm_pipeline.push.due import Found, find_day, find_due
from crm_pipeline.push.push import Push
from crm_pipeline.push.sandbox import Sandbox
from crm_pipeline.settings import CrmSettings, Settings


def open_database(settings: Settings, connections: int = 4) -> Database:
    """The database of DATABASE_URL, or the embedded one, started if need be. Raises DatabaseUnreachable.

    So many `connections` are kept open once they were needed.
    """
    url = settings.database_url
    if url is None:
        url = EmbeddedPostgres(settings.general.crm_pipeline_data_dir).start().url()
    database = Database(url, settings.general.crm_pipeline_schema, connections)
    database.ping()
    return database


@dataclass(frozen=True)
class Pipeline:
    """One CRM's sync, ready to run. Making one needs no network and no database; its parts connect when first used."""

    settings: Settings
    crm: CrmSettings
    shared: Database | None = None
    """A database that others use as well, and its owner closes."""

    @cached_property
    def database(self) -> Database:
        """Connected; raises DatabaseUnreachable."""
        return self.shared or open_database(self.settings)

    @cached_property
    def queue(self) -> Queue:
        """The CRM's contacts; raises SchemaError when the catalogue is not as it must be."""
        spec = self.crm.spec
        types = self._check_schema()
        mapped = spec.mapped(self.crm.credentials)
        columns = CrmColumns(
            spec.name,
            spec.external_id_column,
            types.sync,
            types.processing,
            types.error_length,
            further=mapped.columns,
            mapping=mapped.stamp,
        )
        sync = self.crm.sync
        retries = RetryPolicy(sync.max_retries, sync.retry_delay_minutes, 2 if sync.retry_exponential else 1)
        return Queue(self.database, columns, retries, target=self.push_target)

    @cached_property
    def gate(self) -> Gate:
        """The CRM's shared pace and pause."""
        crm = self.crm
        return Gate(self.database, crm.name, self._connected.identity, crm.rate_per_second, crm.requests_per_hour)

    @cached_property
    def push(self) -> Push:
        """What pushes batches."""
        return Push(
            queue=self.queue,
            gate=self.gate,
            crm=self._connected,
            threads=self.crm.sync.concurrency,
            retry_rejected=self.crm.sync.retry_rejected,
            sandbox=Sandbox(self.settings.embedded, self.settings.general.crm_pipeline_allow_sandbox),
        )

    @cached_property
    def contacts(self) -> Contacts:
        """Finding and adding contacts."""
        return Contacts(self.database)

    @property
    def push_target(self) -> str:
        """Host that contacts are synced to; empty while the CRM has no key."""
        return self._connected.target if self.crm.enabled else ""

    def begin(self, stop: threading.Event) -> None:
        """Before a run's first claim: schema, rate, account. Raises SchemaError, ActionNeeded, SandboxMismatch."""
        self._check_schema()
        self.push.begin(stop)

    def find_due(self, take_back_always: bool = False) -> Found:
        """What is due now, in batches."""
        probing = self.gate.state().half_open
        return find_due(self.queue, self.crm.max_contacts_per_run, self.crm.batch_size, take_back_always, probing)

    def list_day(self, which: Which, day: date) -> Found:
        """What a backfill chose of the contacts created on that day (UTC), in batches, after the start of any run."""
        return find_day(self.queue, which, day, self.crm.batch_size)

    def schema_findings(self) -> Findings:
        """In what the database is not as the pipeline needs it."""
        return check(self.database)

    def close(self) -> None:
        """Close connections."""
        if "database" in self.__dict__ and self.shared is None:
            self.database.dispose()
        if "_connected" in self.__dict__:
            self._connected.close()

    def _check_schema(self) -> StatusTypes:
        spec = self.crm.spec
        mapped = spec.mapped(self.crm.credentials)
        return check_schema(self.database, spec.name, spec.external_id_column, mapped.columns)

    @cached_property
    def _connected(self) -> Crm:
        spec: CrmSpec = self.crm.spec
        return spec.connect(self.crm.credentials, self.crm.sync.concurrency)


def oldest_day(settings: Settings) -> date | None:
    """The day (UTC) of the oldest contact; None when there is none, or the database cannot say within some seconds.

    An embedded database that does not run is not started for it.
    """
    embedded = EmbeddedPostgres(settings.general.crm_pipeline_data_dir)
    if settings.embedded and not (embedded.folder / "postmaster.pid").exists():
        return None
    try:
        database = open_database(settings)
    except PipelineError:
        return None
    try:
        return oldest_contact_day(database)
    except PipelineError:
        return None
    finally:
        database.dispose()


def pipelines(settings: Settings, database: Database) -> dict[str, Pipeline]:
    """The pipelines of all CRMs, by name, over one database. They need no key; closing them leaves it open."""
    return {name: Pipeline(settings, crm, database) for name, crm in settings.crms.items()}


def connect(settings: Settings, crm: str) -> Pipeline:
    """The pipeline of one CRM; raises SettingsError when it is unknown or has no key."""
    return Pipeline(settings, settings.crm(crm))
