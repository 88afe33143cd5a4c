"""The documentation site builds, loads nothing from elsewhere, and what its pages tell people to do can be done."""

from __future__ import annotations

import functools
import http.server
import os
import re
import shlex
import subprocess
import sys
import threading
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import typer
from playwright.sync_api import Page
from sqlalchemy import text
from typer.core import TyperGroup

from crm_pipeline.cli import app
from crm_pipeline.contacts.queue import Queue
from crm_pipeline.database.engine import Database
from crm_pipeline.orchestration.alerts import jobs_of
from crm_pipeline.orchestration.checks import CHECKS
from crm_pipeline_tests.support.contacts import insert, sql
from crm_pipeline_tests.test_documents import DOCUMENTS, variables

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PAGES = [*DOCUMENTS, ROOT / "deploy" / "README.md"]
RUNBOOK = (DOCS / "runbook.md").read_text(encoding="utf-8")
LOADED_BY_ITSELF = {
    "script": ("src",),
    "img": ("src", "srcset"),
    "iframe": ("src",),
    "source": ("src", "srcset"),
    "video": ("src", "poster"),
    "audio": ("src",),
    "embed": ("src",),
    "object": ("data",),
    "link": ("href",),
}
COMMAND = re.compile(r"(?<![\w./-])(?:\.venv/bin/)?crm-pipeline((?: [^`\n|;&)#>]+)?)")
EVERYWHERE = {"--help", "--install-completion", "--show-completion"}
"""Options that act as soon as they are read."""
UsageError: Any = typer.BadParameter.__base__
"""Click's; typer has one of its own in newer versions."""
one_build = pytest.mark.xdist_group("site")


class _Loaded(HTMLParser):
    """What a browser loads by itself for a page."""

    def __init__(self) -> None:
        super().__init__()
        self.urls: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        for name, value in attributes:
            if name in LOADED_BY_ITSELF.get(tag, ()) and value:
                self.urls.append(value)
            if name == "style" and value:
                self.urls += re.findall(r"url\(['\"]?([^)'\"]+)", value)


