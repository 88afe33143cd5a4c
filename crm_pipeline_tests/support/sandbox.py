"""A sandbox of its own per test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from crm_pipeline.sandbox.account import Account
from crm_pipeline.sandbox.server import SandboxServer

KEY = "xkeysib-0123456789abcdef"


@pytest.fixture
def account() -> Iterator[Account]:
    """Brevo's account at a sandbox that runs in this process."""
    with SandboxServer(api_key=KEY) as server:
        yield server.account("brevo")
