"""The world in which a page's examples are run: a database, a sandbox in Brevo's place, a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from crm_pipeline.cli import dev
from crm_pipeline.database.engine import Database
from crm_pipeline.sandbox.account import Account
from crm_pipeline_tests.examples.terminal import Said, Terminal
from crm_pipeline_tests.support.sandbox import KEY

DATA = ".data"
"""Where `make dev` keeps its files."""


class World:
    """Settings are in the environment, as after the first chapters of the documentation."""

    def __init__(
        self,
        database: Database,
        account: Account,
        folder: Path,
        patch: pytest.MonkeyPatch,
        fixture: Callable[[str], Any],
    ) -> None:
        self.database = database
        self.account = account
        self.folder = folder
        self.patch = patch
        self.fixture = fixture
        """A further fixture, by its name."""
        self.terminal = Terminal(folder, patch)
        self.terminal.hosts["127.0.0.1:8025"] = urlsplit(account.url).netloc
        self.at_the_end = ExitStack()
        self.at_work = False
        """Dagster runs: what a statement selects is pushed before the next example."""
        url = database.url.render_as_string(hide_password=False)
        self.terminal.variables["DATABASE_URL"] = url
        patch.chdir(folder)
        patch.setenv("DATABASE_URL", url)
        patch.setenv("CRM_PIPELINE_ALLOW_SANDBOX", "true")
        patch.setenv("CRM_PIPELINE_DAGSTER_URL", "https://dagster.example.com")
        self._account_settings = {
            "BREVO_API_KEY": KEY,
            "BREVO_API_BASE_URL": account.url,
            "BREVO_SYNC_RATE_PER_SECOND": "200",
        }
        for name, value in self._account_settings.items():
            patch.setenv(name, value)

    def start_trial(self) -> None:
        """As `make dev` leaves it: at work, and its settings in a file for other terminals, not in the environment."""
        file = self.folder / DATA / dev.ENV_FILE
        file.parent.mkdir()
        file.write_text("".join(f"{name}={value}\n" for name, value in self._account_settings.items()))
        for name in self._account_settings:
            self.patch.delenv(name)
        self.at_work = True

    def push(self, **settings: str) -> None:
        """What a run of Dagster's would do now."""
        with pytest.MonkeyPatch.context() as here:
            for name, value in (self._account_settings | settings).items():
                here.setenv(name, value)
            said = self.terminal.type("crm-pipeline sync brevo")
        assert said.code == 0, said.output

    @contextmanager
    def closed_account(self) -> Iterator[None]:
        """The account does not take the key any more, and a command has met that."""
        self.account.api_key = "another"
        assert self.check().code == 1
        yield
        self.account.api_key = KEY
        assert self.check().code == 0

    def check(self) -> Said:
        """Ask the account."""
        return self.terminal.type("crm-pipeline brevo check")


Given = Callable[[World], AbstractContextManager[None]]
"""What is so while one example is run."""
