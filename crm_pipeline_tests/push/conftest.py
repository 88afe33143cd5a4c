"""A queue, a gate and Brevo's module, all real, put together to push to a sandbox of the test's own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from crm_pipeline.contacts.queue import Queue
from crm_pipeline.database.engine import Database
from crm_pipeline.gate.gate import Gate
from crm_pipeline.model import WELL, CheckResult
from crm_pipeline.sandbox.account import Account
from crm_pipeline_tests.crms.brevo_account import connected
from crm_pipeline_tests.push.pushing import Pushing
from crm_pipeline_tests.support.sandbox import KEY

RATE = 1000.0
THREADS = 16


@pytest.fixture
def sync(database: Database, queue: Queue, account: Account) -> Iterator[Pushing]:
    """Fast, and past its first check."""
    with connected(account.url, THREADS, api_key=KEY) as brevo:
        gate = Gate(database, "brevo", brevo.identity, RATE)
        gate.begin()
        gate.tell_check(CheckResult(WELL), gate.state())
        yield Pushing(queue, gate, brevo, THREADS)
