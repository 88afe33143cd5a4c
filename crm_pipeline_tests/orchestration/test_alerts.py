"""A person is told once when something turns red, and once when it is well again, with what to do and a link."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta

import pytest
from dagster import (
    DagsterInstance,
    DagsterRunStatus,
    DefaultSensorStatus,
    Definitions,
    ExecuteInProcessResult,
    SkipReason,
    build_sensor_context,
)

from crm_pipeline.contacts.ledger import heal
from crm_pipeline.database.engine import Database
from crm_pipeline.definitions import load
from crm_pipeline.sandbox.account import Account
from crm_pipeline.settings import Settings
from crm_pipeline.wiring import Pipeline
from crm_pipeline_tests.orchestration.days import DAY, backfill_of
from crm_pipeline_tests.support.contacts import insert, insert_many, sql
from crm_pipeline_tests.support.receivers import MailServer, Webhook

PAGE = "https://dagster.example.com"
RED_SYNC, WELL_SYNC = "crm_pipeline: job brevo_sync is red", "crm_pipeline: job brevo_sync is well again"


class Ticks:
    """The alert sensor's ticks, each with the cursor of the one before, and with the settings as they are then."""

    def __init__(self, instance: DagsterInstance) -> None:
        self._instance = instance
        self._cursor: str | None = None

    def next(self) -> str:
        """What the tick says of itself."""
        sensor = load(Settings.load()).get_repository_def().get_sensor_def("alert_sensor")
        context = build_sensor_context(instance=self._instance, cursor=self._cursor)
        answer = sensor(context)
        self._cursor = context.cursor
        assert isinstance(answer, SkipReason)
        return str(answer.skip_message)


