"""`crm-pipeline contacts why`: the state in words, and each attempt with where its run can be seen."""

from __future__ import annotations

import pytest

from crm_pipeline.contacts.statuses import PAIRS
from crm_pipeline.database.engine import Database
from crm_pipeline_tests.cli.conftest import Run
from crm_pipeline_tests.support.contacts import insert, sql

pytestmark = pytest.mark.usefixtures("environment")


def test_each_attempt_leads_to_its_run_by_link_or_by_its_whole_id(
    database: Database, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    insert(database, "ann@example.com")
    assert run("sync", "brevo").code == 0
    (row,) = sql(database, "SELECT run_id FROM crm_attempts")
    assert f" run {row.run_id}" in run("contacts", "why", "ann@example.com").out
    monkeypatch.setenv("CRM_PIPELINE_DAGSTER_URL", "https://dagster.example.com/")
    monkeypatch.setenv("COLUMNS", "60")
    assert f" https://dagster.example.com/runs/{row.run_id}" in run("contacts", "why", "ann@example.com").out


def test_each_pair_of_statuses_is_put_into_words(database: Database, run: Run) -> None:
    for sync, processing in PAIRS:
        insert(database, "ann@example.com", sync, processing)
    said = run("contacts", "why", "ann@example.com")
    assert said.code == 0
    assert "does not know" not in said.out
    for pair, words in (
        ("New / Queued", "nobody wants it in Brevo. `crm-pipeline contacts select ann@example.com` selects it."),
        ("Skipped / NULL", "it is not pushed: it was set aside, or opted out at Brevo. "),
        ("Selected / NULL", "it is due: the next run pushes it."),
        ("Queued / Error", "it is due: the next run pushes it."),
        ("Processing / Queued", "its run died; the next run takes it back and pushes it."),
        ("Complete / Error", "it has a pair of statuses that no event makes"),
        ("Error / NULL", "it was given up or refused"),
    ):
        assert f"{pair}: {words}" in said.out


def test_a_status_of_the_applications_own_is_not_taken_for_a_synced_one(database: Database, run: Run) -> None:
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("ALTER TYPE crm_sync_status ADD VALUE 'Archived'")
    insert(database, "ann@example.com", "Archived", None)
    said = run("contacts", "why", "ann@example.com").out
    assert "Archived / NULL: it has a status that the pipeline does not know" in said
