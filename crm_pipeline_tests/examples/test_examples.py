"""Every example of README and docs is run, in the order of its page, and gets the answer that stands below it."""

from __future__ import annotations

import json
import re
import shlex
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import pytest
import requests
from pydantic import BaseModel

from crm_pipeline.api import schemas
from crm_pipeline.database.embedded import EmbeddedPostgres
from crm_pipeline.database.engine import Database
from crm_pipeline.sandbox.account import Account
from crm_pipeline.settings import ENV_FILE_VARIABLE, Settings
from crm_pipeline_tests.examples import taken
from crm_pipeline_tests.examples.pages import DOCUMENTS, ROOT, TERMINAL, Block, Line, blocks, fences, lines, spans
from crm_pipeline_tests.examples.scenes import BEFORE_THE_UPGRADE, GIVEN, NOT_RUN, SCENES
from crm_pipeline_tests.examples.shapes import difference, misfits
from crm_pipeline_tests.examples.terminal import Said
from crm_pipeline_tests.examples.world import World
from crm_pipeline_tests.support.postgres import TEMPLATE, cloned
from crm_pipeline_tests.support.sandbox import KEY
from crm_pipeline_tests.test_documents import variables

BLOCKS = {str(path.relative_to(ROOT)): list(blocks(path)) for path in DOCUMENTS}
PAGES = [page for page, found in BLOCKS.items() if found]
SCHEMAS = [one for one in vars(schemas).values() if isinstance(one, type) and issubclass(one, BaseModel)]
SECRETS = {"BREVO_API_KEY": KEY, "CRM_PIPELINE_API_TOKEN": "a-token-of-the-reader"}
"""Where a page has `...`, because each reader has another."""


