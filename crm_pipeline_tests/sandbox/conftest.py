"""A client of the test's own account."""

from __future__ import annotations

import pytest

from crm_pipeline.sandbox.account import Account
from crm_pipeline_tests.sandbox.asking import Ask, asking


@pytest.fixture
def ask(account: Account) -> Ask:
    return asking(account)
