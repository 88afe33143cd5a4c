"""`crm-pipeline db`: the database of DATABASE_URL, or the embedded one."""

from __future__ import annotations

import os
import shutil
from typing import Annotated

import typer
from rich.console import Console

from crm_pipeline.database.check import check as database_check
from crm_pipeline.database.embedded import EmbeddedPostgres
from crm_pipeline.database.engine import address, where
from crm_pipeline.database.upgrade import upgrade as run_upgrade
from crm_pipeline.database.upgrade import upgrade_script
from crm_pipeline.errors import SchemaError, UsageError
from crm_pipeline.settings import Settings
from crm_pipeline.wiring import open_database

app = typer.Typer(help="The database: upgrade, check, look inside.", no_args_is_help=True)
console = Console()


@app.command()
def upgrade(
    sql: Annotated[bool, typer.Option("--sql", help="Print the script that does it, for the tables' owner.")] = False,
) -> None:
    """Bring the database to this version's schema. An empty one is filled, a table `contacts` with data is adopted."""
    database = open_database(Settings.load())
    if sql:
        print(upgrade_script(database))
        return
    before, after = run_upgrade(database)
    what = "is at version" if before == after else f"was at version {before}, now is at" if before else "is now at"
    console.print(f"The database ({where(database.url)}) {what} {after}.", markup=False, highlight=False)


@app.command()
def check() -> None:
    """Is the database as the pipeline needs it? Names each difference, each missing privilege, and what to do."""
    database = open_database(Settings.load())
    findings = database_check(database)
    for warning in findings.warnings:
        console.print(warning, style="yellow", markup=False)
    if findings.problems:
        raise SchemaError(findings.problems)
    console.print(f"The database ({where(database.url)}) is as it must be.", markup=False, highlight=False)


@app.command()
def shell() -> None:
    """Open psql on the database."""
    database = open_database(Settings.load())
    psql = shutil.which("psql") or str(EmbeddedPostgres.psql())
    environment = os.environ | ({"PGPASSWORD": str(database.url.password)} if database.url.password else {})
    without_password = address(database.url._replace(password=None))
    try:
        os.execve(psql, [psql, without_password], environment)  # noqa: S606 (the very point)
    except OSError as error:
        raise UsageError(f"psql does not start ({psql}): {error.strerror}.") from error


@app.command()
def url() -> None:
    """Print the database's address, its password included, for other programs: `psql "$(crm-pipeline db url)"`."""
    print(address(open_database(Settings.load()).url))


@app.command()
def stop() -> None:
    """Stop the embedded PostgreSQL. Commands start it again when they need it; its data stay."""
    settings = Settings.load()
    if not settings.embedded:
        raise UsageError("DATABASE_URL is set: that server is not this program's to stop.")
    EmbeddedPostgres(settings.general.crm_pipeline_data_dir).stop()
