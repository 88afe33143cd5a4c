"""What the shared pace comes to at a sandbox that keeps Brevo's limits: 1, 2 and 4 runs, the limit itself, a pause, and
another tool that takes half of the account. Each run is a `crm-pipeline sync` of its own, as in real life."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.progress import Progress

from benchmarks.measured import Measured
from benchmarks.server import data_folder
from crm_pipeline.database.embedded import EmbeddedPostgres
from crm_pipeline.database.engine import Database
from crm_pipeline.database.upgrade import upgrade
from crm_pipeline.sandbox.account import Account
from crm_pipeline.sandbox.record import Exchanged
from crm_pipeline.sandbox.server import SandboxServer
from crm_pipeline_tests.support.contacts import insert_many, pairs, sql

KEY = "benchmark-key"
LATENCY_SECONDS = 0.05
PAUSE_SECONDS = 5.0
IN_FLIGHT_SECONDS = 0.5
"""What was sent before its process knew of the pause has arrived so long after the 429."""
MOST_REQUESTS = 20_000


def measure(progress: Progress) -> list[Measured]:
    """Requests per second, refusals, attempts used up, and the silence of a pause."""
    found = []
    for processes in (1, 2, 4):
        with _runs(progress, f"8/s by {processes}", contacts=320, processes=processes, rate=8) as runs:
            found += [
                _at_least(f"8/s, {processes} runs: requests/s", runs.per_second, 0.98 * 8),
                _at_most(f"8/s, {processes} runs: 429s", runs.refused, 0),
                runs.unburnt(f"8/s, {processes} runs"),
            ]
    with _runs(progress, "10/s, the limit itself", contacts=480, processes=2, rate=10) as runs:
        found += [
            _at_least("10/s against a limit of 10, 2 runs: requests/s", runs.per_second, 9.2),
            _at_most("10/s against a limit of 10, 2 runs: 429s in %", 100 * runs.refused / len(runs.requests), 1),
            runs.unburnt("10/s against a limit of 10"),
        ]
    with _runs(progress, "a pause of 5 s", contacts=240, processes=2, rate=8, prepare=_one_pause) as runs:
        begin = next(one for one in runs.requests if one.status == 429).at.timestamp()
        after = [one.at.timestamp() - begin for one in runs.requests if one.at.timestamp() > begin + IN_FLIGHT_SECONDS]
        found += [
            _at_least("a pause of 5 s, 2 runs: first request after s", after[0], PAUSE_SECONDS),
            _at_most("a pause of 5 s, 2 runs: first request after its end, s", after[0] - PAUSE_SECONDS, 0.5),
            _at_most("a pause of 5 s, 2 runs: most requests in a second after it", _most_in_a_second(after), 9),
            runs.unburnt("a pause of 5 s"),
        ]
    with _runs(progress, "half is another tool's", contacts=840, processes=2, rate=8, prepare=_half_used) as runs:
        found += [
            _at_least("another tool takes 5 of 10/s, 2 runs: requests/s", runs.per_second, 0.9 * 5),
            Measured("another tool takes 5 of 10/s, 2 runs: 429s", f"{runs.refused} of {len(runs.requests)}"),
            runs.unburnt("another tool takes 5 of 10/s"),
        ]
    return found


@dataclass(frozen=True)
class Runs:
    """What one or several runs at a time have come to."""

    requests: list[Exchanged]
    """All that count against the limit of a second, in order of arrival."""
    attempts_burnt: int
    """Beyond one for each contact."""

    @property
    def refused(self) -> int:
        """429s."""
        return sum(one.status == 429 for one in self.requests)

    @property
    def per_second(self) -> float:
        """Requests that were answered, from the first push to the last."""
        first, *_, last = [one.at for one in self.requests if one.addresses]
        answered = sum(one.status != 429 and first <= one.at <= last for one in self.requests)
        return (answered - 1) / (last - first).total_seconds()

    def unburnt(self, what: str) -> Measured:
        """Contacts need one attempt each."""
        return _at_most(f"{what}: attempts burnt", self.attempts_burnt, 0)


@contextmanager
def _runs(
    progress: Progress,
    what: str,
    *,
    contacts: int,
    processes: int,
    rate: float,
    prepare: Callable[[Account], None] = lambda _: None,
) -> Iterator[Runs]:
    """So many `sync`s at once until all contacts are pushed, with a database and a sandbox of their own."""
    task = progress.add_task(what, total=contacts)
    with data_folder() as folder, SandboxServer(api_key=KEY, quota=True) as server:
        account = server.account("brevo")
        account.faults.latency_seconds = LATENCY_SECONDS
        prepare(account)
        database = Database(EmbeddedPostgres(folder).start().url())
        upgrade(database)
        insert_many(database, contacts)
        command = [str(Path(sys.executable).with_name("crm-pipeline")), "sync", "brevo"]
        started = [
            subprocess.Popen(
                command, env=_environment(folder, account, rate), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
            )
            for _ in range(processes)
        ]
        while any(process.poll() is None for process in started):
            time.sleep(0.2)
            progress.update(task, completed=len(account.contacts()))
        for process in started:
            assert process.stdout is not None
            assert process.returncode == 0, process.stdout.read().decode()[-3000:]
        assert pairs(database) == {"Complete/Complete": contacts}
        (burnt,) = sql(
            database,
            "SELECT count(*) - :contacts AS n FROM crm_attempts WHERE outcome <> 'released'",
            contacts=contacts,
        )
        database.dispose()
        requests = [one for one in reversed(account.record.last(MOST_REQUESTS)) if "/contacts" in one.path]
    yield Runs(requests, burnt.n)


def _environment(folder: Path, account: Account, rate: float) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "CRM_PIPELINE_DATA_DIR": str(folder),
        "CRM_PIPELINE_ENV_FILE": "",
        "BREVO_API_KEY": KEY,
        "BREVO_API_BASE_URL": account.url,
        "BREVO_SYNC_RATE_PER_SECOND": str(rate),
    }


def _one_pause(account: Account) -> None:
    """The 80th push meets a 429 that asks for 5 s."""

    asked = False

    def answer(_address: str) -> tuple[int, Any, dict[str, str]] | None:
        nonlocal asked
        if asked or account.received_count < 80:
            return None
        asked = True
        return 429, {"code": "too_many_requests"}, {"Retry-After": f"{PAUSE_SECONDS:.0f}"}

    account.faults.answer = answer


def _half_used(account: Account) -> None:
    account.quota.use_by_others(5)


def _most_in_a_second(times: list[float]) -> int:
    return max(sum(0 <= other - one < 1 for other in times) for one in times)


def _at_least(what: str, value: float, goal: float) -> Measured:
    return Measured(what, f"{value:.2f}", f">= {goal:g}", value >= goal)


def _at_most(what: str, value: float, goal: float) -> Measured:
    return Measured(what, f"{value:.3g}", f"<= {goal:g}", value <= goal)
