"""What `crm-pipeline sync` says when it ends before all was sent."""

from __future__ import annotations

import pytest

from crm_pipeline.database.engine import Database
from crm_pipeline_tests.cli.conftest import Run
from crm_pipeline_tests.support.contacts import insert_many, pairs


def test_a_crm_that_has_never_answered_gets_nothing_and_the_reason_is_said(
    database: Database, environment: None, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BREVO_API_BASE_URL", "http://127.0.0.1:9/v3")
    insert_many(database, 3)
    said = run("sync", "brevo")
    assert said.code == 0
    assert "Brevo: nothing was sent; 3 due now, 0 waiting for their retry." in said.out
    assert "It ended early: the CRM has not answered yet whether this account is usable" in said.out
    assert pairs(database) == {"Selected/Queued": 3}
