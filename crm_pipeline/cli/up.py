"""`crm-pipeline up`: Dagster on a real database with real keys."""

from __future__ import annotations

from crm_pipeline.cli.processes import check_free, the_only_one
from crm_pipeline.cli.stack import Port, ended_together, show, start_dagster, stopped_by_signal
from crm_pipeline.database.check import check
from crm_pipeline.database.engine import Database, address, where
from crm_pipeline.errors import SchemaError, SettingsError
from crm_pipeline.settings import Settings
from crm_pipeline.wiring import open_database


def up(port: Port = 3000) -> None:
    """Run Dagster on DATABASE_URL with the real keys. Ctrl-C stops it all; contacts in flight are given back.

    It adds no contact and starts no sandbox. The database must be upgraded before: `crm-pipeline db upgrade`.
    """
    settings = Settings.load()
    _check_settings(settings)
    assert settings.general.dagster_database_url is not None
    dagster_database = Database(settings.general.dagster_database_url.get_secret_value())
    dagster_database.ping("DAGSTER_DATABASE_URL")
    dagster_database.dispose()
    database = open_database(settings)
    problems = check(database).problems
    if problems:
        raise SchemaError(problems)
    database.dispose()
    folder = settings.general.crm_pipeline_data_dir
    with the_only_one(folder), stopped_by_signal() as stop:
        check_free(port, "--port")
        with ended_together(folder) as processes:
            start_dagster(processes, folder, address(dagster_database.url), port, stop)
            if stop.is_set():
                return
            show(settings, where(database.url), {"Dagster": f"http://127.0.0.1:{port}"}, folder)
            while not stop.wait(1):
                processes.raise_if_one_ended()


def _check_settings(settings: Settings) -> None:
    missing = []
    if settings.embedded:
        missing.append("DATABASE_URL is not set: the database with the table contacts.")
    if settings.general.dagster_database_url is None:
        missing.append("DAGSTER_DATABASE_URL is not set: Dagster's own database, an empty one beside yours.")
    if not any(crm.enabled for crm in settings.crms.values()):
        keys = " or ".join(crm.spec.key_variable for crm in settings.crms.values())
        missing.append(f"{keys} is not set: the CRM's key.")
    if settings.database_url is not None and settings.same_database_for_dagster:
        raise SettingsError(
            [
                "DAGSTER_DATABASE_URL is the database of DATABASE_URL. Dagster makes tables of its own there, and an "
                "alembic_version that your application's may be taken for: give it an empty database."
            ]
        )
    if missing:
        raise SettingsError([*missing, "Set them in .env or the environment. To try it without: `make dev`."])
