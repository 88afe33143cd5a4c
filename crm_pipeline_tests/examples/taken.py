"""Commands that are not started, since they bring up whole stacks: would make, Compose and the program take them?

Each function raises AssertionError or the program's UsageError where not.
"""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Sequence
from typing import Any, NoReturn

import yaml

from crm_pipeline_tests.examples.pages import ROOT
from crm_pipeline_tests.test_site import UsageError, parse

__all__ = ["UsageError", "benchmarks", "compose", "make"]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
"""Its YAML 1.1, with anchors and `<<` merged."""
BENCHMARKS = (ROOT / "benchmarks" / "__main__.py").read_text(encoding="utf-8")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise AssertionError(message)


def make(words: Sequence[str]) -> None:
    """`make TARGET...`, with `ARGS=` for a target that hands them on to a command that takes them."""
    arguments = dict(word.split("=", 1) for word in words if "=" in word)
    for target in (word for word in words if "=" not in word):
        recipe = re.search(rf"^{re.escape(target)}:[^\n]*\n((?:\t[^\n]*\n?)*)", MAKEFILE, re.MULTILINE)
        assert recipe is not None, f"the Makefile has no target {target}"
        for name, value in arguments.items():
            assert f"$({name})" in recipe[1], f"make {target} takes no {name}"
            command = re.search(rf"\$\(BIN\)/crm-pipeline (.*)\$\({name}\)", recipe[1])
            if command is not None:
                parse(command[1] + value)
            elif "-m benchmarks" in recipe[1]:
                benchmarks(shlex.split(value))


def benchmarks(words: Sequence[str]) -> None:
    """What follows `python -m benchmarks`: options and names of measurements that it has."""
    options = set(re.findall(r'add_argument\("(--[a-z]+)"', BENCHMARKS))
    names = set(re.findall(r'^    (?:"([a-z]+)"|PACE): [a-z]+\.measure,$', BENCHMARKS, re.MULTILINE)) | {"pace"}
    unknown = [word for word in words if word not in options | names and not word.isdigit()]
    assert unknown == [], f"the benchmarks know no {unknown}"


def compose(words: Sequence[str]) -> None:
    """What follows `docker compose`: its options are real, services and profiles are those of docker-compose.yml."""
    parser = _Parser("docker compose", add_help=False)
    parser.add_argument("--profile", choices={name for one in _services() for name in one.get("profiles", ())})
    below: Any = parser.add_subparsers(dest="what", required=True, parser_class=_Parser)
    up = below.add_parser("up", add_help=False)
    up.add_argument("--build", action="store_true")
    up.add_argument("-d", "--detach", action="store_true")
    execute = below.add_parser("exec", add_help=False)
    execute.add_argument("service", choices=COMPOSE["services"])
    execute.add_argument("command", nargs=argparse.REMAINDER)
    below.add_parser("stop", add_help=False)
    asked = parser.parse_args(list(words))
    if asked.what == "exec":
        _inside(asked.service, asked.command)


def _inside(service: str, command: Sequence[str]) -> None:
    program, *words = command
    if program == "crm-pipeline":
        assert COMPOSE["services"][service]["image"] == "crm-pipeline", f"{service} has no crm-pipeline"
        parse(shlex.join(words))
        return
    assert program in ("psql", "pg_dump"), f"nobody knows whether {service} has {program}"
    made = COMPOSE["services"][service]["environment"]
    parser = _Parser(program, add_help=False)
    parser.add_argument("-U", required=True, choices=[made["POSTGRES_USER"]])
    parser.add_argument("-F", choices=["c"] if program == "pg_dump" else [])
    parser.add_argument("database", choices=[made["POSTGRES_DB"]])
    parser.parse_args(words)


def _services() -> list[dict[str, Any]]:
    return list(COMPOSE["services"].values())
