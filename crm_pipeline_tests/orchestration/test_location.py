"""What Dagster shows of a code location that lacks a key, or has a wrong setting."""

from __future__ import annotations

from pathlib import Path

import pytest

from crm_pipeline.database.engine import Database
from crm_pipeline_tests.orchestration.live.stack import running_dagster
from crm_pipeline_tests.support.contacts import insert_many

pytestmark = [pytest.mark.timeout(300), pytest.mark.xdist_group("live")]


def test_without_a_key_the_location_loads_and_nothing_runs(
    database: Database, dagster_database: str, environment: dict[str, str], tmp_path: Path
) -> None:
    insert_many(database, 3)
    without = {name: value for name, value in environment.items() if name != "BREVO_API_KEY"}
    with running_dagster(tmp_path / "home", {**without, "DAGSTER_DATABASE_URL": dagster_database}) as dagster:
        assert {job["name"] for job in dagster.location()["repositories"][0]["jobs"]} >= {"brevo_sync"}
        statuses = {name: state["status"] for name, state in dagster.instigators().items()}
        assert {name: status for name, status in statuses.items() if name.startswith("brevo")} == {
            "brevo_checks_schedule": "STOPPED",
            "brevo_sync_schedule": "STOPPED",
            "brevo_retry_sensor": "STOPPED",
            "brevo_failed_run_sensor": "STOPPED",
            "brevo_cancelled_run_sensor": "STOPPED",
        }
        log = (tmp_path / "home" / "webserver.log").read_text()
        assert log.count("Brevo is disabled: BREVO_API_KEY is not set. Its schedule and sensors are off.") == 1


def test_a_wrong_setting_keeps_the_location_from_loading_and_the_ui_names_the_variable(
    dagster_database: str, environment: dict[str, str], tmp_path: Path
) -> None:
    wrong = {**environment, "BREVO_LIST_ID": "abc", "DAGSTER_DATABASE_URL": dagster_database}
    with running_dagster(tmp_path / "home", wrong) as dagster:
        error = dagster.location()
        assert error["__typename"] == "PythonError"
        assert any("BREVO_LIST_ID is 'abc'" in link["error"]["message"] for link in error["errorChain"])
