"""docs/api.md names every path and every metric. Its examples are run by examples/test_examples.py."""

from __future__ import annotations

import re
from pathlib import Path

from crm_pipeline.api.app import OPENAPI_PATH
from crm_pipeline_tests.api.conftest import Client

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "api.md").read_text()


def test_the_page_has_every_path_and_every_metric(with_account: Client) -> None:
    paths = with_account.get(OPENAPI_PATH).json()["paths"]
    assert [path for path in paths if path.rsplit("/", 1)[1] not in PAGE] == []
    metrics = set(re.findall(r"^# TYPE (\w+)", with_account.get("/metrics").text, re.MULTILINE))
    assert metrics == set(re.findall(r"`(crm_pipeline_\w+)`", PAGE))
