"""Days of contacts, and their backfill in this process."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from dagster import DagsterInstance, Definitions, ExecuteInProcessResult

TODAY = datetime.now(UTC).date()
DAY = TODAY - timedelta(days=3)
NOON = datetime(DAY.year, DAY.month, DAY.day, 12, tzinfo=UTC)
Backfill = Callable[..., ExecuteInProcessResult]


def backfill_of(defs: Definitions, instance: DagsterInstance) -> Backfill:
    """Runs one day; `tags` are the run's, what else is given is the config."""

    def run(day: Any = DAY, tags: dict[str, str] | None = None, **config: Any) -> ExecuteInProcessResult:
        job = defs.resolve_job_def("brevo_backfill")
        return job.execute_in_process(
            partition_key=str(day),
            run_config={"ops": {"list_contacts_of_day": {"config": config}}},
            instance=instance,
            raise_on_error=False,
            tags=tags,
        )

    return run
