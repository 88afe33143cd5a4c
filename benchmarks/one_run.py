"""One run of `brevo_sync` in this process, as Dagster's run worker does it; prints what it took as JSON."""

from __future__ import annotations

import json
import resource
import time

from dagster import DagsterInstance

from crm_pipeline.definitions import defs


def main() -> None:
    """Wall time and CPU of the run itself, without the start of the interpreter; peak memory of the whole process."""
    with DagsterInstance.get() as instance:
        job = defs.resolve_job_def("brevo_sync")
        started, cpu = time.perf_counter(), time.process_time()
        result = job.execute_in_process(instance=instance)
        seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu
        assert result.success
        print(
            json.dumps(
                {
                    "seconds": seconds,
                    "cpu_seconds": cpu_seconds,
                    "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
                    "events": len(instance.all_logs(result.run_id)),
                }
            )
        )


main()
