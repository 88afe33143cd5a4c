"""Databases before their first upgrade, and roles that do not own them."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest

from crm_pipeline.database.embedded import EmbeddedPostgres
from crm_pipeline.database.engine import Database
from crm_pipeline_tests.support.contacts import sql
from crm_pipeline_tests.support.postgres import cloned


@pytest.fixture
def empty(postgres: EmbeddedPostgres) -> Iterator[Database]:
    """A database with nothing in it."""
    with cloned(postgres, template="template0") as url:
        database = Database(url)
        yield database
        database.dispose()


@pytest.fixture
def role(postgres: EmbeddedPostgres) -> Iterator[str]:
    """A role that may log in and owns nothing. Ask for it before the database, which must be gone before the role."""
    name = f"app_{uuid4().hex[:12]}"
    server = Database(postgres.url("postgres"))
    sql(server, f"CREATE ROLE {name} LOGIN")
    yield name
    sql(server, f"DROP ROLE {name}")
    server.dispose()
