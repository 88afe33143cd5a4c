"""The examples of docs/api.md get the answers that stand below them."""

from __future__ import annotations

import argparse
import json
import re
import shlex
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
import requests

from crm_pipeline.api.app import OPENAPI_PATH
from crm_pipeline.api.schemas import EXAMPLE_ID
from crm_pipeline.database.engine import Database
from crm_pipeline_tests.api.conftest import TOKEN, Client
from crm_pipeline_tests.support.contacts import sql

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "api.md").read_text()
EXAMPLES = re.findall(r"```console\n(curl .*?)```\n\n```json\n(.*?)```", PAGE, re.DOTALL)


def name(example: tuple[str, str]) -> str:
    path = re.search(r"\$API(\S*)", example[0])
    assert path is not None
    return path[1].strip('"').partition("?")[0].rsplit("/", 1)[1]


@pytest.fixture
def given_up(database: Database) -> None:
    """The contact of the examples: given up after a refusal."""
    sql(
        database,
        "INSERT INTO contacts (id, email, brevo_sync_status, brevo_processing_status, brevo_processing_error) "
        "VALUES (:id, 'ann@example.com', 'Error', 'Error', 'Max retries exceeded (3). Last error: no')",
        id=UUID(EXAMPLE_ID),
    )
    sql(
        database,
        "INSERT INTO crm_attempts (crm, contact_id, lease_id, attempt, target, started_at, outcome, applied) "
        "VALUES ('brevo', :id, :lease, 4, 'api.brevo.com', :at, 'failed', 'applied')",
        id=UUID(EXAMPLE_ID),
        lease=uuid4(),
        at=datetime.now(UTC),
    )


CURL = argparse.ArgumentParser()
CURL.add_argument("curl")
CURL.add_argument("url")
CURL.add_argument("-H", dest="headers", action="append", default=[])
CURL.add_argument("-d", dest="body")
CURL.add_argument("-X", dest="method")


def run(command: str, url: str) -> requests.Response:
    """What curl would send."""
    filled_in = command.replace("\\\n", " ").replace("$API", url).replace("$TOKEN", TOKEN)
    asked = CURL.parse_args(shlex.split(filled_in))
    headers = dict(header.split(": ", 1) for header in asked.headers)
    method = asked.method or ("GET" if asked.body is None else "POST")
    return requests.request(method, asked.url, headers=headers, data=asked.body, timeout=30)


def shape(value: Any) -> Any:
    """The names in it, without the values."""
    if isinstance(value, dict):
        return {key: shape(inner) for key, inner in value.items() if key != "facts"}
    return [shape(inner) for inner in value[:1]] if isinstance(value, list) else None


@pytest.mark.parametrize("example", EXAMPLES, ids=map(name, EXAMPLES))
def test_each_example_gets_the_answer_that_stands_below_it(
    with_account: Client, given_up: None, example: tuple[str, str]
) -> None:
    command, shown = example
    said = run(command, with_account.url)
    assert said.status_code == 200, said.text
    expected, got = json.loads(shown), said.json()
    assert shape(got) == shape(expected)
    for key in ("message", "state", "what_next", "usable", "updated_count", "retried_count"):
        assert got.get(key) == expected.get(key), key


def test_the_page_has_every_path_and_every_metric(with_account: Client) -> None:
    paths = with_account.get(OPENAPI_PATH).json()["paths"]
    assert [path for path in paths if path.rsplit("/", 1)[1] not in PAGE] == []
    metrics = set(re.findall(r"^# TYPE (\w+)", with_account.get("/metrics").text, re.MULTILINE))
    assert metrics == set(re.findall(r"`(crm_pipeline_\w+)`", PAGE))
    assert len(EXAMPLES) == 8 + 1
