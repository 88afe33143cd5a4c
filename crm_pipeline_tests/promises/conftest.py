"""The fixture of the promises: a world around the real queues."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from crm_pipeline.database.engine import Database
from crm_pipeline_tests.promises.world import World, world_of


@pytest.fixture
def world(database: Database) -> Iterator[World]:
    with world_of(database.url) as world:
        yield world
