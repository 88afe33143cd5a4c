"""What the pages take for granted: who is in the table when somebody begins to read, and what an example is about."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import pytest
from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable

from crm_pipeline.api.schemas import EXAMPLE_ID
from crm_pipeline.cli.dev import DEMO_CONTACTS
from crm_pipeline_tests.api.conftest import TOKEN, served
from crm_pipeline_tests.database.application import PLAIN
from crm_pipeline_tests.examples.pages import ROOT
from crm_pipeline_tests.examples.world import Given, World
from crm_pipeline_tests.support.contacts import insert, sql
from crm_pipeline_tests.support.receivers import Webhook

PERSON = "someone@your-domain.example"
PEOPLE = "E-mail,Name,Phone\ncleo@example.com,Cleo Hart,\nnot an address,Nobody,\n"


def company(world: World) -> None:
    """Some are synced, some were given up for one cause and one for another, one waits, two are due, one is New."""
    for name in ("Ann Lee", "Bob Hart", "Cas Moor"):
        insert(world.database, f"{name.split()[0].lower()}@example.com", name=name)
    for number in range(4):
        insert(world.database, f"bad address {number}@example.com")
    world.push(BREVO_SYNC_MAX_RETRIES="0")
    insert(world.database, "bad address 4@example.com", id=UUID(int=2**128 - 1))  # a cause's example is its first id
    insert(world.database, "")
    world.push()
    for name in ("dan", "eve"):
        insert(world.database, f"{name}@example.com")
    insert(world.database, "fay@example.com", "New", None)


def table_of_an_application(world: World) -> None:
    """Before the upgrade."""
    sql(world.database, PLAIN)
    sql(world.database, f"INSERT INTO contacts (email, name) VALUES ('{PERSON}', 'Some One')")
    world.terminal.variables["OWNERS_DATABASE_URL"] = world.terminal.type("crm-pipeline db url").output.strip()
    shutil.copy(ROOT / ".env.example", world.folder)


def somebody(world: World) -> None:
    insert(world.database, PERSON, "New", None)


def trial(world: World) -> None:
    """`make dev` has been started, and has synced its contacts."""
    world.start_trial()
    for number, address in enumerate(DEMO_CONTACTS, 1):
        insert(world.database, address, name=f"Test Contact{number}")
    world.push()


def sandbox_alone(world: World) -> None:
    world.account.api_key = None


def somebody_to_tell(world: World) -> None:
    webhook: Webhook = world.fixture("webhook")
    world.patch.setenv("CRM_PIPELINE_ALERT_URLS", webhook.url)


def months(world: World) -> None:
    """With Dagster's own table, in which it keeps the results of checks."""
    company(world)
    AssetCheckExecutionsTable.create(world.database.engine)


def api(world: World) -> None:
    """It is served, with a token."""
    world.patch.setenv("CRM_PIPELINE_API_TOKEN", TOKEN)
    world.terminal.variables["TOKEN"] = TOKEN
    client = world.at_the_end.enter_context(served())
    world.terminal.hosts["127.0.0.1:8000"] = urlsplit(client.url).netloc


SCENES: dict[str, Callable[[World], None]] = {
    "README.md": table_of_an_application,
    "docs/adopt.md": table_of_an_application,
    "docs/alerts.md": somebody_to_tell,
    "docs/api.md": api,
    "docs/cli.md": company,
    "docs/first-ten-minutes.md": trial,
    "docs/manual-test.md": trial,
    "docs/operate.md": months,
    "docs/runbook.md": company,
    "docs/sandbox.md": sandbox_alone,
    "docs/your-database.md": table_of_an_application,
    "docs/your-key.md": somebody,
}
BEFORE_THE_UPGRADE = {page for page, scene in SCENES.items() if scene is table_of_an_application}


@contextmanager
def given_up_contact(world: World) -> Iterator[None]:
    """The API is asked about one contact, given up after a refusal."""
    sql(world.database, "DELETE FROM contacts")
    sql(
        world.database,
        "INSERT INTO contacts (id, email, brevo_sync_status, brevo_processing_status, brevo_processing_error) "
        "VALUES (:id, 'ann@example.com', 'Error', 'Error', 'Max retries exceeded (3). Last error: no')",
        id=UUID(EXAMPLE_ID),
    )
    sql(
        world.database,
        "INSERT INTO crm_attempts (crm, contact_id, lease_id, attempt, target, started_at, outcome, applied) "
        "VALUES ('brevo', :id, :lease, 4, 'api.brevo.com', :at, 'failed', 'applied')",
        id=UUID(EXAMPLE_ID),
        lease=uuid4(),
        at=datetime.now(UTC),
    )
    yield


