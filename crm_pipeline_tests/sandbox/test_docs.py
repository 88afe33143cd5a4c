"""What stands in docs/sandbox.md is what the sandbox does. Its examples are run by examples/test_examples.py."""

from __future__ import annotations

import inspect
import json
import re
from dataclasses import fields
from pathlib import Path

import requests

from crm_pipeline.cli.sandbox import sandbox
from crm_pipeline.model import SANDBOX_HEADER
from crm_pipeline.sandbox.account import Account
from crm_pipeline.sandbox.brevo.switches import Switches
from crm_pipeline.sandbox.control import Change, QuotaChange
from crm_pipeline.sandbox.mishaps import Shares

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "sandbox.md").read_text()
NAMED = set(re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", TEXT, flags=re.DOTALL)))


def test_every_option_switch_mishap_and_control_is_explained() -> None:
    options = {f"--{name.replace('_', '-')}" for name in inspect.signature(sandbox).parameters}
    assert options - {"--limits"} | {"--no-limits"} <= NAMED
    for names in (Switches, Shares):
        assert {field.name for field in fields(names)} <= NAMED
    for model in (Change, QuotaChange):
        assert set(model.model_fields) <= NAMED
    assert SANDBOX_HEADER.lower() in NAMED


def test_every_default_of_a_switch_is_named_first() -> None:
    for field in fields(Switches):
        row = re.search(rf"^\|[^|]*`{field.name}`[^|]*\|([^|]*)\|", TEXT, re.MULTILINE)
        assert row, field.name
        shown = str(field.default).lower() if isinstance(field.default, bool) else str(field.default)
        assert row[1].split(",")[0].strip().lower() == shown.removesuffix(".0").lower(), field.name


def test_every_example_of_the_control_is_taken(account: Account) -> None:
    url = account.url.removesuffix("/v3") + "/control/brevo"
    examples = [text for text in NAMED if text.startswith("{")]
    assert len(examples) == len(Change.model_fields)
    for example in examples:
        answer = requests.post(url, json=json.loads(example), timeout=5)
        assert answer.status_code == 200, (example, answer.text)


def test_every_path_that_is_named_is_there(account: Account) -> None:
    rows = re.findall(r"^\| (`/[^|]*) \|", TEXT, re.MULTILINE)
    paths = {path for row in rows for path in re.findall(r"`(/[^`]+)`", row)}
    assert len(paths) >= 14
    for path in paths:
        concrete = re.sub(r"\{(id|identifier)\}", "1", path)
        concrete = concrete.replace("{category}", "normal").replace("{name}", "SMS").replace("{option}", "A")
        answers = [
            requests.request(method, account.url + concrete, headers={"api-key": account.api_key or ""}, timeout=5)
            for method in ("GET", "DELETE", "POST")
        ]
        assert any("Invalid route" not in answer.text and answer.status_code != 405 for answer in answers), path
