"""What a terminal cannot show is escaped: no command ends for it, and no file or document is worse for it."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from crm_pipeline import cli
from crm_pipeline.database.engine import Database
from crm_pipeline_tests.support.contacts import insert, sql

NAME, ERROR = "Łukasz Żółć 😀", "not the API’s answer but “Ł” …"  # noqa: RUF001
COMMANDS: list[list[str]] = [
    ["contacts", "export"],
    ["contacts", "status"],
    ["contacts", "status", "łu@example.com"],
    ["contacts", "why", "łu@example.com"],
    ["contacts", "why", "ś@example.com"],
    ["status"],
    ["failures"],
    ["ledger"],
    ["config"],
    ["--help"],
]
pytestmark = pytest.mark.usefixtures("environment", "_lukasz")


@pytest.fixture
def _lukasz(database: Database) -> None:
    insert(database, "łu@example.com", "Error", "Error", name=NAME, brevo_processing_error=ERROR)


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, list[str], bool], tuple[bytes, bytes]]:
    """What a command writes to a stdout and a stderr of an encoding, which are a terminal or are not."""

    def run(encoding: str, command: list[str], is_terminal: bool = False) -> tuple[bytes, bytes]:
        out, err = io.BytesIO(), io.BytesIO()
        for name, buffer in (("stdout", out), ("stderr", err)):
            stream = io.TextIOWrapper(buffer, encoding=encoding, errors="strict", write_through=True)
            monkeypatch.setattr(stream, "isatty", lambda: is_terminal)
            monkeypatch.setattr(sys, name, stream)
        monkeypatch.setattr(sys, "argv", ["crm-pipeline", *command])
        with pytest.raises(SystemExit):
            cli.main()
        return out.getvalue(), err.getvalue()

    return run


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_terminal_that_has_not_every_character_shows_them_escaped(
    shown: Callable[..., tuple[bytes, bytes]], encoding: str, command: list[str]
) -> None:
    out, err = shown(encoding, command, is_terminal=True)
    assert out or err
    if command[-1].startswith("ł"):
        assert b"\\u0142u@" in out  # a narrow table has the rest on its next line


def test_an_export_is_utf8_in_a_file_and_in_a_pipe_whatever_the_terminal_has(
    shown: Callable[..., tuple[bytes, bytes]], tmp_path: Path
) -> None:
    shown("ascii", ["contacts", "export", str(tmp_path / "out.csv")])
    piped, _ = shown("ascii", ["contacts", "export"])
    assert piped == (tmp_path / "out.csv").read_bytes()
    (row,) = csv.DictReader(piped.decode("utf-8").splitlines())
    assert (row["name"], row["error"]) == (NAME, ERROR)


@pytest.mark.parametrize("command", [["failures"], ["status"], ["config"]], ids=" ".join)
def test_a_document_for_programs_is_one_in_any_encoding(
    shown: Callable[..., tuple[bytes, bytes]],
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    command: list[str],
) -> None:
    sql(database, "UPDATE contacts SET brevo_processing_error = 'é'")
    sql(
        database,
        "INSERT INTO crm_attempts (crm, contact_id, run_id, lease_id, attempt, target, started_at, outcome) "
        "SELECT 'brevo', id, 'é', gen_random_uuid(), 1, 'x', now(), 'failed' FROM contacts",
    )
    monkeypatch.setenv("CRM_PIPELINE_DATA_DIR", str(tmp_path / "é"))
    document = shown("ascii", [*command, "--json"])[0].decode("ascii")
    assert "é" in str(json.loads(document))
