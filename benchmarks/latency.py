"""How long from the sensor's tick until ten contacts are Complete and the run has succeeded, with the real daemon."""

from __future__ import annotations

import statistics

from rich.progress import Progress

from benchmarks.measured import Measured
from benchmarks.server import data_folder
from benchmarks.throughput import job_environment, slow_sandbox
from crm_pipeline.database.embedded import EmbeddedPostgres
from crm_pipeline.database.engine import Database
from crm_pipeline.database.upgrade import upgrade
from crm_pipeline_tests.orchestration.live import Dagster, running_dagster, wait_for
from crm_pipeline_tests.support.contacts import insert_many, pairs

RUNS = 5
CONTACTS = 10
GOAL_SECONDS = 8.0


def measure(progress: Progress) -> list[Measured]:
    """The median of five runs."""
    task = progress.add_task(f"{CONTACTS} contacts from tick to success", total=RUNS)
    taken = []
    with data_folder() as folder, slow_sandbox() as url:
        postgres = EmbeddedPostgres(folder).start()
        database = Database(postgres.url())
        upgrade(database)
        environment = job_environment(folder, postgres, url)
        with running_dagster(folder / "dagster", environment) as dagster:
            for number in range(1, RUNS + 1):
                insert_many(database, CONTACTS, domain=f"run-{number}.example.com")
                complete = {"Complete/Complete": number * CONTACTS}
                wait_for(lambda complete=complete: pairs(database) == complete, 60)  # type: ignore[misc]
                taken.append(_last_tick_to_success(dagster))
                progress.advance(task)
        database.dispose()
    median = statistics.median(taken)
    return [
        Measured(
            f"tick to success, {CONTACTS} contacts", f"{median:.1f} s", f"{GOAL_SECONDS:.0f} s", median <= GOAL_SECONDS
        )
    ]


def _last_tick_to_success(dagster: Dagster) -> float:
    """Seconds from the tick that launched the newest run to the run's end."""

    def finished() -> dict[str, object]:
        newest = dagster.runs("brevo_sync")[0]
        return newest if newest["status"] == "SUCCESS" else {}

    run = wait_for(finished, 30)
    ticks = [*dagster.sensor_ticks("brevo_retry_sensor"), *dagster.schedule_ticks("brevo_sync_schedule")]
    (tick,) = [tick for tick in ticks if run["runId"] in tick["runIds"]]
    return float(str(run["endTime"])) - float(tick["timestamp"])
