"""`crm-pipeline config` shows every setting and where it comes from, never a secret, and what nobody reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from crm_pipeline.cli.config import reference
from crm_pipeline_tests.cli.conftest import Run
from crm_pipeline_tests.test_documents import ROOT, variables

SECRETS = {
    "DATABASE_URL": "postgresql://ann:Pw0-of-ann@db.example.com:5433/app",
    "DAGSTER_DATABASE_URL": "postgresql://ann:Pw1-of-ann@db.example.com/dagster",
    "BREVO_API_KEY": "xkeysib-0123456789abcdef",
    "CRM_PIPELINE_API_TOKEN": "t0ken-of-the-api-of-ann",
    "CRM_PIPELINE_SMTP_URL": "mailtos://ann:Pw2-of-ann@smtp.example.com?from=ann@example.com",
}


@pytest.fixture
def env_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "prod.env"
    file.write_text("")
    monkeypatch.setenv("CRM_PIPELINE_ENV_FILE", str(file))
    return file


def found(run: Run) -> dict[str, dict[str, Any]]:
    return {one["variable"]: one for one in json.loads(run("config", "--json").out)["settings"]}


def test_each_setting_is_shown_with_its_value_and_where_it_comes_from(
    env_file: Path, monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    env_file.write_text("BREVO_LIST_ID=12345678\nBREVO_SYNC_CONCURRENCY=4\nCRM_PIPELINE_API_PORT=\n")
    monkeypatch.setenv("BREVO_SYNC_CONCURRENCY", "8")
    monkeypatch.setenv("brevo_phone_region", "fr")
    settings = found(run)
    assert sorted(settings) == sorted(variables())
    assert all(one["description"] for one in settings.values())
    shown = {name: (one["value"], one["source"]) for name, one in settings.items()}
    assert shown["BREVO_LIST_ID"] == ("12345678", str(env_file))
    assert shown["BREVO_SYNC_CONCURRENCY"] == ("8", "environment")
    assert shown["BREVO_PHONE_REGION"] == ("fr", "environment")
    assert shown["CRM_PIPELINE_API_PORT"] == ("8000", "default"), "an empty variable counts as none"
    assert shown["BREVO_SYNC_RETRY_EXPONENTIAL"] == ("true", "default")
    assert shown["CRM_PIPELINE_ENV_FILE"] == (str(env_file), "environment")
    said = run("config")
    assert said.code == 0
    assert f"From the environment, and from {env_file}, which it goes before." in said.out
    assert "BREVO_LIST_ID = 12345678 (prod.env) The list that" in said.out


@pytest.mark.parametrize("wrong", [False, True])
def test_no_character_of_a_secret_is_shown(env_file: Path, run: Run, wrong: bool) -> None:
    lines = SECRETS | ({"BREVO_LIST_ID": "abc", "BREVO_API_BASE_URL": "https://ann:Pw3-of-ann@x.de"} if wrong else {})
    env_file.write_text("".join(f"{name}={value}\n" for name, value in lines.items()))
    for arguments in ((), ("--json",)):
        said = run("config", *arguments)
        assert said.code == (2 if wrong else 0)
        assert "of-ann" not in said.out + said.err
        assert "0123456789abcdef" not in said.out + said.err
        assert "host db.example.com, port 5433, database app" in said.out
    shown = {name: one["value"] for name, one in found(run).items() if one["secret"]}
    assert shown == {
        "DATABASE_URL": "host db.example.com, port 5433, database app",
        "DAGSTER_DATABASE_URL": "host db.example.com, port 5432, database dagster",
        "BREVO_API_KEY": "set",
        "CRM_PIPELINE_API_TOKEN": "set",
        "CRM_PIPELINE_SMTP_URL": "set",
        "CRM_PIPELINE_ALERT_URLS": None,
    }


@pytest.mark.parametrize(
    "url",
    ["postgresql://ann:Pw@of-ann@host/app", "postgresql://ann:Pw@x/of-ann@host/app", "postgresql://ann:of-ann@h/a@b"],
)
def test_a_password_that_cannot_be_told_from_the_address_is_not_shown(env_file: Path, run: Run, url: str) -> None:
    env_file.write_text(f"DATABASE_URL={url}\n")
    said = run("config")
    assert "DATABASE_URL = set" in said.out
    assert "of-ann" not in said.out + said.err


def test_wrong_settings_are_all_named_and_the_rest_is_shown(env_file: Path, run: Run) -> None:
    env_file.write_text("BREVO_LIST_ID=abc\nBREVO_SYNC_SCHEDULER_INTERVAL_MINUTES=7\nBREVO_SYNC_CONCURRENCY=4\n")
    said = run("config")
    assert said.code == 2
    assert "BREVO_LIST_ID is 'abc'" in said.err
    assert "BREVO_SYNC_SCHEDULER_INTERVAL_MINUTES must divide an hour" in said.err
    assert "BREVO_LIST_ID = abc" in said.out
    assert "BREVO_SYNC_CONCURRENCY = 4" in said.out
    document = json.loads(run("config", "--json").out)
    assert [problem.split()[0] for problem in document["problems"]] == [
        "BREVO_SYNC_SCHEDULER_INTERVAL_MINUTES",
        "BREVO_LIST_ID",
    ]


@pytest.mark.parametrize("content", [None, b"BREVO_API_KEY=cl\xe9"])
def test_a_file_that_cannot_be_read_is_named_and_the_environment_is_shown(
    content: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    file = tmp_path / "prod.env"
    if content is not None:
        file.write_bytes(content)
    monkeypatch.setenv("CRM_PIPELINE_ENV_FILE", str(file))
    monkeypatch.setenv("BREVO_SYNC_CONCURRENCY", "4")
    said = run("config")
    assert said.code == 2
    assert "prod.env" in said.err
    assert "BREVO_SYNC_CONCURRENCY = 4 (environment)" in said.out


def test_a_variable_that_nobody_reads_is_named_with_the_one_that_was_meant(
    env_file: Path, monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    env_file.write_text("BREVO_LISTID=3\nCRM_PIPELINE_ENV_FILE=other\nSOMEBODY_ELSES=1\n")
    monkeypatch.setenv("CRM_PIPELINE_API_TOCKEN", "s3cret")
    monkeypatch.setenv("BREVO_ZZZZ", "1")
    monkeypatch.setenv("BREVO_RATE_PER_SECOND", "1")
    said = run("config")
    assert said.code == 0
    assert f"BREVO_LISTID ({env_file}): no such setting; did you mean BREVO_LIST_ID?" in said.out
    assert "CRM_PIPELINE_API_TOCKEN (environment): no such setting; did you mean CRM_PIPELINE_API_TOKEN?" in said.out
    assert "BREVO_ZZZZ (environment): no such setting." in said.out
    assert "did you mean BREVO_SYNC_RATE_PER_SECOND?" in said.out
    assert f"CRM_PIPELINE_ENV_FILE ({env_file}): this one is read from the environment alone." in said.out
    assert "SOMEBODY_ELSES" not in said.out
    assert "s3cret" not in said.out
    unknown = json.loads(run("config", "--json").out)["unknown"]
    assert {one["variable"] for one in unknown} == {
        "BREVO_LISTID",
        "BREVO_RATE_PER_SECOND",
        "BREVO_ZZZZ",
        "CRM_PIPELINE_API_TOCKEN",
        "CRM_PIPELINE_ENV_FILE",
    }


def test_the_reference_in_the_documentation_is_the_one_that_is_printed() -> None:
    assert (ROOT / "docs" / "settings.md").read_text() == reference(), (
        "write it anew: crm-pipeline config --markdown > docs/settings.md"
    )


def test_the_reference_is_the_same_whatever_is_set(env_file: Path, run: Run) -> None:
    before = run("config", "--markdown")
    env_file.write_text("BREVO_LIST_ID=3\nCRM_PIPELINE_DATA_DIR=/somewhere\n")
    assert run("config", "--markdown") == before
    assert before.code == 0
