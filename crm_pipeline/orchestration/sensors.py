"""What starts a sync as soon as something is due, and what gives back the contacts of runs that ended badly."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from dagster import (
    DagsterInstance,
    DagsterRunStatus,
    DefaultSensorStatus,
    JobDefinition,
    RunRecord,
    RunRequest,
    RunsFilter,
    RunStatusSensorContext,
    SensorDefinition,
    SensorEvaluationContext,
    SkipReason,
    run_status_sensor,
)

from crm_pipeline.contacts.counts import run_summary
from crm_pipeline.errors import PipelineError
from crm_pipeline.orchestration.runs import unfinished
from crm_pipeline.orchestration.schedules import reason_to_skip
from crm_pipeline.settings import CrmSettings
from crm_pipeline.wiring import Pipeline

RETRY_SENSOR_SECONDS = 15
LONGEST_WAIT_SECONDS = 240
GIVE_BACK_SECONDS = 15
SENSOR_TAG = "dagster/sensor_name"


@dataclass(slots=True)
class Memory:
    """What the retry sensor keeps between its ticks."""

    silent: list[str]
    """Runs that were started and without a sign of life at the last tick."""
    judged: str | None
    """The last finished run of this sensor that was looked at."""
    in_vain: int
    """Runs of this sensor in a row that claimed nothing, although something was due."""

    @classmethod
    def of(cls, cursor: str | None) -> Memory:
        """From the cursor; empty when there is none, or when it is another version's."""
        try:
            return cls(**json.loads(cursor or ""))
        except (ValueError, TypeError):
            return cls([], None, 0)


def retry_sensor(pipeline: Pipeline, job: JobDefinition, others: Sequence[JobDefinition]) -> SensorDefinition:
    """`{crm}_retry_sensor`: every 15 s, a run of `job` when a claim would take something now.

    It ends dead runs of `others` too.
    """
    crm = pipeline.crm
    name = f"{crm.name}_retry_sensor"

    def tick(context: SensorEvaluationContext) -> RunRequest | SkipReason:
        memory = Memory.of(context.cursor)
        try:
            reason = _reason_to_wait(
                context.instance, pipeline, job.name, [other.name for other in others], name, memory
            )
        except PipelineError as error:
            reason = str(error)
        context.update_cursor(json.dumps(asdict(memory)))
        return RunRequest() if reason is None else SkipReason(reason)

    return SensorDefinition(
        name=name,
        job=job,
        evaluation_fn=tick,
        minimum_interval_seconds=RETRY_SENSOR_SECONDS,
        default_status=_default_status(crm),
        description=(
            "Starts a run as soon as a contact was selected, its wait for a retry is over, or a process died while "
            "pushing it. Ends runs whose process is gone without a trace. Waits longer after runs that found nothing."
        ),
    )


def give_back_sensors(pipeline: Pipeline, jobs: Sequence[JobDefinition]) -> list[SensorDefinition]:
    """`{crm}_failed_run_sensor` and `{crm}_cancelled_run_sensor`.

    Both may act twice on one run, or on one whose process still lives: giving back is idempotent, and fences it.
    """

    def sensor(status: DagsterRunStatus, name: str, end: str) -> SensorDefinition:
        @run_status_sensor(
            run_status=status,
            name=f"{pipeline.crm.name}_{name}_run_sensor",
            monitored_jobs=list(jobs),
            minimum_interval_seconds=GIVE_BACK_SECONDS,
            default_status=_default_status(pipeline.crm),
            description=f"Gives back at once the contacts that a {name} run still held: the next run pushes them.",
        )
        def give_back(context: RunStatusSensorContext) -> SkipReason | None:
            run_id = context.dagster_run.run_id
            died = status is DagsterRunStatus.FAILURE and _was_cut_off(context.instance, run_id)
            try:
                counts = pipeline.queue.give_back(run_id, f"the run {end}", crashed=died)
            except PipelineError as error:
                return SkipReason(
                    f"Run {run_id[:8]}: its leases end by themselves, since nothing can be given back: {error}"
                )
            context.log.info(f"Run {run_id[:8]} {end}: {counts.released + counts.crashed} contacts given back")
            return None

        return give_back

    return [
        sensor(DagsterRunStatus.FAILURE, "failed", "failed"),
        sensor(DagsterRunStatus.CANCELED, "cancelled", "was cancelled"),
    ]


def _default_status(crm: CrmSettings) -> DefaultSensorStatus:
    return DefaultSensorStatus.RUNNING if crm.enabled else DefaultSensorStatus.STOPPED


def _was_cut_off(instance: DagsterInstance, run_id: str) -> bool:
    """A step began and never ended: its process died. Then a contact may be what killed it; else none is suspected."""
    return any(step.start_time and not step.end_time for step in instance.get_run_step_stats(run_id))


def _reason_to_wait(
    instance: DagsterInstance, pipeline: Pipeline, job: str, others: Sequence[str], sensor: str, memory: Memory
) -> str | None:
    """Why there is no run now, or None. Raises PipelineError."""
    if not pipeline.crm.enabled:
        return reason_to_skip(pipeline)
    runs = unfinished(instance, job, pipeline.queue.holds_lease)
    silent = list(runs.silent)
    for other in others:
        silent += unfinished(instance, other, pipeline.queue.holds_lease).silent
    _end_dead_runs(instance, silent, memory)
    reason = reason_to_skip(pipeline) or runs.reason_to_wait(pipeline.crm.sync.scheduler_max_instances)
    if reason is not None:
        return reason
    if not pipeline.queue.due_now():
        memory.in_vain = 0
        return "Nothing is due"
    return _wait_after_runs_in_vain(instance, pipeline, job, sensor, memory)


def _end_dead_runs(instance: DagsterInstance, records: Sequence[RunRecord], memory: Memory) -> None:
    """A started run without a sign of life at two ticks in a row is dead: turned red, its contacts are given back."""
    silent = []
    for record in records:
        run = record.dagster_run
        if run.run_id in memory.silent:
            instance.report_run_failed(
                run, "The run's process is gone without a trace. Its contacts are given back; the next run pushes them."
            )
        else:
            silent.append(run.run_id)
    memory.silent = silent


def _wait_after_runs_in_vain(
    instance: DagsterInstance, pipeline: Pipeline, job: str, sensor: str, memory: Memory
) -> str | None:
    """Something is due, yet runs claim nothing: whatever the cause, do not launch one every 15 s."""
    last = next(iter(instance.get_run_records(RunsFilter(job_name=job, tags={SENSOR_TAG: sensor}), limit=1)), None)
    if last is None or last.end_time is None:
        return None
    if last.dagster_run.run_id != memory.judged:
        memory.judged = last.dagster_run.run_id
        memory.in_vain = 0 if _claimed(pipeline, last.dagster_run.run_id) else memory.in_vain + 1
    if not memory.in_vain:
        return None
    wait = min(RETRY_SENSOR_SECONDS * 2**memory.in_vain, LONGEST_WAIT_SECONDS)
    left = last.end_time + wait - time.time()
    if left <= 0:
        return None
    return f"Waiting {left:.0f} s more: the last {memory.in_vain} runs claimed nothing, although something is due"


def _claimed(pipeline: Pipeline, run_id: str) -> bool:
    """Did the run claim anything? The database knows it of one that was killed too."""
    return pipeline.queue.holds_lease(run_id) or bool(run_summary(pipeline.queue, run_id).attempts)
