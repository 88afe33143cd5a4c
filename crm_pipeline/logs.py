"""Where our loggers write: to stderr, without secrets and addresses. Handlers of others come after this one."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence

from pydantic import SecretStr

from crm_pipeline.database.engine import psycopg2_url
from crm_pipeline.redaction import RedactingFilter
from crm_pipeline.settings import Settings

ROOT = "crm_pipeline"


def start_logging(settings: Settings, level: int = logging.INFO, others: Sequence[str] = ()) -> None:
    """Log from `level` on. A second call replaces the first's handler. `others`: libraries' loggers to write there too.

    The filter rewrites each record in place, so what handlers added later see is redacted too; Dagster adds its own for
    the time of a step, and keeps in its event log what comes through it.
    """
    handler = logging.StreamHandler()
    handler.name = ROOT
    handler.setFormatter(logging.Formatter("%(asctime)s - %(name)s - %(levelname)s - %(message)s"))
    handler.addFilter(RedactingFilter(_secrets(settings)))
    root = logging.getLogger(ROOT)
    root.handlers = [handler, *(other for other in root.handlers if other.name != ROOT)]
    if root.level == logging.NOTSET:
        root.setLevel(level)
    for name in others:
        logging.getLogger(name).handlers = [handler]
        logging.getLogger(name).propagate = False


def _secrets(settings: Settings) -> Iterator[str]:
    if settings.database_url is not None and settings.database_url.password:
        yield str(settings.database_url.password)
    if settings.general.dagster_database_url is not None:
        password = psycopg2_url(settings.general.dagster_database_url.get_secret_value()).password
        if password:
            yield str(password)
    if settings.general.crm_pipeline_api_token is not None:
        yield settings.general.crm_pipeline_api_token.get_secret_value()
    for crm in settings.crms.values():
        for _, value in crm.credentials:
            if isinstance(value, SecretStr):
                yield value.get_secret_value()