@contextmanager
def no_key(world: World) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as here:
        here.delenv("BREVO_API_KEY")
        yield


@contextmanager
def file_of_settings(world: World) -> Iterator[None]:
    """The database is named there, and the environment has a variable that nobody reads."""
    file = world.folder / ".env"
    with pytest.MonkeyPatch.context() as here:
        file.write_text(f"DATABASE_URL={world.terminal.variables['DATABASE_URL']}\n")
        here.setenv("CRM_PIPELINE_ENV_FILE", str(file))
        here.delenv("DATABASE_URL")
        here.setenv("BREVO_LISTID", "30")
        yield


@contextmanager
def nobody_called_bob(world: World) -> Iterator[None]:
    sql(world.database, "DELETE FROM contacts WHERE email = 'bob@example.com'")
    yield


@contextmanager
def lost_contact(world: World) -> Iterator[None]:
    insert(world.database, "gus@example.com", "Complete", "Error")
    yield


@contextmanager
def file_of_people(world: World) -> Iterator[None]:
    (world.folder / "people.csv").write_text(PEOPLE)
    yield


@contextmanager
def attribute_less(world: World) -> Iterator[None]:
    world.account.remove_field("PAGE_ID")
    yield


@contextmanager
def other_types(world: World) -> Iterator[None]:
    """The table has two columns as they cannot be taken over."""
    change = (
        "ALTER TABLE contacts ALTER created_at {} DEFAULT{}, ALTER created_at TYPE {}, ALTER brevo_contact_id TYPE {}"
    )
    sql(world.database, change.format("DROP", "", "timestamp", "varchar(64)"))
    yield
    sql(world.database, change.format("SET", " now()", "timestamptz", "varchar"))


GIVEN: dict[tuple[str, str], Given] = {
    ("docs/adopt.md", "Everything else that differs is an error"): other_types,
    ("docs/api.md", "curl "): given_up_contact,
    ("docs/cli.md", "A closed gate"): World.closed_account,
    ("docs/cli.md", "A CRM without its key"): no_key,
    ("docs/cli.md", "crm-pipeline config"): file_of_settings,
    ("docs/cli.md", "crm-pipeline ledger heal"): lost_contact,
    ("docs/cli.md", "crm-pipeline contacts add bob@example.com"): nobody_called_bob,
    ("docs/cli.md", "crm-pipeline contacts import people.csv"): file_of_people,
    ("docs/cli.md", "crm-pipeline brevo setup"): attribute_less,
}
"""By page, and by how the command or the paragraph above it begins."""

_ROOT = "needs root on a server"
_CLUSTER = "needs a cluster"
NOT_RUN: dict[tuple[str, str], str] = {
    ("deploy/README.md", "useradd"): _ROOT,
    ("deploy/README.md", "git clone"): _ROOT,
    ("deploy/README.md", "install -d"): _ROOT,
    ("deploy/README.md", "ln -s"): _ROOT,
    ("deploy/README.md", "install -D"): _ROOT,
    ("deploy/README.md", "install -m"): _ROOT,
    ("deploy/README.md", "cp /opt"): _ROOT,
    ("deploy/README.md", "systemctl daemon-reload"): _ROOT,
    ("deploy/README.md", "systemd-run"): _ROOT,
    ("deploy/README.md", "systemctl enable"): _ROOT,
    ("deploy/README.md", "helm upgrade"): _CLUSTER,
    ("deploy/README.md", "kubectl apply"): _CLUSTER,
    ("docs/cli.md", "crm-pipeline --install-completion"): "writes into the files of whoever runs the tests; "
    "cli/test_cli_page.py asks a shell to complete",
    ("docs/your-database.md", "CREATE DATABASE dagster"): "all tests share the server, and it has that database",
}
"""Examples that are not run, by page and by how they begin, with the reason. The files they name are looked for."""
