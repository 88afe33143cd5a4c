"""A terminal in which the documents' commands are typed: the program in this process, other programs for real."""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import pytest
import requests

from crm_pipeline import cli
from crm_pipeline.database.embedded import EmbeddedPostgres
from crm_pipeline_tests.examples import taken

SERVERS = ("api", "sandbox")
"""Commands that run until Ctrl-C."""
REAL = ("psql", "pg_dump", "cp")
FOR_PSQL = "SELECT 'typed into psql';\n"
ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL)
CURL = argparse.ArgumentParser("curl", add_help=False)
CURL.add_argument("url")
CURL.add_argument("-H", dest="headers", action="append", default=[])
CURL.add_argument("-d", dest="body")
CURL.add_argument("--json", dest="json")
CURL.add_argument("-X", dest="method")


@dataclass(frozen=True)
class Said:
    """What a command ended with, and what stood in the terminal then, errors too."""

    code: int
    output: str
    answer: requests.Response | None = None
    """curl's."""


class Terminal:
    """A shell in `folder`. Not a whole one: what it does not know raises AssertionError."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.variables: dict[str, str] = {}
        """Of the shell, and not of the programs; and those whose documented values are others' here."""
        self.hosts: dict[str, str] = {}
        """Documented host and port -> where it is here."""
        self._monkeypatch = monkeypatch
        self._programs: Mapping[str, Callable[[Sequence[str]], Said]] = {
            "crm-pipeline": self._crm_pipeline,
            ".venv/bin/crm-pipeline": self._crm_pipeline,
            "curl": self._curl,
            "make": self._taken(taken.make),
            "docker": self._docker,
            "export": self._export,
        } | {program: self._real(program) for program in REAL}

    def type(self, command: str) -> Said:
        """One line, as it stands in a document."""
        words = shlex.split(self._filled_in(command), comments=True)
        with contextlib.ExitStack() as afterwards:
            while words and (assignment := ASSIGNMENT.fullmatch(words[0])):
                words.pop(0)
                if words:
                    outer = afterwards.enter_context(pytest.MonkeyPatch.context())
                    outer.setenv(assignment[1], assignment[2])
                else:
                    self.variables.setdefault(assignment[1], assignment[2])
            if not words:
                return Said(0, "")
            program, *words = words
            assert program in self._programs, f"nobody knows how to run {program}: {command}"
            into = None
            if ">" in words:
                *words, _, into = words
            said = self._programs[program](words)
        if into is not None:
            (self.folder / into).write_text(said.output)
        return said

    def _filled_in(self, command: str) -> str:
        """With variables, the output of `$(...)`, and hosts as they are here."""
        command = re.sub(r"\$\(([^)]*)\)", lambda found: self.type(found[1]).output.strip(), command)
        known = os.environ | self.variables
        command = re.sub(r"\$([A-Za-z_]\w*)", lambda found: known[found[1]], command)
        for documented, here in self.hosts.items():
            command = command.replace(documented, here)
        return command

    def _export(self, words: Sequence[str]) -> Said:
        for word in words:
            name, _, value = word.partition("=")
            self._monkeypatch.setenv(name, self.variables.get(name, value))
        return Said(0, "")

    def _crm_pipeline(self, words: Sequence[str]) -> Said:
        output = io.StringIO()
        with pytest.MonkeyPatch.context() as here, contextlib.ExitStack() as meanwhile:
            here.setenv("COLUMNS", "120")
            here.setattr(os, "execve", _run_instead)
            if words[0] in SERVERS:
                words = [*words, "--port", str(meanwhile.enter_context(_stopped_once_it_answers()))]
            here.setattr(sys, "argv", ["crm-pipeline", *words])
            meanwhile.enter_context(contextlib.redirect_stdout(output))
            meanwhile.enter_context(contextlib.redirect_stderr(output))
            with pytest.raises(SystemExit) as ended:
                cli.main()
        return Said(int(ended.value.code or 0), output.getvalue())

    def _curl(self, words: Sequence[str]) -> Said:
        asked = CURL.parse_args(words)
        headers = dict(header.split(": ", 1) for header in asked.headers)
        if asked.json is not None:
            headers["Content-Type"] = "application/json"
        body = asked.body if asked.json is None else asked.json
        method = asked.method or ("GET" if body is None else "POST")
        with requests.Session() as session:
            session.trust_env = False
            answer = session.request(method, asked.url, headers=headers, data=body, timeout=30)
        return Said(0, answer.text, answer)

    def _docker(self, words: Sequence[str]) -> Said:
        assert words[0] == "compose", f"docker {words[0]}"
        return self._taken(taken.compose)(words[1:])

    @staticmethod
    def _taken(check: Callable[[Sequence[str]], None]) -> Callable[[Sequence[str]], Said]:
        def run(words: Sequence[str]) -> Said:
            check(words)
            return Said(0, "")

        return run

    def _real(self, program: str) -> Callable[[Sequence[str]], Said]:
        def run(words: Sequence[str]) -> Said:
            beside = EmbeddedPostgres.psql().parent / program  # of the server's version; an older one refuses it
            command = [str(beside) if beside.exists() else program, *words]
            ended = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, timeout=60, check=False)
            return Said(ended.returncode, ended.stdout + ended.stderr)

        return run


def _run_instead(path: str, arguments: Sequence[str], environment: Mapping[str, str]) -> NoReturn:
    """In place of execve, which would put the program in place of the tests."""
    ended = subprocess.run(
        arguments, executable=path, env=environment, input=FOR_PSQL, capture_output=True, text=True, check=False
    )
    print(ended.stdout + ended.stderr)
    sys.exit(ended.returncode)


@contextlib.contextmanager
def _stopped_once_it_answers() -> Iterator[int]:
    """A free port; once somebody listens there this process gets a Ctrl-C, which that server waits for.

    And again, until the block ends: a signal just before a wait does not wake whoever begins it.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    ended = threading.Event()

    main = threading.get_ident()

    def stop() -> None:
        while not ended.wait(0.05):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                signal.pthread_kill(main, signal.SIGINT)

    before = signal.signal(signal.SIGINT, lambda *_: None)  # the server sets one of its own before it listens
    thread = threading.Thread(target=stop, daemon=True)
    thread.start()
    try:
        yield port
    finally:
        ended.set()
        thread.join()
        signal.signal(signal.SIGINT, before)
