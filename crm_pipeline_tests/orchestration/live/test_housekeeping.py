"""Housekeeping as people run it: among the runs of several code locations."""

from __future__ import annotations

import pytest
from sqlalchemy import create_engine, text

from crm_pipeline.orchestration import housekeeping
from crm_pipeline_tests.orchestration.live.stack import Dagster
from crm_pipeline_tests.support.waiting import wait_for

pytestmark = [pytest.mark.timeout(300), pytest.mark.xdist_group("live")]


def test_old_runs_of_this_code_location_go_and_those_of_others_stay(dagster: Dagster, dagster_database: str) -> None:
    def kept_house() -> str:
        run_id = dagster.launch("housekeeping")
        wait_for(lambda: dagster.run(run_id)["endTime"])
        assert dagster.run(run_id)["status"] == "SUCCESS"
        return run_id

    ours, theirs = kept_house(), kept_house()
    engine = create_engine(dagster_database)
    with engine.begin() as connection:
        connection.execute(text("UPDATE runs SET update_timestamp = now() - interval '31 days'"))
        moved = text("UPDATE run_tags SET value = '__repository__@others' WHERE key = :key AND run_id = :run")
        assert connection.execute(moved, {"key": housekeeping.REPOSITORY_TAG, "run": theirs}).rowcount == 1
    last = kept_house()
    assert {run["runId"] for run in dagster.runs("housekeeping")} == {theirs, last}
    with engine.connect() as connection:
        events = text("SELECT count(*) FROM event_logs WHERE run_id = :run")
        assert connection.execute(events, {"run": ours}).scalar_one() == 0
    engine.dispose()
    assert not (dagster.home / "storage" / ours).exists()
    assert (dagster.home / "storage" / theirs).exists()
