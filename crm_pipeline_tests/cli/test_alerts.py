"""`crm-pipeline alerts test`: everybody gets a notice, and each that did not take it is named."""

from __future__ import annotations

import pytest

from crm_pipeline_tests.cli.conftest import Run
from crm_pipeline_tests.support.receivers import Webhook


def test_everybody_gets_a_notice_and_who_did_not_take_it_is_named(
    run: Run, monkeypatch: pytest.MonkeyPatch, webhook: Webhook, second_webhook: Webhook
) -> None:
    monkeypatch.setenv("CRM_PIPELINE_ALERT_URLS", f"{webhook.url} {second_webhook.url}")
    assert run("alerts", "test").code == 0
    assert webhook.titles == second_webhook.titles == ["crm_pipeline: a test"]
    second_webhook.status = 404
    said = run("alerts", "test")
    assert said.code == 1
    assert "number 1 (json): told" in said.out
    assert "404" in said.out
    assert "1 of 2 did not take the notice" in said.err
    assert "secret-path" not in said.out + said.err


def test_nobody_to_tell_is_wrong_use_that_names_the_settings(run: Run) -> None:
    said = run("alerts", "test")
    assert (said.code, said.out) == (2, "")
    assert "set CRM_PIPELINE_ALERT_URLS" in said.err
