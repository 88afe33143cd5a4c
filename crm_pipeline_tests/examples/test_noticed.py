"""What is wrong in an example is noticed, and what differs from reader to reader is not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from crm_pipeline_tests.examples import taken
from crm_pipeline_tests.examples.pages import Block, lines
from crm_pipeline_tests.examples.shapes import difference, misfits
from crm_pipeline_tests.examples.terminal import Terminal

SAID = """\
127.0.0.1:41235 is a sandbox of Brevo and accepts the key.
  2026-11-25 09:04:45 UTC  attempt 1  synced  201  3 ms
b***@example.com (24a859e7-e1a9-46f6-8beb-e79c6ab0c3c1) failed, 1 of 12 contacts
"""


def test_times_ids_numbers_and_hosts_may_differ() -> None:
    shown = """\
api.brevo.com is Brevo and accepts the key.
  2026-01-01 19:04:45 UTC  attempt 2  synced  204  85 ms
c***@example.com (af5256e1-2996-462a-bc51-f63e912ccaf1) failed, 3 of 1,200
contacts
"""
    assert difference(shown, SAID) == ""
    assert difference("...\n  2026-01-01 19:04:45 UTC  attempt 2  failed ...\n", SAID) != ""
    assert difference("...\n  2026-01-01 19:04:45 UTC  attempt 2 ...\n", SAID) == ""


@pytest.mark.parametrize("word", ["accepts", "attempt", "synced", "ms", "failed,", "contacts", "example.com"])
def test_a_changed_word_of_the_program_is_noticed_and_shown(word: str) -> None:
    found = difference(SAID, SAID.replace(word, "otherwise"))
    assert f"shown: {word.partition('.')[0]}" in found or "otherwise" in found.partition("It said:")[0]


def test_a_line_more_or_less_is_noticed() -> None:
    assert "and more" in difference(SAID, SAID + "and more\n")
    assert "shown: and more" in difference(SAID + "and more\n", SAID)


def test_a_key_or_a_kind_of_value_that_the_answer_has_not_is_noticed() -> None:
    shown = {"crm": "brevo", "pairs": [{"contacts": 1, "error": None}], "facts": {}}
    got = json.loads('{"crm": "brevo", "pairs": [{"contacts": 7, "error": "no"}], "facts": {"list": "News"}}')
    assert misfits(shown, got) == []
    assert misfits(shown | {"due": 1}, got) == [".due is on one side only"]
    assert misfits(shown | {"pairs": []}, got) == [".pairs is empty on one side only"]
    assert misfits(shown | {"pairs": [{"contacts": "1", "error": None}]}, got) == [
        ".pairs[].contacts is int, shown: str"
    ]


def block(text: str, above: str = "") -> Block:
    return Block("docs/page.md", 1, "console", above, text)


def test_the_exit_code_is_what_the_comment_or_the_sentence_above_says() -> None:
    (line,) = lines(block("crm-pipeline db check  # exit code 2 till then\n"))
    assert line.exit_code == 2
    (line,) = lines(block("$ crm-pipeline status\nBrevo\n", "When it is closed, exit code 1:"))
    assert (line.exit_code, line.shown) == (1, "Brevo\n")
    (line,) = lines(block("crm-pipeline \\\n  status\n", "exit code 1 when there are any."))
    assert (line.exit_code, line.command) == (0, "crm-pipeline status")


@pytest.mark.parametrize("command", ["frobnicate", "docker run it", "make everything", 'make test PORT="1"'])
def test_a_line_that_nobody_knows_how_to_run_fails(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(AssertionError):
        Terminal(tmp_path, monkeypatch).type(command)


@pytest.mark.parametrize(
    "command",
    [
        'make dev ARGS="--prot 3001"',
        'make sandbox ARGS="--port none"',
        'make bench ARGS="speed"',
        "docker compose --profile brevo up",
        "docker compose up --built",
        "docker compose exec codes crm-pipeline status",
        "docker compose exec code crm-pipeline state",
        "docker compose exec postgres crm-pipeline status",
        "docker compose exec postgres psql -U app crm_pipeline",
    ],
)
def test_a_wrong_option_service_or_profile_of_a_stack_is_noticed(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises((AssertionError, taken.UsageError)):
        Terminal(tmp_path, monkeypatch).type(command)