@pytest.fixture
def world(
    request: pytest.FixtureRequest,
    page: str,
    postgres: EmbeddedPostgres,
    account: Account,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[World]:
    """What the page takes for granted when somebody begins to read."""
    with cloned(postgres, "template0" if page in BEFORE_THE_UPGRADE else TEMPLATE) as url:
        database = Database(url)
        world = World(database, account, tmp_path, monkeypatch, request.getfixturevalue)
        with world.at_the_end:
            if page in SCENES:
                SCENES[page](world)
            yield world
        database.dispose()


@pytest.mark.parametrize("page", PAGES)
def test_the_examples_of_a_page_do_what_it_says(page: str, world: World) -> None:
    answer: requests.Response | None = None
    for block in BLOCKS[page]:
        if block.language == "json":
            _compare(block, answer)
            answer = None
        elif block.language in TERMINAL:
            for line in lines(block):
                answer = _type(world, block, line)
        else:
            assert block.language in OTHERS, f"{block.place}: nobody knows how to run {block.language or 'this'}"
            if not _left_out(block, block.text):
                OTHERS[block.language](world, block)


def _type(world: World, block: Block, line: Line) -> requests.Response | None:
    """Run one command and compare what it says; curl's answer, which may stand in the next block."""
    if _left_out(block, line.command):
        return None
    with _given(block, line)(world):
        try:
            said = world.terminal.type(line.command)
        except (AssertionError, taken.UsageError) as error:
            pytest.fail(f"{block.place}: {line.command}\n{error}")
    assert said.code == line.exit_code, f"{block.place}: {line.command}\n{said.output}"
    if line.shown is not None and (found := difference(line.shown, said.output)):
        pytest.fail(f"{block.place}: {line.command}\n{found}")
    return _answered(block, line, said)


def _answered(block: Block, line: Line, said: Said) -> requests.Response | None:
    following = BLOCKS[block.page][BLOCKS[block.page].index(block) + 1 :]
    if said.answer is not None and not (following and following[0].language == "json"):
        assert said.answer.ok, f"{block.place}: {line.command}\n{said.answer.status_code} {said.output}"
    return said.answer


def _compare(block: Block, answer: requests.Response | None) -> None:
    """JSON is the answer to the curl above it; an error's has its status in it."""
    assert answer is not None, f"{block.place}: this JSON is nobody's answer"
    shown, got = json.loads(block.text), answer.json()
    fitting = [one for one in SCHEMAS if one.model_fields.keys() == shown.keys()]
    assert len(fitting) == 1, f"{block.place}: the API has no answer with these keys"
    fitting[0].model_validate(shown)
    wanted = shown["status"] if "title" in shown else 200
    assert answer.status_code == wanted, f"{block.place}: {answer.status_code} {answer.text}"
    assert misfits(shown, got) == [], f"{block.place}: {answer.text}"
    for key in ("message", "state", "what_next", "usable", "updated_count", "queued_count", "retried_count", "detail"):
        assert got.get(key) == shown.get(key), f"{block.place}: {key}"


def _given(block: Block, line: Line) -> Callable[[World], AbstractContextManager[None]]:
    found = [
        given
        for (page, begin), given in GIVEN.items()
        if page == block.page and (line.command.startswith(begin) or block.above.startswith(begin))
    ]
    return found[0] if found else lambda _: nullcontext()


def _left_out(block: Block, text: str) -> bool:
    return any(page == block.page and text.startswith(begin) for page, begin in NOT_RUN)


def _sql(world: World, block: Block) -> None:
    """As by psql. A statement about contacts or attempts finds some."""
    connection = world.database.engine.connect().execution_options(isolation_level="AUTOCOMMIT", no_parameters=True)
    with connection:
        result = connection.exec_driver_sql(block.text)
        touched = len(result.all()) if result.returns_rows else result.rowcount
    if re.search(r"\b(?:FROM|UPDATE) (?:contacts|crm_attempts)\b", block.text):
        assert touched > 0, f"{block.place}: it finds nobody"
    if world.at_work and block.text.startswith("UPDATE"):
        world.push()


def _dotenv(world: World, block: Block) -> None:
    """Lines of `.env`: settings that there are, with values that are taken."""
    assignments = dict(line.split("=", 1) for line in block.text.splitlines())
    assert assignments.keys() <= variables(), f"{block.place}: {assignments.keys() - variables()}"
    file = world.folder / "block.env"
    file.write_text(
        "".join(f"{name}={SECRETS[name] if value.endswith('...') else value}\n" for name, value in assignments.items())
    )
    with pytest.MonkeyPatch.context() as here:
        here.setenv(ENV_FILE_VARIABLE, str(file))
        for name in assignments:
            here.delenv(name, raising=False)
        Settings.load()


def _python(world: World, block: Block) -> None:
    """Where it says so, somebody pushes from elsewhere meanwhile."""
    elsewhere: list[threading.Thread] = []

    def push_elsewhere(account: Account) -> None:
        body = {"email": "bob@example.com"}
        arguments = {"json": body, "headers": {"api-key": account.api_key}, "timeout": 10}
        elsewhere.append(threading.Thread(target=requests.post, args=(f"{account.url}/contacts",), kwargs=arguments))
        elsewhere[0].start()

    exec(block.text.replace("...  # push it", "push_elsewhere(account)  #"), {"push_elsewhere": push_elsewhere})
    for thread in elsewhere:
        thread.join(10)


OTHERS: dict[str, Callable[[World, Block], None]] = {"sql": _sql, "dotenv": _dotenv, "python": _python}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_fence_of_a_document_is_one_of_an_example_that_is_found(document: Path) -> None:
    assert fences(document) == 2 * len(BLOCKS[str(document.relative_to(ROOT))])


def test_everything_that_is_said_about_single_examples_is_about_one_that_is_there() -> None:
    begins = {
        (page, text)
        for page, found in BLOCKS.items()
        for block in found
        for text in (block.above, block.text, *(line.command for line in lines(block)))
    }
    for page, begin in [*GIVEN, *NOT_RUN]:
        assert any(page == other and text.startswith(begin) for other, text in begins), (page, begin)
    assert SCENES.keys() <= set(PAGES)


def test_files_that_are_named_by_examples_that_are_not_run_are_there() -> None:
    named = [
        (block.place, word.removeprefix("/opt/crm-pipeline/"))
        for block in BLOCKS["deploy/README.md"]
        for word in block.text.split()
        if word.startswith(("/opt/crm-pipeline/", "deploy/")) and "/.venv/" not in word
    ]
    assert len(named) > 5
    assert [(place, path) for place, path in named if not list(ROOT.glob(path))] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_make_compose_and_benchmark_in_the_text_would_be_taken(document: Path) -> None:
    programs = (("make ", taken.make), ("docker compose ", taken.compose), ("python -m benchmarks ", taken.benchmarks))
    for span in spans(document):
        command = re.sub(r"^(?:[A-Z_]+=\S* )*", "", span)
        assert set(re.findall(r"([A-Z_]+)=\S* ", span[: -len(command)])) <= variables(), span
        for program, check in programs:
            if command.startswith(program):
                check(shlex.split(command.removeprefix(program)))
