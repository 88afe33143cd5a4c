"""The API is what its OpenAPI document says, whatever is sent."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
import schemathesis
from hypothesis import HealthCheck, settings

from crm_pipeline.api import schemas
from crm_pipeline.api.app import OPENAPI_PATH, make_app
from crm_pipeline.api.health import OPEN_PATHS
from crm_pipeline.api.parts import Parts
from crm_pipeline.api.schemas import EXAMPLE_ID
from crm_pipeline.database.embedded import EmbeddedPostgres
from crm_pipeline.database.engine import Database
from crm_pipeline.model import OutcomeKind
from crm_pipeline.settings import Settings
from crm_pipeline_tests.api.conftest import BEARER, TOKEN, Client, served
from crm_pipeline_tests.support.contacts import sql
from crm_pipeline_tests.support.postgres import cloned

EXAMPLES = 25


@pytest.fixture(scope="module")
def running(postgres: EmbeddedPostgres) -> Iterator[Client]:
    """The API over a database that has the contact of the examples, with a journal row of each outcome."""
    with cloned(postgres) as url, pytest.MonkeyPatch.context() as patch:
        patch.setenv("DATABASE_URL", url.render_as_string(hide_password=False))
        patch.setenv("CRM_PIPELINE_API_TOKEN", TOKEN)
        database = Database(url)
        sql(
            database,
            "INSERT INTO contacts (id, email, brevo_sync_status, brevo_processing_status, brevo_processing_error) "
            "VALUES (:id, 'ann@example.com', 'Error', 'Error', 'because')",
            id=UUID(EXAMPLE_ID),
        )
        for number, outcome in enumerate(OutcomeKind):
            sql(
                database,
                "INSERT INTO crm_attempts (crm, contact_id, lease_id, attempt, target, started_at, outcome) "
                "VALUES ('brevo', :id, :lease, 1, 'api.example.com', :at, :outcome)",
                id=UUID(EXAMPLE_ID),
                lease=uuid4(),
                at=datetime.now(UTC) - timedelta(seconds=number),
                outcome=outcome.value,
            )
        database.dispose()
        with served() as client:
            yield client


DOCUMENT = make_app(Parts(Settings.load(), {}), TOKEN).openapi()
# Without its security: a request that is wrong only by its token gets the right one all the same, and is answered.
OPEN = {
    **DOCUMENT,
    "components": {name: part for name, part in DOCUMENT["components"].items() if name != "securitySchemes"},
}
schema = schemathesis.openapi.from_dict(OPEN)


@schema.parametrize()
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
def test_whatever_is_sent_gets_an_answer_that_is_described(case: Any, running: Client) -> None:
    case.call_and_validate(base_url=running.url, headers=BEARER)


def test_the_document_is_served(running: Client) -> None:
    assert running.get(OPENAPI_PATH).json() == DOCUMENT


def operations() -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in DOCUMENT["paths"].items():
        for operation in methods.values():
            yield path, operation


def test_every_operation_says_what_it_does_who_may_ask_and_what_goes_wrong() -> None:
    for path, operation in operations():
        assert operation["description"].rstrip().endswith("."), path
        is_open = operation.get("security") == []
        assert is_open == (path in OPEN_PATHS), path
        assert is_open or "401" in operation["responses"], path


def test_every_body_and_every_answer_has_an_example_that_fits() -> None:
    used = set()
    for _, operation in operations():
        bodies = [operation.get("requestBody", {}), *operation["responses"].values()]
        for content in (content for body in bodies for content in body.get("content", {}).values()):
            if reference := content.get("schema", {}).get("$ref"):
                used.add(reference.rsplit("/", 1)[1])
    assert {"Selection", "Selected", "SyncStatus", "SyncFailures", "Problem"} <= used
    for name in used:
        (example,) = DOCUMENT["components"]["schemas"][name]["examples"]
        model = getattr(schemas, name)
        assert set(example) <= set(model.model_fields), name
        model.model_validate(example)
