"""Stops a run that is cancelled, with the retry policy in place, within 5 s.

Dagster takes an interrupt in an op with a RetryPolicy for a reason to retry, and runs on. So each step looks at the
run's status when it begins, a thread looks each second, and whoever learns of it fails the step without retry.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from dagster import (
    DagsterEventType,
    DagsterExecutionInterruptedError,
    DagsterInstance,
    DagsterRun,
    DagsterRunStatus,
    Failure,
)

logger = logging.getLogger(__name__)
LOOK_SECONDS = 1.0
EXIT_SECONDS = 3.6
"""From the moment a stop is seen to the end of the process: a push gives what is in flight 3 s, then journals it."""
GOING = (DagsterRunStatus.STARTING, DagsterRunStatus.STARTED)
BACKFILL_TAG = "dagster/backfill"
BACKFILL_ENDS = ("CANCELING", "CANCELED", "FAILING", "FAILED")
"""A backfill that is cancelled reaches its runs only after up to 30 s."""
CANCELLED_EARLIER = {DagsterEventType.RUN_CANCELING, DagsterEventType.RUN_CANCELED}


class RunStop:
    """One run in one process. `event` is set when the run must stop; the push's threads ask it before each request."""

    def __init__(self, instance: DagsterInstance, run_id: str) -> None:
        self.event = threading.Event()
        self._instance = instance
        self._run_id = run_id
        self._over = threading.Event()
        self._first_step = True
        self._started = time.monotonic()
        threading.Thread(target=self._watch, name=f"stop-{run_id[:8]}", daemon=True).start()

    @property
    def running_seconds(self) -> float:
        """How long the run has been going on in this process."""
        return time.monotonic() - self._started

    def close(self) -> None:
        """The process has done its part of the run: end the watch."""
        self._over.set()

    @contextmanager
    def step(self, finishing: bool = False) -> Iterator[threading.Event]:
        """Around a step's body: raises Failure, without retry, when the run is being stopped.

        `finishing`: the body is done even then, since it only ends what an earlier step began.
        """
        try:
            if self._must_stop() and not finishing:
                raise self._failure()
            yield self.event
        except DagsterExecutionInterruptedError:
            raise self._failure() from None
        except Exception:
            if self.event.is_set():
                raise self._failure() from None
            raise
        if self.event.is_set():
            raise self._failure()

    def _failure(self) -> Failure:
        self.event.set()
        return Failure(
            "This run is being stopped. What it had not sent is given back and goes on with the next run.",
            allow_retries=False,
        )

    def _must_stop(self) -> bool:
        if self._first_step:
            self._first_step = False
            if self._was_cancelled_before_it_started():
                self.event.set()
        if not self.event.is_set():
            self._look()
        return self.event.is_set()

    def _look(self) -> None:
        run = self._run()
        backfill_id = run.tags.get(BACKFILL_TAG)
        if run.status in GOING and backfill_id is not None:
            backfill = self._instance.get_backfill(backfill_id)
            if backfill is not None and backfill.status.value in BACKFILL_ENDS:
                self._instance.report_run_canceling(run)  # so that it ends as cancelled, not as failed
                self.event.set()
        if run.status not in GOING:
            self.event.set()

    def _was_cancelled_before_it_started(self) -> bool:
        """A run cancelled while it is taken from the queue starts all the same, its status overwritten.

        https://github.com/dagster-io/dagster/issues/3323
        """
        events = self._instance.get_records_for_run(self._run_id, of_type=CANCELLED_EARLIER, limit=1)
        if events.records:
            self._instance.report_run_canceling(self._run())  # so that it ends as cancelled, not as failed
        return bool(events.records)

    def _run(self) -> DagsterRun:
        run = self._instance.get_run_by_id(self._run_id)
        if run is None:
            raise Failure("This run was deleted.", allow_retries=False)
        return run

    def _watch(self) -> None:
        while not self.event.is_set():
            if self._over.wait(LOOK_SECONDS):
                return
            try:
                self._look()
            except Exception as error:  # noqa: BLE001 (Dagster's database is away: look again)
                logger.debug("Cannot see the run's status: %s", type(error).__name__)
        if not self._over.wait(EXIT_SECONDS):
            self._exit()

    def _exit(self) -> None:
        """A request hangs, or Dagster sleeps through a retry's delay: nothing else ends this process in time."""
        try:
            run = self._run()
            if run.status is DagsterRunStatus.CANCELING:
                self._instance.report_run_canceled(run, "The run's process was ended: a request did not come back.")
            elif not run.is_finished:
                self._instance.report_run_failed(run, "The run's process was ended: it was interrupted.")
        finally:
            os._exit(0)
