"""`crm-pipeline up`: Dagster on a real database with real keys."""

from __future__ import annotations

from crm_pipeline.cli.processes import check_free, the_only_one
from crm_pipeline.cli.stack import (
    ApiPort,
    Port,
    ended_together,
    show,
    start_api,
    start_dagster,
    stopped_by_signal,
    wait_for_api,
)
from crm_pipeline.database.check import check
from crm_pipeline.database.engine import Database, address, where
from crm_pipeline.errors import SchemaError, SettingsError
from crm_pipeline.settings import Settings
from crm_pipeline.wiring import open_database

NO_API = "off: CRM_PIPELINE_API_TOKEN is not set"


def up(port: Port = 3000, api_port: ApiPort = None) -> None:
    """Run Dagster on DATABASE_URL with the real keys. Ctrl-C stops it all; contacts in flight are given back.

    It adds no contact and starts no sandbox. The HTTP API runs beside it when CRM_PIPELINE_API_TOKEN is set. The
    database must be upgraded before: `crm-pipeline db upgrade`.
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
    general = settings.general
    folder, host, with_api = (
        general.crm_pipeline_data_dir,
        general.crm_pipeline_api_host,
        general.crm_pipeline_api_token is not None,
    )
    api_port = api_port or general.crm_pipeline_api_port
    with the_only_one(folder), stopped_by_signal() as stop:
        check_free(port, "--port")
        if with_api:
            check_free(api_port, "--api-port", host)
        with ended_together(folder) as processes:
            if with_api:
                start_api(processes, folder, host, api_port)
            start_dagster(processes, folder, address(dagster_database.url), port, stop)
            api = wait_for_api(processes, host, api_port, stop) if with_api else NO_API
            if stop.is_set():
                return
            show(settings, where(database.url), {"Dagster": f"http://127.0.0.1:{port}", "API": api}, folder)
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
