"""One resource per CRM: its queue, gate and account, for the time of a run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

from dagster import ConfigurableResource, InitResourceContext
from pydantic import Field, PrivateAttr
from pydantic_settings import BaseSettings

from crm_pipeline.crms.protocol import CrmSpec
from crm_pipeline.orchestration.stop import RunStop
from crm_pipeline.settings import CrmSettings, Settings, SyncSettings
from crm_pipeline.wiring import Pipeline, connect

BOUNDS = ("gt", "ge", "lt", "le")


def _bounds(settings: type[BaseSettings], name: str) -> dict[str, Any]:
    rules = settings.model_fields[name].metadata
    return {bound: getattr(rule, bound) for rule in rules for bound in BOUNDS if hasattr(rule, bound)}


def limited(settings: type[BaseSettings], name: str, description: str) -> Any:
    """A field that takes what this setting takes, and no more."""
    return Field(description=description, **_bounds(settings, name))


class SyncResource(ConfigurableResource[Any]):
    """One CRM's sync. The fields are what people may see, and change for a run; the key is named, never shown.

    A value that no setting may have ends the run before its first step.
    """

    crm: str = Field(description="The CRM's name: the prefix of its columns and variables.")
    key_variable: str = Field(description="The variable, in the environment or .env, that holds the key.")
    requests_per_second: float = limited(SyncSettings, "rate_per_second", "Pace of all processes together.")
    threads: int = limited(SyncSettings, "concurrency", "Threads that push at once.")
    batch_size: int = limited(SyncSettings, "scheduler_batch_size", "The smallest batch: one push step.")
    max_contacts_per_run: int = limited(SyncSettings, "max_contacts_per_run", "Most contacts that a run takes.")

    _pipeline: Pipeline | None = PrivateAttr(default=None)
    _stop: RunStop | None = PrivateAttr(default=None)

    @property
    def pipeline(self) -> Pipeline:
        """Made when first asked for; raises SettingsError without a key. Connects when its parts are used."""
        if self._pipeline is None:
            pipeline = connect(Settings.load(), self.crm)
            sync = pipeline.crm.sync.model_copy(
                update={
                    "rate_per_second": self.requests_per_second,
                    "concurrency": self.threads,
                    "scheduler_batch_size": self.batch_size,
                    "max_contacts_per_run": self.max_contacts_per_run,
                }
            )
            self._pipeline = Pipeline(pipeline.settings, pipeline.crm.model_copy(update={"sync": sync}))
        return self._pipeline

    @contextmanager
    def without_crm(self) -> Iterator[Pipeline]:
        """Its queue and contacts alone: no key is needed, and nothing can be sent."""
        settings = Settings.load()
        pipeline = Pipeline(settings, settings.crms[self.crm])
        try:
            yield pipeline
        finally:
            pipeline.close()

    @property
    def stop(self) -> RunStop:
        """The watch over this run, from its first step to its last."""
        assert self._stop is not None, "only within a run"
        return self._stop

    def setup_for_execution(self, context: InitResourceContext) -> None:
        """Called once per run; nothing is connected yet."""
        if context.run is not None and context.instance is not None:
            self._stop = RunStop(context.instance, context.run.run_id)

    def teardown_after_execution(self, context: InitResourceContext) -> None:  # noqa: ARG002 (Dagster's signature)
        """Called once per run, also after a failed step."""
        if self._stop is not None:
            self._stop.close()
        if self._pipeline is not None:
            self._pipeline.close()


def sync_resource(crm: CrmSettings) -> SyncResource:
    """The CRM's resource with its settings; its class bears the CRM's name, as people look for it in the UI.

    Its job is that CRM's alone: the Launchpad takes no other name.
    """
    spec: CrmSpec = crm.spec
    fixed = {"crm": spec.name, "key_variable": spec.key_variable}
    named = type(
        f"{spec.title}Resource",
        (SyncResource,),
        {
            "__doc__": f"{spec.title}: its queue, gate and account.",
            "__annotations__": {name: Literal[value] for name, value in fixed.items()},
            **{name: Field(description=SyncResource.model_fields[name].description) for name in fixed},
        },
    )
    resource: SyncResource = named(
        **fixed,
        requests_per_second=crm.rate_per_second,
        threads=crm.sync.concurrency,
        batch_size=crm.sync.scheduler_batch_size,
        max_contacts_per_run=min(crm.max_contacts_per_run, _bounds(SyncSettings, "max_contacts_per_run")["le"]),
    )
    return resource
