"""A gate whose time passes as fast as it can be reckoned."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from crm_pipeline.database.engine import Database
from crm_pipeline_tests.gate.virtual import VirtualTime, virtual_time


@pytest.fixture
def clock(database: Database) -> Iterator[VirtualTime]:
    """Of `clock.database`, a second way into the test's own."""
    with virtual_time(database.url) as clock:
        yield clock
