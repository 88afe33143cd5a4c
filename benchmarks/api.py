"""What callers of the HTTP API wait for, at a large table: selections, failures, counts, a scrape of the metrics."""

from __future__ import annotations

import json
import statistics
import time

import requests
from pydantic import SecretStr
from rich.progress import Progress

from benchmarks.filled import Filled
from benchmarks.measured import Measured
from crm_pipeline.api.server import ApiServer
from crm_pipeline.database.engine import Database
from crm_pipeline.settings import GeneralSettings, Settings
from crm_pipeline_tests.support.contacts import sql

TOKEN = "a-token-for-measurements"
ROUNDS = 15
SELECTED = 10_000
GOAL_MS = 200.0


def measure(progress: Progress, table: Filled) -> list[Measured]:
    """Medians in ms over 15 calls, each over other contacts; the first count of the stats alone scans the table."""
    task = progress.add_task(f"the HTTP API at {table.contacts:,} contacts", total=6 * ROUNDS)
    size = min(SELECTED, table.contacts // (6 * ROUNDS))
    found = []
    with table.copy() as database, ApiServer(_settings(database), "127.0.0.1", 0) as server, _session() as session:

        def calls(method: str, path: str, bodies: list[str | None]) -> list[float]:
            taken = []
            for body in bodies:
                started = time.perf_counter()
                session.request(method, server.url + path, data=body, timeout=60).raise_for_status()
                taken.append((time.perf_counter() - started) * 1000)
                progress.advance(task)
            return taken

        select = "/api/v3/contacts/crm/select"
        for where, apart in (("beside each other", False), ("spread over the table", True)):
            taken = statistics.median(calls("POST", select, _selections(database, size, apart)))
            what = f"select {size:,} of {table.contacts:,} contacts, {where}"
            found.append(Measured(what, f"{taken:.0f} ms", f"{GOAL_MS:.0f} ms", taken <= GOAL_MS))
        one = _selections(database, 1, apart=True)
        found.append(Measured("select one", f"{statistics.median(calls('POST', select, one)):.1f} ms"))
        _give_up(database)
        nothing: list[str | None] = [None] * ROUNDS
        page = calls("GET", "/api/v3/contacts/sync-failures?crm=brevo&limit=100", nothing)
        found.append(Measured("a page of 100 failures", f"{statistics.median(page):.0f} ms"))
        first, *later = calls("GET", "/api/v3/contacts/sync-stats?crm=brevo", nothing)
        found.append(Measured("the stats, when every pair is counted", f"{first:.0f} ms"))
        found.append(Measured("the stats, within the same minute", f"{statistics.median(later):.0f} ms"))
        found.append(
            Measured("a scrape of the metrics", f"{statistics.median(calls('GET', '/metrics', nothing)):.0f} ms")
        )
    return found


def _settings(database: Database) -> Settings:
    url = database.url.render_as_string(hide_password=False)
    general = GeneralSettings(database_url=SecretStr(url), crm_pipeline_api_token=SecretStr(TOKEN))
    return Settings(general, Settings.load().crms)


def _session() -> requests.Session:
    session = requests.Session()
    session.trust_env = False
    session.headers.update({"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"})
    return session


def _selections(database: Database, size: int, apart: bool) -> list[str | None]:
    """For each round other contacts that nobody wants yet: as they were created, or by their ids, which are random."""
    order = "id" if apart else "created_at"
    rows = sql(
        database,
        f"SELECT id FROM contacts WHERE brevo_sync_status = 'New' ORDER BY {order} LIMIT :count",
        count=size * ROUNDS,
    )
    ids = [str(row.id) for row in rows]
    rounds = [ids[number::ROUNDS] if apart else ids[number * size :][:size] for number in range(ROUNDS)]
    return [json.dumps({"contact_ids": chosen, "crms": ["brevo"], "action": "select"}) for chosen in rounds]


def _give_up(database: Database) -> None:
    """One synced contact in 256 becomes one that was given up."""
    sql(
        database,
        "UPDATE contacts SET brevo_sync_status = 'Error', brevo_processing_status = 'Error' WHERE id IN "
        "(SELECT id FROM contacts WHERE brevo_sync_status = 'Complete' AND left(id::text, 2) = '00')",
    )
