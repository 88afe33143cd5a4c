"""Whom the settings name; a wrong URL is named by its place, and not shown."""

from __future__ import annotations

import pytest

from crm_pipeline.alerts.recipients import recipients
from crm_pipeline.errors import SettingsError
from crm_pipeline.settings import Settings

SMTP = "mailtos://pipeline:hunter22@smtp.example.com?from=pipeline@example.com"


def test_every_url_and_each_crms_addresses_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(
        "CRM_PIPELINE_ALERT_URLS", "json://127.0.0.1/one  slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ"
    )
    monkeypatch.setenv("CRM_PIPELINE_SMTP_URL", SMTP)
    monkeypatch.setenv("BREVO_SYNC_FAILURE_NOTIFICATION_EMAIL", "ann@example.com, bob@example.com")
    told = recipients(Settings.load())
    assert [(one.name, one.crm) for one in told] == [
        ("CRM_PIPELINE_ALERT_URLS, number 1 (json)", None),
        ("CRM_PIPELINE_ALERT_URLS, number 2 (slack)", None),
        ("BREVO_SYNC_FAILURE_NOTIFICATION_EMAIL, number 1", "brevo"),
        ("BREVO_SYNC_FAILURE_NOTIFICATION_EMAIL, number 2", "brevo"),
    ]
    assert [one.url.get_secret_value() for one in told[2:]] == [
        f"{SMTP}&to=ann%40example.com",
        f"{SMTP}&to=bob%40example.com",
    ]
    assert "hunter22" not in repr(told)


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("CRM_PIPELINE_ALERT_URLS", "json://127.0.0.1 hunter22", "number 2 is no Apprise URL"),
        ("CRM_PIPELINE_ALERT_URLS", "slack://hunter22", r"number 1 \(slack://...\) is no complete Apprise URL"),
        ("CRM_PIPELINE_SMTP_URL", "smtp://hunter22", "must begin with mailtos://"),
        ("CRM_PIPELINE_SMTP_URL", "mailtos://hunter22:x@", "is no complete Apprise URL"),
        ("BREVO_SYNC_FAILURE_NOTIFICATION_EMAIL", "hunter22@example.com", "set CRM_PIPELINE_SMTP_URL"),
        ("BREVO_SYNC_FAILURE_NOTIFICATION_EMAIL", "a@example.com; hunter22@b.com", "number 1 is no address"),
        ("BREVO_SYNC_FAILURE_NOTIFICATION_EMAIL", "a@example.com hunter22@b.com", "number 1 is no address"),
        ("BREVO_SYNC_FAILURE_NOTIFICATION_EMAIL", "a@example.com,hunter22", "number 2 is no address"),
        ("CRM_PIPELINE_DAGSTER_URL", "dagster:hunter22", "must be an address such as https"),
        ("CRM_PIPELINE_ALERT_DIGEST_HOUR", "24", "less than or equal to 23"),
    ],
)
def test_a_wrong_value_is_said_before_anything_is_done(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, says: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError, match=says) as raised:
        Settings.load()
    assert variable in str(raised.value)
    assert "hunter22" not in str(raised.value)
