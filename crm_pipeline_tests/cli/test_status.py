"""`crm-pipeline status` says what is on, queued, pushed and paused, from indexes alone, and what a person must do."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import time
from typing import Any

import pytest

from crm_pipeline.cli.stack import program
from crm_pipeline.contacts.queue import Queue
from crm_pipeline.contacts.standing import last_run, standing
from crm_pipeline.database.engine import Database
from crm_pipeline.sandbox.account import Account
from crm_pipeline_tests.cli.conftest import Run
from crm_pipeline_tests.contacts.plans import Plans, command, fill
from crm_pipeline_tests.support.contacts import insert, insert_many, sql

pytestmark = pytest.mark.usefixtures("environment")
JOURNAL = (
    "INSERT INTO crm_attempts (crm, contact_id, run_id, lease_id, attempt, target, started_at, outcome) "
    "SELECT 'brevo', id, 'run-' || n % 3, gen_random_uuid(), 1, 'api', now() - interval '1 minute', 'failed' "
    "FROM (SELECT id, row_number() OVER (ORDER BY id) AS n FROM contacts) c WHERE n <= 50"
)


def brevo(document: str) -> dict[str, Any]:
    (crm,) = json.loads(document)["crms"]
    return dict(crm)


def test_it_counts_what_is_due_waiting_being_pushed_and_given_up_and_tells_the_last_run(
    database: Database, account: Account, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    insert(database, "ann@example.com")
    insert(database, "nobody@invalid")
    monkeypatch.setenv("BREVO_SYNC_MAX_RETRIES", "0")
    assert run("sync", "brevo").code == 0
    insert_many(database, 3)
    waits = insert(database, "bob@example.com", "Queued", "Error")
    waited = insert(database, "eve@example.com", "Queued", "Error")
    unselected = insert(database, "fay@example.com", "New", None)
    held = insert(database, "cas@example.com", "Processing", "Processing")
    left = insert(database, "dan@example.com", "Processing", "Processing")
    sql(
        database,
        "INSERT INTO crm_sync (contact_id, crm, next_retry_at, lease_id, leased_until) VALUES "
        "(:waits, 'brevo', '2100-01-01 00:00:00+00', NULL, NULL), "
        "(:waited, 'brevo', '2000-01-01 00:00:00+00', NULL, NULL), "
        "(:unselected, 'brevo', '2000-01-01 00:00:00+00', NULL, NULL), "
        "(:held, 'brevo', NULL, gen_random_uuid(), now() + interval '1 hour'), "
        "(:left, 'brevo', NULL, gen_random_uuid(), now() - interval '1 hour')",
        waits=waits,
        waited=waited,
        unselected=unselected,
        held=held,
        left=left,
    )
    said = run("status", "--json")
    found = brevo(said.out)
    assert said.code == 0
    assert found["queue"] | {"oldest_due_seconds": 0} == {
        "due": 3,
        "oldest_due_seconds": 0,
        "waiting": 2,
        "retry_over": 1,
        "next_retry_at": "2100-01-01T00:00:00+00:00",
        "being_pushed": 1,
        "lease_over": 1,
        "given_up_24h": 1,
    }
    assert found["recent"]["pushes"] == dict.fromkeys(found["recent"]["pushes"], 0) | {"synced": 1, "failed": 1}
    assert found["last_run"]["pushes"] == {"failed": 1, "synced": 1}
    (attempt,) = sql(database, "SELECT DISTINCT run_id FROM crm_attempts")
    assert found["last_run"]["run_id"] == attempt.run_id
    assert (found["gate"]["state"], found["gate"]["rate_per_second"]) == ("open", 200)
    assert found["gate"]["hour"]["allowed"] == 36_000
    assert found["gate"]["hour"]["used"] >= 2
    page = run("status").out
    for part in (
        "Brevo on: every 5 minutes",
        "Due now 3, the oldest not changed for",
        "Waiting 2 for their retry, 1 of them just till the next run, the next at 2100-01-01 00:00:00 UTC",
        "In flight 1, and 1 that their process left behind",
        "Given up 1 in 24 hours",
        "open, 200 requests/s",
        "Last run 1 synced, 1 failed",
        f"run {attempt.run_id}",
        "`crm-pipeline failures --crm brevo`",
    ):
        assert part in page
    monkeypatch.setenv("CRM_PIPELINE_DAGSTER_URL", "https://dagster.example.com/")
    assert f"https://dagster.example.com/runs/{attempt.run_id}" in run("status").out


def test_a_gate_closed_for_cause_ends_with_1_and_says_what_to_do(
    database: Database, account: Account, run: Run
) -> None:
    insert_many(database, 3)
    account.api_key = "another"
    assert run("sync", "brevo").code == 1
    said = run("status")
    assert said.code == 1
    assert "Gate closed till" in said.out
    assert "BREVO_API_KEY" in said.out
    assert "Then `crm-pipeline brevo check` opens the gate at once." in said.out
    said = run("status", "--json")
    assert (said.code, brevo(said.out)["gate"]["state"]) == (1, "closed")


def test_a_pause_is_nobodys_to_end_and_is_shown_with_its_end_and_cause(
    database: Database, account: Account, run: Run
) -> None:
    insert_many(database, 30)
    account.faults.answer = lambda _: (503, "<html>down</html>")
    assert run("sync", "brevo").code == 0
    said = run("status", "--json")
    gate = brevo(said.out)["gate"]
    assert (said.code, gate["state"], gate["cause_kind"]) == (0, "paused", "unavailable")
    assert gate["paused_until"] is not None
    page = run("status").out
    assert "paused till" in page
    assert gate["cause"] in page
    assert "To do nothing" in page


def test_an_open_gate_behind_which_nobody_answers_is_not_called_well(
    database: Database, account: Account, run: Run
) -> None:
    insert(database, "ann@example.com")
    account.faults.answer = lambda _: (503, "<html>down</html>")
    assert run("sync", "brevo").code == 0
    said = run("status", "--json")
    gate = brevo(said.out)["gate"]
    assert (said.code, gate["state"]) == (0, "open")
    assert gate["failures_in_a_row"] > 0
    page = run("status").out
    assert f"requests in a row without a usable answer: {gate['failures_in_a_row']}" in page
    assert "To do `crm-pipeline brevo check` says why Brevo gives no usable answer." in page


def test_a_crm_without_its_key_is_disabled_and_the_variable_named(
    database: Database, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BREVO_API_KEY")
    insert(database, "ann@example.com")
    said = run("status")
    assert said.code == 0
    assert "Brevo disabled: BREVO_API_KEY is not set" in said.out
    assert "Due now 1," in said.out
    assert brevo(run("status", "--json").out)["disabled_because"] == "BREVO_API_KEY is not set"


def test_what_is_due_while_no_run_takes_it_is_something_to_look_at(database: Database, run: Run) -> None:
    assert "To do nothing" in run("status").out
    insert(database, "ann@example.com")
    assert "1 contact could be pushed, and no run takes them: is Dagster running" in run("status").out
    assert run("sync", "brevo").code == 0
    insert(database, "bob@example.com")
    assert "To do nothing" in run("status").out, "a run has just been"


def test_an_unreachable_database_ends_with_2_and_the_watch_needs_a_terminal(
    monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    watched = run("status", "--watch")
    assert (watched.code, "--watch needs a terminal" in watched.err) == (2, True)
    monkeypatch.setenv("DATABASE_URL", "postgresql://user:s3cret@127.0.0.1:1/app")
    said = run("status")
    assert (said.code, said.out) == (2, "")
    assert "DATABASE_URL (host 127.0.0.1, port 1, database app)" in said.err


def test_neither_the_table_nor_the_journal_is_read_from_end_to_end(queue: Queue) -> None:
    database = queue.database
    fill(database, 20_000)
    sql(database, JOURNAL)
    sql(database, "UPDATE contacts SET brevo_sync_status = 'Error', brevo_processing_status = 'Error'")
    for statistics in (False, True):
        if statistics:
            command(database, "VACUUM ANALYZE")
        plans = Plans(database).of(lambda: (standing(queue), last_run(queue)))
        assert [plan.scanned for plan in plans] == [[], []]
        assert sum(plan.rows_looked_at for plan in plans) < 1_000
    assert standing(queue).given_up == 50
    last = last_run(queue)
    assert last is not None
    assert sum(last.pushes.values()) in (16, 17)


def test_the_watch_shows_what_changes_until_ctrl_c_and_ends_without_a_word(database: Database) -> None:
    terminal, inside = pty.openpty()
    environment = os.environ | {"COLUMNS": "120", "LINES": "40", "TERM": "xterm"}
    process = subprocess.Popen(
        [program("crm-pipeline"), "status", "--watch"], stdin=inside, stdout=inside, stderr=inside, env=environment
    )
    os.close(inside)
    try:
        shown = read_until(terminal, "nothing was pushed")
        insert(database, "ann@example.com")
        shown += read_until(terminal, "1, the oldest not changed for")
        process.send_signal(signal.SIGINT)
        assert "Traceback" not in shown + rest_of(terminal)  # read to its end: a full terminal would hold it up
        assert process.wait(10) == 0
    finally:
        process.kill()
        os.close(terminal)


def read_until(terminal: int, text: str) -> str:
    shown, end = "", time.monotonic() + 30
    while text not in shown:
        assert time.monotonic() < end, shown
        shown += os.read(terminal, 65536).decode(errors="replace")
    return shown


def rest_of(terminal: int) -> str:
    shown = b""
    try:
        while part := os.read(terminal, 65536):
            shown += part
    except OSError:  # the other end is closed
        pass
    return shown.decode(errors="replace")
