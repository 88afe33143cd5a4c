"""How one CRM stands now: what a person asks first, read from indexes."""

from __future__ import annotations

from dataclasses import dataclass

from crm_pipeline.contacts.counts import Depth, Recent, counted, depth, recent
from crm_pipeline.contacts.standing import LastRun, Standing, last_run, standing
from crm_pipeline.gate.gate import GateState
from crm_pipeline.gate.hour import Hour, hour
from crm_pipeline.model import NewsKind
from crm_pipeline.wiring import Pipeline

MINUTES = 15
SHARES = (0.5, 0.95)


@dataclass(frozen=True, slots=True)
class Look:
    """One CRM, as it stands now."""

    pipeline: Pipeline
    depth: Depth
    standing: Standing
    recent: Recent
    last_run: LastRun | None
    gate: GateState | None
    """None: the CRM has no key, and a gate belongs to a key."""
    hour: Hour | None

    @property
    def disabled_because(self) -> str | None:
        """Why nothing is pushed at all; None: the CRM is on."""
        crm = self.pipeline.crm
        return None if crm.enabled else f"{crm.spec.key_variable} is not set"

    @property
    def closed(self) -> bool:
        """The account or the settings are at fault: a person must act."""
        return self.gate is not None and self.gate.cause_kind is NewsKind.CLOSED

    @property
    def pushes_per_second(self) -> float:
        """Over the last minutes, pauses included."""
        return sum(self.recent.pushes.values()) / (MINUTES * 60)

    @property
    def run_url(self) -> str | None:
        """The last run's page in Dagster's UI, when it is known where that is."""
        return None if self.last_run is None else self.pipeline.settings.general.run_url(self.last_run.run_id)

    def to_do(self) -> list[str]:
        """Sentences for a person, each with its next command; empty: nothing is to be done."""
        crm, gate = self.pipeline.crm, self.gate
        if gate is None:
            return [f"Set {crm.spec.key_variable} in .env or the environment. What is selected waits till then."]
        found = []
        if self.closed:
            found.append(f"{gate.cause} Then `crm-pipeline {crm.name} check` opens the gate at once.")
        elif not gate.paused and gate.failures_in_a_row:
            found.append(f"`crm-pipeline {crm.name} check` says why {crm.spec.title} gives no usable answer.")
        elif not gate.paused and self._nobody_pushes():
            found.append(
                f"{counted(self._pushable)} could be pushed, and no run takes them: is Dagster running, with its "
                f"schedule on? `crm-pipeline sync {crm.name}` pushes them now."
            )
        if self.standing.given_up:
            found.append(f"`crm-pipeline failures --crm {crm.name}` says for what contacts were given up.")
        return found

    @property
    def _pushable(self) -> int:
        return self.depth.queued + self.standing.lease_over + self.standing.retry_over

    def _nobody_pushes(self) -> bool:
        """Something is due, and none was pushed for two intervals."""
        quiet = self.last_run is None or (
            self.last_run.seconds_ago > 2 * 60 * self.pipeline.crm.sync.scheduler_interval_minutes
        )
        return bool(self._pushable) and not self.standing.being_pushed and quiet


def look_at(pipeline: Pipeline) -> Look:
    """Asks the database. Raises SchemaError, DatabaseFailure."""
    queue, enabled = pipeline.queue, pipeline.crm.enabled
    return Look(
        pipeline,
        depth(queue),
        standing(queue),
        recent(queue, MINUTES, SHARES),
        last_run(queue),
        pipeline.gate.state() if enabled else None,
        hour(pipeline.gate) if enabled else None,
    )