def mkdocs(site: Path) -> subprocess.CompletedProcess[str]:
    """Build as `make docs` does. Material's notice about its own future is no warning about these pages."""
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(site)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site."""
    folder = tmp_path_factory.mktemp("site")
    built = mkdocs(folder)
    assert built.returncode == 0, built.stdout + built.stderr
    return folder


@pytest.fixture(scope="module")
def served(site: Path) -> Iterator[str]:
    """Its address on this machine."""
    handler = functools.partial(_Quiet, directory=str(site))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@one_build
def test_every_page_is_built(site: Path) -> None:
    pages = {path.relative_to(DOCS).with_suffix(".html") for path in DOCS.rglob("*.md")}
    assert {path for path in pages if not (site / path).is_file()} == set()


@one_build
def test_no_page_names_a_file_of_another_host_that_a_browser_loads_by_itself(site: Path) -> None:
    elsewhere = []
    for page in site.rglob("*.html"):
        loaded = _Loaded()
        loaded.feed(page.read_text(encoding="utf-8"))
        elsewhere += [(page.name, url) for url in loaded.urls if re.match(r"(https?:)?//", url)]
    for style in [*site.rglob("*.css"), *site.rglob("*.svg")]:
        urls = re.findall(r"(?:url\(|@import )['\"]?([^)'\";]+)", style.read_text(encoding="utf-8"))
        elsewhere += [(style.name, url) for url in urls if re.match(r"(https?:)?//", url)]
    assert elsewhere == []


@one_build
@pytest.mark.browser
def test_a_browser_reads_and_searches_the_site_without_asking_another_host(served: str, page: Page) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    for name in ("index", "runbook", "architecture"):
        page.goto(f"{served}/{name}.html", wait_until="load")
    assert page.evaluate("[...document.images].map(image => image.naturalWidth)") != []
    assert 0 not in page.evaluate("[...document.images].map(image => image.naturalWidth)")
    page.click(".md-search__input")
    page.keyboard.type("loss_ledger")
    page.wait_for_selector(".md-search-result__link[href*='runbook.html']")
    assert [url for url in asked if not url.startswith((served, "data:", "blob:"))] == []


def commands(page: Path) -> list[str]:
    """The arguments of each `crm-pipeline ...` on a page, in text and in examples."""
    return [found.strip() for found in COMMAND.findall(page.read_text(encoding="utf-8")) if found.strip()]


def found(arguments: str) -> tuple[Any, list[str]]:
    """The command that is named, and the words behind its name."""
    command: Any = typer.main.get_command(app)
    rest = shlex.split(arguments)
    while isinstance(command, TyperGroup) and rest and rest[0] in command.commands:
        command = command.commands[rest.pop(0)]
    return command, rest


def parse(arguments: str) -> None:
    """As the program would, without running it. Raises UsageError."""
    command, rest = found(arguments)
    if isinstance(command, TyperGroup) and rest and not rest[0].startswith("-"):
        raise UsageError(f"No such command: {rest[0]}")
    if rest or not isinstance(command, TyperGroup):
        command.make_context("crm-pipeline", rest).close()


@pytest.mark.parametrize("page", PAGES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_command_on_a_page_is_one_that_the_program_takes(page: Path) -> None:
    for arguments in commands(page):
        command, rest = found(arguments)
        if not rest and not isinstance(command, TyperGroup):
            continue  # its name is all that is said
        if rest and rest[0] in EVERYWHERE:
            continue
        try:
            parse(arguments)
        except UsageError as error:
            pytest.fail(f"crm-pipeline {arguments}: {error.format_message()}")


@pytest.mark.parametrize("wrong", ["contacts frobnicate", "sync brevo --everything", "contacts why", "db upgrade now"])
def test_a_command_that_the_program_does_not_take_is_noticed(wrong: str) -> None:
    with pytest.raises(UsageError):
        parse(wrong)


def test_commands_are_found_in_text_and_in_examples() -> None:
    assert len(commands(DOCS / "runbook.md")) > 15
    assert "contacts why ann@example.com" in commands(DOCS / "index.md")
    assert 'contacts add ann@example.com --name "Ann Lee" --select' in commands(DOCS / "first-ten-minutes.md")


@pytest.mark.parametrize("page", PAGES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_setting_on_a_page_exists(page: Path) -> None:
    content = re.sub(r"^.*: no such setting.*$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    named = set(re.findall(r"\b(?:CRM_PIPELINE|BREVO)_[A-Z][A-Z_]*[A-Z]\b|\b(?:DAGSTER_)?DATABASE_URL\b", content))
    assert named - variables() == set()


@pytest.mark.parametrize("check", CHECKS)
def test_the_runbook_has_a_section_for_every_check(check: str) -> None:
    assert f"\n## Check: {check}\n" in RUNBOOK


@pytest.mark.parametrize("job", [*(job.name for job in jobs_of("brevo")), "housekeeping"])
def test_the_runbook_has_a_section_for_every_job(job: str) -> None:
    assert f"\n## A run of {job} is red\n" in RUNBOOK


def test_every_sentence_that_the_runbook_quotes_is_one_of_the_programs() -> None:
    rows = re.findall(r"^\| ([^|]*\"[^|]*) \|", RUNBOOK, re.MULTILINE)
    quoted = {sentence for row in rows for sentence in re.findall(r'"([^"]+)"', row)}
    assert len(quoted) > 20
    source = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "crm_pipeline").rglob("*.py"))
    assert {sentence for sentence in quoted if sentence not in source} == set()


def test_a_person_who_is_deleted_as_the_runbook_says_leaves_nothing_in_the_database(
    database: Database, queue: Queue
) -> None:
    for address in ("Ann@example.com ", "ann@example.com"):
        contact_id = insert(database, address)
        queue.claim([contact_id], uuid4(), str(uuid4()), 120)
        sql(
            database,
            "INSERT INTO crm_attempts (crm, contact_id, lease_id, attempt, target, started_at, outcome, external_id) "
            "VALUES ('brevo', :id, gen_random_uuid(), 1, 'api.example.com', now(), 'synced', 'ann@example.com')",
            id=contact_id,
        )
        sql(database, "INSERT INTO crm_ledger VALUES ('brevo', :id, 'due', now())", id=contact_id)
    tables = ("contacts", "crm_sync", "crm_attempts", "crm_ledger")
    assert "ann@example.com" in everything(database, tables).lower()
    (delete,) = re.findall(r"^ *(DELETE FROM contacts .*;)$", RUNBOOK, re.MULTILINE)
    sql(database, delete)
    assert everything(database, tables) == ""


def everything(database: Database, tables: tuple[str, ...]) -> str:
    """All rows of these tables, as text."""
    with database.engine.connect() as connection:
        rows = [connection.execute(text(f"SELECT t::text FROM {table} t")).scalars().all() for table in tables]
    return "".join("".join(some) for some in rows)
