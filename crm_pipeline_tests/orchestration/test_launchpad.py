"""What a person may type into the Launchpad: a value that cannot be ends the run in words, before anything is done."""

from __future__ import annotations

from typing import Any

import pytest
from dagster import (
    Config,
    DagsterInstance,
    DagsterInvalidConfigError,
    Definitions,
    ExecuteInProcessResult,
    validate_run_config,
)

from crm_pipeline.database.engine import Database
from crm_pipeline.orchestration.backfill import Backfill
from crm_pipeline.orchestration.housekeeping import Retention
from crm_pipeline.orchestration.requeue import Requeue
from crm_pipeline.orchestration.resources import BOUNDS, SyncResource
from crm_pipeline.sandbox.account import Account
from crm_pipeline_tests.support.contacts import insert_many, pairs, sql

SYNC = {
    "crm": "brevo",
    "key_variable": "BREVO_API_KEY",
    "requests_per_second": 500.0,
    "threads": 4,
    "batch_size": 10,
    "max_contacts_per_run": 100,
}
RETENTION = {"keep_runs_days": 30, "keep_attempts_days": 180}
RATE = "SELECT rate_per_second FROM crm_gate WHERE crm = 'brevo'"


def resource(name: str, fields: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """The Launchpad's text with changes: it holds all of a resource's fields, or none."""
    return {"resources": {name: {"config": fields | changes}}}


def why(result: ExecuteInProcessResult) -> str:
    """What Dagster's page of the run says, causes included."""
    (failed,) = (event for event in result.all_events if event.is_failure)
    error: Any = failed.event_specific_data.error
    said = ""
    while error is not None:
        said, error = f"{said} {error.message}", error.cause
    return " ".join(said.split())


def launched(defs: Definitions, instance: DagsterInstance, job: str, config: dict[str, Any]) -> ExecuteInProcessResult:
    return defs.resolve_job_def(job).execute_in_process(run_config=config, instance=instance, raise_on_error=False)


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("requests_per_second", 0.0, "greater than or equal to 0.1"),
        ("requests_per_second", 1e9, "less than or equal to 2000"),
        ("threads", 0, "greater than or equal to 1"),
        ("threads", 65, "less than or equal to 64"),
        ("batch_size", -5, "greater than or equal to 1"),
        ("batch_size", 501, "less than or equal to 500"),
        ("max_contacts_per_run", -1, "greater than or equal to 1"),
        ("max_contacts_per_run", 100_001, "less than or equal to 100000"),
    ],
)
def test_a_number_out_of_a_settings_limits_ends_a_sync_before_its_first_step(
    defs: Definitions,
    instance: DagsterInstance,
    database: Database,
    account: Account,
    field: str,
    value: float,
    says: str,
) -> None:
    insert_many(database, 3)
    before = sql(database, RATE)
    result = launched(defs, instance, "brevo_sync", resource("crm", SYNC, **{field: value}))
    assert not result.success
    assert f"{field} Input should be {says}" in why(result)
    assert not any(event.is_step_event for event in result.all_events)
    assert (pairs(database), account.received) == ({"Selected/Queued": 3}, [])
    assert sql(database, RATE) == before


@pytest.mark.parametrize("field", ["keep_runs_days", "keep_attempts_days"])
@pytest.mark.parametrize("days", [0, 3651])
def test_days_out_of_a_settings_limits_end_a_housekeeping_before_its_first_step(
    defs: Definitions, instance: DagsterInstance, field: str, days: int
) -> None:
    result = launched(defs, instance, "housekeeping", resource("retention", RETENTION, **{field: days}))
    assert f"{field} Input should be" in why(result)
    assert not any(event.is_step_event for event in result.all_events)


@pytest.mark.parametrize("field", ["crm", "key_variable"])
def test_the_job_of_one_crm_cannot_be_launched_for_another(defs: Definitions, field: str) -> None:
    definition = defs.resolve_job_def("brevo_sync")
    assert validate_run_config(definition, resource("crm", SYNC))
    with pytest.raises(DagsterInvalidConfigError, match="got another"):
        validate_run_config(definition, resource("crm", SYNC, **{field: "another"}))


@pytest.mark.parametrize("config", [Requeue, Backfill, SyncResource, Retention])
def test_every_number_of_a_config_has_a_least_and_a_most(config: type[Config]) -> None:
    for name, field in config.model_fields.items():
        if field.annotation in (int, float):
            bounds = {bound for rule in field.metadata for bound in BOUNDS if hasattr(rule, bound)}
            assert bounds & {"gt", "ge"}, name
            assert bounds & {"lt", "le"}, name


def test_a_run_goes_by_what_was_typed_within_the_limits(
    defs: Definitions, instance: DagsterInstance, database: Database
) -> None:
    insert_many(database, 5)
    fields = {"requests_per_second": 2000.0, "threads": 1, "batch_size": 1, "max_contacts_per_run": 3}
    assert launched(defs, instance, "brevo_sync", resource("crm", SYNC, **fields)).success
    assert pairs(database) == {"Complete/Complete": 3, "Selected/Queued": 2}
    assert sql(database, RATE) == [(2000.0,)]
