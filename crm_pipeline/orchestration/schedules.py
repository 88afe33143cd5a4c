"""When a sync starts by itself at a fixed pace."""

from __future__ import annotations

from dagster import (
    DefaultScheduleStatus,
    JobDefinition,
    RunRequest,
    ScheduleDefinition,
    ScheduleEvaluationContext,
    SkipReason,
)

from crm_pipeline.errors import PipelineError
from crm_pipeline.orchestration.runs import unfinished
from crm_pipeline.wiring import Pipeline


def sync_schedule(pipeline: Pipeline, job: JobDefinition) -> ScheduleDefinition:
    """`{crm}_sync_schedule`: running by default when the CRM has its key."""
    crm = pipeline.crm

    def tick(context: ScheduleEvaluationContext) -> RunRequest | SkipReason:
        try:
            reason = reason_to_skip(pipeline) or unfinished(
                context.instance, job.name, pipeline.queue.holds_lease
            ).reason_to_wait(crm.sync.scheduler_max_instances)
            if reason is None and not pipeline.queue.due_now() and not pipeline.queue.left_behind():
                reason = "Nothing is due"
        except PipelineError as error:
            reason = str(error)
        return RunRequest() if reason is None else SkipReason(reason)

    return ScheduleDefinition(
        name=f"{crm.name}_sync_schedule",
        job=job,
        cron_schedule=cron(crm.sync.scheduler_interval_minutes),
        execution_fn=tick,
        default_status=DefaultScheduleStatus.RUNNING if crm.enabled else DefaultScheduleStatus.STOPPED,
        description=(
            f"Pushes to {crm.spec.title} what is due. Skips, and says why, when nothing is due, while "
            f"{crm.sync.scheduler_max_instances} runs are alive, and while {crm.spec.title} is paused."
        ),
    )


def reason_to_skip(pipeline: Pipeline) -> str | None:
    """Why no run of this CRM can do anything now: it has no key, or nothing may be sent. Raises PipelineError."""
    crm = pipeline.crm
    if not crm.enabled:  # a schedule that was started by hand stays started
        return f"{crm.spec.title} is disabled: {crm.spec.key_variable} is not set"
    state = pipeline.gate.state()
    return f"{crm.spec.title} is {state.sentence()}" if state.paused else None


def cron(minutes: int) -> str:
    """Evenly spaced ticks; `minutes` divides 60, or is whole hours that divide 24, as the settings make sure."""
    if minutes < 60:
        return f"*/{minutes} * * * *"
    return f"0 */{minutes // 60} * * *" if minutes < 1440 else "0 0 * * *"


def every(minutes: int) -> str:
    """`every 5 minutes`, `every hour`, `every 2 hours`."""
    if minutes % 60:
        return "every minute" if minutes == 1 else f"every {minutes} minutes"
    return "every hour" if minutes == 60 else f"every {minutes // 60} hours"
