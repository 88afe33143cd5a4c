"""What turns an exception in a step into a sentence for a person: a red step, or a value that the summary reads."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from dagster import Backoff, DagsterError, Failure, Jitter, OpExecutionContext, RetryPolicy
from dagster_postgres.utils import DagsterPostgresException

from crm_pipeline.errors import DatabaseFailure, DatabaseUnreachable, PipelineError
from crm_pipeline.orchestration.resources import SyncResource

RETRIES = RetryPolicy(max_retries=3, delay=0.5, backoff=Backoff.EXPONENTIAL, jitter=Jitter.PLUS_MINUS)
"""Short: the executor sleeps a delay through, whatever happens to the run meanwhile."""
PASSING = (DatabaseFailure, DatabaseUnreachable)
DAGSTERS_IS_AWAY = "Dagster's database was away"


@dataclass(frozen=True, slots=True)
class BatchReport:
    """What the steps of one batch hand on. Ids, counts and sentences alone: Dagster pickles it to disk."""

    run_id: str
    key: str
    lease_id: str
    listed: int
    claimed: int = 0
    stopped_because: str | None = None
    failure: str | None = None
    """Why the batch as a whole could not be pushed or written back."""


@contextmanager
def step(context: OpExecutionContext, crm: SyncResource, then: str = "") -> Iterator[threading.Event]:
    """Around a step on which the whole run depends: what goes wrong is raised as a Failure that says what to do.

    `then` is a sentence about what becomes of the contacts.
    """
    with crm.stop.step() as stop:
        try:
            yield stop
        except PipelineError as error:
            raise Failure(f"{error} {then}".rstrip(), allow_retries=False) from None
        except (Failure, DagsterError):
            raise
        except Exception as bug:  # noqa: BLE001 (raised again, without the data that it may quote)
            raise Failure(_bug(context, bug), allow_retries=False) from None


def batch_step(
    context: OpExecutionContext,
    crm: SyncResource,
    report: BatchReport,
    work: Callable[[threading.Event], BatchReport],
    finishing: bool = False,
) -> BatchReport:
    """Run `work`. A database that is away is retried by the step's policy; what fails for good becomes a value.

    A value, since Dagster runs nothing that depends on a failed step: without it there would be no summary.
    """
    with crm.stop.step(finishing) as stop:
        try:
            return work(stop)
        except PASSING as error:
            if context.retry_number < RETRIES.max_retries:
                raise Failure(str(error)) from None
            failure = str(error)
        except PipelineError as error:
            failure = str(error)
        except DagsterPostgresException:  # at a log line too
            if context.retry_number < RETRIES.max_retries:
                raise Failure(DAGSTERS_IS_AWAY) from None
            failure = DAGSTERS_IS_AWAY
        except Exception as bug:  # noqa: BLE001 (a bug fails its batch; the summary turns the run red)
            failure = _bug(context, bug)
        context.log.error(f"{report.key} failed: {failure}")
        return replace(report, failure=report.failure or failure)


def _bug(context: OpExecutionContext, bug: Exception) -> str:
    """A sentence; where it happened goes to the run's log. Neither quotes the exception's text: it may hold data."""
    context.log.error(f"{type(bug).__name__} at:\n{''.join(traceback.format_tb(bug.__traceback__))}")
    return f"A bug in the pipeline: {type(bug).__name__}; the run's log says where"