@pytest.fixture
def told(environment: dict[str, str], webhook: Webhook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRM_PIPELINE_ALERT_URLS", webhook.url)
    monkeypatch.setenv("CRM_PIPELINE_DAGSTER_URL", PAGE)


@pytest.fixture
def ticks(told: None, instance: DagsterInstance) -> Ticks:
    return Ticks(instance)


@pytest.fixture
def run(told: None, instance: DagsterInstance) -> Callable[[str], ExecuteInProcessResult]:
    def run(job: str) -> ExecuteInProcessResult:
        definition = load(Settings.load()).resolve_job_def(job)
        return definition.execute_in_process(instance=instance, raise_on_error=False)

    return run


def test_a_status_written_by_hand_without_a_next_step_is_told_once_and_its_healing_once(
    database: Database, pipeline: Pipeline, ticks: Ticks, run: Callable[[str], ExecuteInProcessResult], webhook: Webhook
) -> None:
    contact_id = insert(database, "ann@example.com", "Complete", "Complete")
    run("brevo_sync")
    ticks.next()
    assert webhook.received == []
    sql(database, "UPDATE contacts SET brevo_processing_status = 'Error' WHERE id = :id", id=contact_id)
    for _ in range(2):
        run("brevo_sync")
        ticks.next()
    (red,) = webhook.received
    assert red["title"] == "crm_pipeline: check brevo/contacts: loss_ledger is red"
    assert "1 contacts. `crm-pipeline ledger` lists them." in red["message"]
    assert f"{PAGE}/runs/" in red["message"]
    assert "ann@" not in str(red)
    assert heal(pipeline.queue).queued == 1
    for _ in range(2):
        run("brevo_sync")
        ticks.next()
    assert webhook.titles[1:] == ["crm_pipeline: check brevo/contacts: loss_ledger is well again"]


def test_a_wrong_key_is_told_once_with_its_remedy_and_the_contacts_that_wait(
    database: Database,
    account: Account,
    ticks: Ticks,
    run: Callable[[str], ExecuteInProcessResult],
    webhook: Webhook,
    monkeypatch: pytest.MonkeyPatch,
    environment: dict[str, str],
) -> None:
    insert_many(database, 3)
    monkeypatch.setenv("BREVO_API_KEY", "xkeysib-wrong-0123456789")
    runs = [run("brevo_sync") for _ in range(3)]
    assert not runs[-1].success
    ticks.next()
    ticks.next()
    assert webhook.titles == [RED_SYNC]
    message = webhook.received[0]["message"]
    assert "BREVO_API_KEY" in message
    assert f"Run: {PAGE}/runs/{runs[-1].run_id}" in message
    assert "wrong-0123456789" not in message
    monkeypatch.setenv("BREVO_API_KEY", environment["BREVO_API_KEY"])
    assert run("brevo_sync").success
    ticks.next()
    ticks.next()
    assert webhook.titles == [RED_SYNC, WELL_SYNC]
    assert [notice["type"] for notice in webhook.received] == ["failure", "success"]
    assert "Contacts: 3 synced; 0 due, 0 waiting for their retry." in webhook.received[1]["message"]


def test_of_a_run_whose_process_was_killed_it_is_told_how_it_ended(
    instance: DagsterInstance, ticks: Ticks, webhook: Webhook, defs: Definitions
) -> None:
    run = instance.create_run_for_job(defs.resolve_job_def("brevo_sync"), status=DagsterRunStatus.STARTED)
    instance.report_engine_event("Child process for run was terminated by signal 9 (SIGKILL).", run)
    instance.report_run_failed(run)
    ticks.next()
    (red,) = webhook.received
    assert "terminated by signal 9 (SIGKILL). What it held is given back; the next run goes on." in red["message"]
    assert "outside the execution context" not in red["message"]


def test_what_is_cancelled_or_only_warns_is_told_to_nobody(
    database: Database,
    instance: DagsterInstance,
    ticks: Ticks,
    run: Callable[[str], ExecuteInProcessResult],
    webhook: Webhook,
) -> None:
    insert(database, "bob@example.com", "New", "Queued")
    assert run("brevo_sync").success
    job = load(Settings.load()).resolve_job_def("brevo_sync")
    instance.report_run_canceled(instance.create_run_for_job(job, status=DagsterRunStatus.STARTED))
    assert ticks.next() == "nothing is red"
    assert webhook.received == []


def test_a_backfill_is_red_until_each_of_its_days_succeeds(
    database: Database, instance: DagsterInstance, ticks: Ticks, webhook: Webhook
) -> None:
    backfill = backfill_of(load(Settings.load()), instance)
    sql(database, "ALTER TABLE contacts RENAME TO elsewhere")
    assert not backfill(DAY).success
    sql(database, "ALTER TABLE elsewhere RENAME TO contacts")
    assert backfill(DAY - timedelta(days=1)).success
    ticks.next()
    assert webhook.titles == ["crm_pipeline: job brevo_backfill is red"]
    assert f"{DAY}: " in webhook.received[0]["message"]
    assert backfill(DAY).success
    ticks.next()
    assert webhook.titles[1:] == ["crm_pipeline: job brevo_backfill is well again"]


def test_an_outage_of_the_database_is_told_and_a_notifier_that_is_down_hears_of_it_later(
    ticks: Ticks, run: Callable[[str], ExecuteInProcessResult], webhook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://crm:hunter22@127.0.0.1:1/crm")
    assert not run("brevo_sync").success
    webhook.status = 500
    assert "1 notices wait to be delivered; red: job brevo_sync" in ticks.next()
    webhook.status = 200
    later = time.time() + 100
    monkeypatch.setattr("crm_pipeline.orchestration.alerts.time", lambda: later)
    assert "told" in ticks.next()
    assert webhook.titles == [RED_SYNC]
    assert "DATABASE_URL" in webhook.received[0]["message"]
    assert "hunter22" not in webhook.received[0]["message"]


def test_the_addresses_of_a_crm_get_mail(
    database: Database,
    ticks: Ticks,
    run: Callable[[str], ExecuteInProcessResult],
    mail_server: MailServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("CRM_PIPELINE_ALERT_URLS")
    monkeypatch.setenv("CRM_PIPELINE_SMTP_URL", mail_server.url)
    monkeypatch.setenv("BREVO_SYNC_FAILURE_NOTIFICATION_EMAIL", "ann@example.com")
    monkeypatch.setenv("BREVO_API_KEY", "xkeysib-wrong-0123456789")
    run("brevo_sync")
    ticks.next()
    (mail,) = mail_server.received
    assert (mail.recipients, mail.subject) == (["ann@example.com"], RED_SYNC)


def test_a_digest_comes_once_a_day_and_counts_the_last_24_hours(
    database: Database,
    ticks: Ticks,
    run: Callable[[str], ExecuteInProcessResult],
    webhook: Webhook,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CRM_PIPELINE_ALERT_DIGEST_HOUR", "0")
    insert_many(database, 3)
    run("brevo_sync")
    for _ in range(4):
        ticks.next()
    assert webhook.titles == ["crm_pipeline: all is well (daily digest)"]
    says = "Brevo, the last 24 hours: 3 synced; now 0 due, 0 waiting for their retry."
    assert says in webhook.received[0]["message"]


def test_without_an_address_the_sensor_is_off_and_says_so(
    environment: dict[str, str], instance: DagsterInstance
) -> None:
    sensor = load(Settings.load()).get_repository_def().get_sensor_def("alert_sensor")
    assert sensor.default_status is DefaultSensorStatus.STOPPED
    assert Ticks(instance).next().startswith("Nobody is to be told")


def test_it_runs_by_default_when_somebody_is_to_be_told(told: None) -> None:
    sensor = load(Settings.load()).get_repository_def().get_sensor_def("alert_sensor")
    assert sensor.default_status is DefaultSensorStatus.RUNNING
