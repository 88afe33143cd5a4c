"""Checks on `{crm}/contacts`: red when something is wrong, with its severity at the borders of the settings."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from dagster import AssetCheckSeverity, DagsterInstance, ExecuteInProcessResult

from crm_pipeline.database.engine import Database
from crm_pipeline.definitions import load
from crm_pipeline.model import News, NewsKind
from crm_pipeline.orchestration.checks import CHECKS
from crm_pipeline.orchestration.verdicts import (
    FEWEST_ATTEMPTS,
    drift,
    freshness,
    loss_ledger,
    pace,
    refused_share,
    waiting_since,
)
from crm_pipeline.sandbox.account import Account
from crm_pipeline.settings import Settings
from crm_pipeline.wiring import Pipeline, connect
from crm_pipeline_tests.support.contacts import insert, insert_many, sql

Sync = Callable[..., ExecuteInProcessResult]
WARN, ERROR = AssetCheckSeverity.WARN, AssetCheckSeverity.ERROR


def attempts(database: Database, synced: int, failed: int, hours_ago: float = 1) -> None:
    """Journal rows of one contact."""
    contact_id = insert(database, "ann@example.com", "Complete", "Complete")
    sql(
        database,
        "INSERT INTO crm_attempts (crm, contact_id, lease_id, attempt, target, started_at, outcome, applied) "
        "SELECT 'brevo', :id, gen_random_uuid(), 1, 'x', now() - make_interval(secs => 3600 * :hours), "
        "CASE WHEN n <= :failed THEN 'failed' ELSE 'synced' END, 'applied' FROM generate_series(1, :n) n",
        id=contact_id,
        hours=hours_ago,
        failed=failed,
        n=synced + failed,
    )


@pytest.mark.parametrize(
    ("failed", "severity"), [(0, None), (9, None), (10, WARN), (39, WARN), (40, ERROR), (200, ERROR)]
)
def test_the_share_of_refusals_is_judged_at_the_borders_of_its_settings(
    database: Database, pipeline: Pipeline, failed: int, severity: AssetCheckSeverity | None
) -> None:
    attempts(database, 200 - failed, failed)
    verdict = refused_share(pipeline)
    assert verdict.passed is (severity is None)
    assert severity is None or verdict.severity is severity
    assert verdict.numbers == {"attempts": 200, "refused": failed, "refused_percent": failed / 2}


def test_other_borders_are_settings(
    database: Database, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]
) -> None:
    monkeypatch.setenv("BREVO_SYNC_REFUSALS_WARN_PERCENT", "50")
    monkeypatch.setenv("BREVO_SYNC_REFUSALS_ERROR_PERCENT", "75")
    attempts(database, 51, 49)
    assert refused_share(connect(Settings.load(), "brevo")).passed
    attempts(database, 0, 2)
    assert refused_share(connect(Settings.load(), "brevo")).severity is WARN


def test_few_attempts_and_old_ones_say_nothing(database: Database, pipeline: Pipeline) -> None:
    attempts(database, 0, FEWEST_ATTEMPTS - 1)
    attempts(database, 0, 100, hours_ago=24.1)
    assert refused_share(pipeline).passed
    attempts(database, 0, 1)
    assert not refused_share(pipeline).passed


def test_a_gate_closed_for_cause_is_red_and_a_crm_that_is_down_a_warning(
    database: Database, pipeline: Pipeline
) -> None:
    pipeline.gate.begin()
    assert pace(pipeline).passed
    for _ in range(10):
        pipeline.gate.tell(News(NewsKind.UNAVAILABLE, "it is down"))
    down = pace(pipeline)
    assert (down.passed, down.severity) == (False, WARN)
    pipeline.gate.tell(News(NewsKind.CLOSED, "Check the key."))
    closed = pace(pipeline)
    assert (closed.passed, closed.severity) == (False, ERROR)
    assert closed.says == "Check the key. Until then 0 contacts that are due wait."


def test_a_schema_that_is_not_as_it_must_be_is_red(database: Database, pipeline: Pipeline) -> None:
    assert drift(pipeline).passed
    sql(database, "DROP INDEX contacts_brevo_due")
    verdict = drift(pipeline)
    assert (verdict.passed, verdict.severity) == (False, ERROR)
    assert "contacts_brevo_due" in verdict.says


def test_half_a_wish_is_a_warning_and_a_lost_contact_is_red_without_an_address(
    database: Database, pipeline: Pipeline
) -> None:
    assert loss_ledger(pipeline).passed
    insert(database, "bob@example.com", "New", "Queued")
    assert loss_ledger(pipeline).severity is WARN
    insert(database, "ann@example.com", "Complete", "Error")
    verdict = loss_ledger(pipeline)
    assert (verdict.passed, verdict.severity) == (False, ERROR)
    assert verdict.numbers == {"lost": 1, "half_wanted": 1}
    assert "ann@" not in str(verdict.metadata)


def test_each_sync_makes_all_checks_and_a_red_one_does_not_redden_the_run(
    database: Database, account: Account, instance: DagsterInstance, sync: Sync
) -> None:
    insert_many(database, 3)
    insert(database, "ann@example.com", "Complete", "Error")
    result = sync()
    assert result.success
    made = {evaluation.check_name: evaluation.passed for evaluation in result.get_asset_check_evaluations()}
    assert made == {"loss_ledger": False, "refusals": True, "pace": True, "drift": True, "freshness": True}


def test_all_checks_are_declared_and_run_hourly(environment: dict[str, str], instance: DagsterInstance) -> None:
    defs = load(Settings.load())
    job = defs.resolve_job_def("brevo_checks")
    result = job.execute_in_process(instance=instance)
    assert result.success
    assert {evaluation.check_name for evaluation in result.get_asset_check_evaluations()} == set(CHECKS)
    assert defs.resolve_schedule_def("brevo_checks_schedule").cron_schedule == "17 * * * *"


def test_work_that_waits_for_three_intervals_without_an_answer_is_red(
    database: Database, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline.gate.begin()
    now = time.time()
    assert freshness(pipeline, None).numbers == {"answered": 0, "due": 0, "waiting_minutes": 0.0}
    insert_many(database, 2)
    first = freshness(pipeline, None)
    assert first.passed
    since = waiting_since(now, first.numbers)
    assert since == now
    monkeypatch.setattr("crm_pipeline.orchestration.verdicts.time", lambda: now + 14 * 60)
    second = freshness(pipeline, since)
    assert second.passed
    assert waiting_since(now + 14 * 60, second.numbers) == now
    monkeypatch.setattr("crm_pipeline.orchestration.verdicts.time", lambda: now + 15 * 60)
    red = freshness(pipeline, since)
    assert (red.passed, red.severity) == (False, ERROR)
    assert red.says == (
        "2 contacts are due, and for 15 minutes Brevo answered for none: are the schedule and the daemon running?"
    )
    for _ in range(10):
        pipeline.gate.tell(News(NewsKind.UNAVAILABLE, "it is down"))
    assert "Brevo answered for none: it is paused" in freshness(pipeline, since).says
    attempts(database, 1, 0, hours_ago=0.2)
    assert freshness(pipeline, since).passed


def test_freshness_remembers_since_when_work_waits_from_one_run_of_the_checks_to_the_next(
    database: Database, environment: dict[str, str], instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    insert_many(database, 2)
    job = load(Settings.load()).resolve_job_def("brevo_checks")

    def passed() -> bool:
        made = job.execute_in_process(instance=instance).get_asset_check_evaluations()
        return next(evaluation.passed for evaluation in made if evaluation.check_name == "freshness")

    assert passed()
    now = time.time()
    monkeypatch.setattr("crm_pipeline.orchestration.verdicts.time", lambda: now + 3600)
    assert not passed()
