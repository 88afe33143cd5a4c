"""docs/cli.md names every command and option that there is, and no other; shells can complete them."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from crm_pipeline.cli import app
from crm_pipeline.cli.stack import program

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "cli.md").read_text(encoding="utf-8")
HEADING = re.compile(r"^### `crm-pipeline ([a-z -]+)`$", re.MULTILINE)
EVERYWHERE = {"--help", "--install-completion", "--show-completion"}


def commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Each command that does something by itself, with its name as it is typed."""
    below = getattr(command, "commands", {})
    if not below or command.invoke_without_command:
        yield " ".join(path), command
    for name, one in below.items():
        yield from commands(one, (*path, name))


COMMANDS = dict(commands(typer.main.get_command(app)))
SECTIONS = dict(zip(HEADING.findall(PAGE), HEADING.split(PAGE)[2::2], strict=True))


def test_the_page_has_a_section_for_each_command_and_no_other() -> None:
    assert sorted(SECTIONS) == sorted(COMMANDS)


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_a_section_names_the_options_of_its_command_and_no_other(name: str) -> None:
    options = {
        option
        for parameter in COMMANDS[name].params
        for option in (*parameter.opts, *parameter.secondary_opts)
        if option.startswith("--")
    } - EVERYWHERE
    prose = re.sub(r"^```.*?^```$|`crm-pipeline [^`]*`", "", SECTIONS[name], flags=re.MULTILINE | re.DOTALL)
    assert set(re.findall(r"--[a-z][a-z0-9-]+", prose)) == options


def test_a_shell_completes_commands_and_options() -> None:
    def completed(words: str) -> list[str]:
        environment = os.environ | {
            "_CRM_PIPELINE_COMPLETE": "complete_bash",
            "COMP_WORDS": words,
            "COMP_CWORD": str(words.count(" ")),
        }
        return subprocess.run(
            [program("crm-pipeline")], env=environment, capture_output=True, text=True, check=True
        ).stdout.split()

    assert completed("crm-pipeline sta") == ["status"]
    assert "--watch" in completed("crm-pipeline status --")
