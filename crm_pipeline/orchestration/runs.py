"""Which runs of a job are alive? Two at once are safe; this keeps them from piling up."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from dagster import DagsterInstance, DagsterRunStatus, RunRecord, RunsFilter

BEFORE_AND_AFTER = [
    DagsterRunStatus.QUEUED,
    DagsterRunStatus.NOT_STARTED,
    DagsterRunStatus.STARTING,
    DagsterRunStatus.CANCELING,
]
SILENT_SECONDS = 60.0
"""A started run that has logged nothing for so long, and holds no lease, does not count as alive."""


@dataclass(frozen=True, slots=True)
class Runs:
    """One job's unfinished runs."""

    alive: list[RunRecord]
    silent: list[RunRecord]
    """Started, but without a sign of life: the process may have died together with its code server."""

    def reason_to_wait(self, at_most: int) -> str | None:
        """Why no further run may be launched now, or None."""
        if len(self.alive) < at_most:
            return None
        shown = ", ".join(
            f"{run.dagster_run.run_id[:8]} ({run.dagster_run.status.value.lower()})" for run in self.alive
        )
        return f"As many runs as are allowed ({at_most}) are alive: {shown}"


def unfinished(instance: DagsterInstance, job: str, holds_lease: Callable[[str], bool]) -> Runs:
    """The job's unfinished runs.

    Dagster cannot see that a run's process and its code server died together: the run stays STARTED for ever.
    """
    alive = list(instance.get_run_records(RunsFilter(job_name=job, statuses=BEFORE_AND_AFTER)))
    silent: list[RunRecord] = []
    for run in instance.get_run_records(RunsFilter(job_name=job, statuses=[DagsterRunStatus.STARTED])):
        run_id = run.dagster_run.run_id
        quiet = time.time() - _last_event(instance, run_id) > SILENT_SECONDS
        (silent if quiet and not holds_lease(run_id) else alive).append(run)
    return Runs(alive, silent)


def _last_event(instance: DagsterInstance, run_id: str) -> float:
    records = instance.get_records_for_run(run_id, limit=1, ascending=False).records
    return records[0].event_log_entry.timestamp if records else 0.0
