"""An interrupt in the main thread, at the worst moments of a push: no answer is lost."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest

from crm_pipeline.database.engine import Database
from crm_pipeline.sandbox.account import Account
from crm_pipeline.settings import Settings
from crm_pipeline.wiring import connect
from crm_pipeline_tests.support.contacts import insert_many, pairs, sql
from crm_pipeline_tests.support.sandbox import KEY


def test_an_answer_to_a_request_that_was_under_way_while_threads_were_being_started_is_journalled(
    database: Database, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", database.url.render_as_string(hide_password=False))
    monkeypatch.setenv("CRM_PIPELINE_ALLOW_SANDBOX", "true")
    monkeypatch.setenv("BREVO_API_KEY", KEY)
    monkeypatch.setenv("BREVO_API_BASE_URL", account.url)
    monkeypatch.setenv("BREVO_SYNC_RATE_PER_SECOND", "500")
    insert_many(database, 10)
    pipeline = connect(Settings.load(), "brevo")
    stop = threading.Event()
    pipeline.begin(stop)
    hold = account.faults.hold()
    submit = ThreadPoolExecutor.submit

    def interrupted(self: ThreadPoolExecutor, work: Callable[..., Any], *args: Any) -> Future[Any]:
        submit(self, work, *args)
        hold.wait_for(1)
        threading.Timer(0.1, hold.release).start()
        raise KeyboardInterrupt

    monkeypatch.setattr(ThreadPoolExecutor, "submit", interrupted)
    (batch,) = pipeline.find_due().batches
    with pytest.raises(KeyboardInterrupt):
        pipeline.push.push(batch, uuid4(), "run", stop)
    pipeline.close()
    assert len(account.received) == 1
    assert pairs(database) == {"Complete/Complete": 1, "Selected/Queued": 9}
    assert sql(database, "SELECT FROM crm_sync WHERE lease_id IS NOT NULL") == []
