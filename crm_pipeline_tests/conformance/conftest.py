"""Each CRM of the registry in turn, configured by its variables as people do it, at its own sandbox."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from crm_pipeline.crms.registry import CRMS
from crm_pipeline.crms.transport import Transport
from crm_pipeline.sandbox.server import SandboxServer
from crm_pipeline.settings import Settings
from crm_pipeline_tests.conformance.trial import KEY, READ_SECONDS, THREADS, Trial


@pytest.fixture(params=sorted(CRMS))
def trial(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Trial]:
    """One CRM, connected, with an empty account."""
    spec = CRMS[request.param]
    # As in life, only sooner: a request that is not answered must not hold the test for its ten seconds.
    monkeypatch.setitem(Transport.__init__.__kwdefaults__, "read_seconds", READ_SECONDS)
    with SandboxServer(api_key=KEY) as server:
        account = server.account(spec.name)
        monkeypatch.setenv(spec.key_variable, KEY)
        monkeypatch.setenv(spec.base_url_variable, account.url)
        crm = spec.connect(Settings.load().crm(spec.name).credentials, THREADS)
        yield Trial(spec, crm, account)
        crm.close()
