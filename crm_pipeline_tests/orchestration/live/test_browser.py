"""What people do in Dagster's UI, clicked in Chromium."""

from __future__ import annotations

import re
import time
from datetime import timedelta

import pytest
from playwright.sync_api import Page, expect

from crm_pipeline.database.engine import Database
from crm_pipeline.sandbox.account import Account
from crm_pipeline_tests.orchestration.days import TODAY
from crm_pipeline_tests.orchestration.live.stack import Dagster
from crm_pipeline_tests.orchestration.live.ui import PICTURES, Ui
from crm_pipeline_tests.support.contacts import insert, insert_many, pairs, sql
from crm_pipeline_tests.support.waiting import wait_for

pytestmark = [pytest.mark.browser, pytest.mark.ui, pytest.mark.timeout(300)]
DAYS = [str(TODAY - timedelta(days=back)) for back in (3, 2, 1)]
LINE_COLOUR = [79, 67, 221]
THREADS = 16
COUNT_PIXELS = """(canvas, colour) => {
    const {data} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    let found = 0;
    for (let i = 0; i < data.length; i += 4) found += colour.every((part, j) => data[i + j] === part);
    return found;
}"""


@pytest.fixture(autouse=True)
def nothing_runs_by_itself(dagster: Dagster) -> None:
    """What is due waits until somebody launches a run."""
    dagster.stop_sensor("brevo_retry_sensor")
    dagster.stop_schedule("brevo_sync_schedule")


@pytest.fixture
def ui(page: Page, dagster: Dagster) -> Ui:
    return Ui(page, dagster.url.removesuffix("/graphql"))


def days_of(dagster: Dagster, status: str) -> dict[str, str]:
    """Days and ids of the backfill's runs of this status."""
    runs = [run for run in dagster.runs("brevo_backfill") if run["status"] == status]
    return {tag["value"]: run["runId"] for run in runs for tag in run["tags"] if tag["key"] == "dagster/partition"}


def sync_several_times(database: Database, dagster: Dagster) -> None:
    """For plots that are worth a look: more each time, and some of them refused."""
    for number in range(6):
        for contact in range(20 + 17 * number):
            insert(database, f"{number}-{contact}@example.com")
        for contact in range(number):
            insert(database, f"{number}-{contact}@invalid")
        run_id = dagster.launch("brevo_sync")
        wait_for(lambda run_id=run_id: dagster.run(run_id)["status"] == "SUCCESS")  # type: ignore[misc]


def test_of_three_days_launched_on_the_partitions_page_one_fails_is_run_again_and_all_are_green(
    database: Database, account: Account, dagster: Dagster, ui: Ui
) -> None:
    for number, day in enumerate(DAYS):
        for i in range(5):
            insert(database, f"{number}-{i}@example.com", created_at=f"{day} 12:00:00+00")
    hold = account.faults.hold(lambda address: address.startswith("1-"), before_storing=True)
    ui.job("brevo_backfill", "Partitions")
    assert ui.partitions("Total") == ui.partitions("Missing") == 4
    ui.launch_backfill(DAYS[0], DAYS[2], runs=3)
    hold.wait_for(5, 120)
    wait_for(lambda: days_of(dagster, "SUCCESS").keys() == {DAYS[0], DAYS[2]})
    account.faults.answer = lambda _: (401, {"code": "unauthorized", "message": "Key not found"})
    hold.release()
    failed = wait_for(lambda: days_of(dagster, "FAILURE"))
    assert failed.keys() == {DAYS[1]}
    assert pairs(database) == {"Complete/Complete": 10, "Queued/Error": 5}
    ui.job("brevo_backfill", "Partitions")
    assert (ui.partitions("Failed"), ui.partitions("Missing")) == (1, 1)
    ui.picture("backfill-one-day-failed")

    account.faults.clear()
    ui.run(failed[DAYS[1]], "brevo_backfill")
    expect(ui.page.get_by_text(re.compile("Brevo does not accept the key.*Check BREVO_API_KEY")).first).to_be_visible()
    again = ui.re_execute()
    ui.wait_for_status("Success")
    assert days_of(dagster, "SUCCESS").keys() == set(DAYS)
    assert days_of(dagster, "SUCCESS")[DAYS[1]] == again
    assert pairs(database) == {"Complete/Complete": 15}
    ui.job("brevo_backfill", "Partitions")
    assert (ui.partitions("Failed"), ui.partitions("Missing")) == (0, 1)


def test_requeue_in_the_launchpad_describes_its_fields_and_is_a_dry_run_until_told_otherwise(
    database: Database, account: Account, ui: Ui
) -> None:
    for i in range(3):
        insert(database, f"given-up-{i}@example.com", "Error", "Error", brevo_processing_error="Invalid phone number")
    insert(database, "complete@example.com", "Complete", "Complete")
    ui.job("brevo_requeue", "Launchpad")
    ui.fill_in("error_contains", "phone")
    described = ui.page.get_by_role("code")
    for field, description in {
        "emails": "Addresses, any case. Dagster keeps what is filled in here; ids keep addresses out of it.",
        "ids": "Contacts' ids.",
        "all_given_up": "true: every contact that was given up or refused (Error at rest).",
        "error_contains": "Those of them whose error contains this text, any case, such as `Invalid phone number`.",
        "dry_run": "true: show who it would be, and change nothing.",
    }.items():
        expect(described).to_contain_text(re.compile(rf"/\* {re.escape(description)} \*/\s*{field}\?: "))
    ui.picture("requeue-launchpad")
    ui.launch_run()
    ui.wait_for_status("Success")
    expect(ui.page.get_by_text("Dry run: 3 contacts would be queued again.")).to_be_visible()
    shown = ui.page.get_by_role("cell", name="contacts_before").locator("..").get_by_role("row")
    expect(shown.filter(has_text="Error / Error")).to_have_count(3)
    expect(shown.filter(has_text="g***@example.com")).to_have_count(3)
    assert pairs(database) == {"Error/Error": 3, "Complete/Complete": 1}

    ui.job("brevo_requeue", "Launchpad")
    expect(ui.page.locator(".CodeMirror")).to_contain_text("error_contains: phone")  # kept from before
    ui.fill_in("dry_run", "false")
    ui.launch_run()
    ui.wait_for_status("Success")
    expect(ui.page.get_by_text("3 of 3 contacts are queued again.")).to_be_visible()
    assert pairs(database) == {"Selected/Queued": 3, "Complete/Complete": 1}
    assert account.received == []


def test_the_page_of_brevos_contacts_shows_plots_checks_and_where_the_contacts_come_from(
    database: Database, account: Account, dagster: Dagster, ui: Ui
) -> None:
    if PICTURES is not None:
        sync_several_times(database, dagster)
    insert_many(database, 7)
    insert(database, "nobody-wants@example.com", "New", "Queued")
    run_id = dagster.launch("brevo_sync")
    wait_for(lambda: dagster.run(run_id)["status"] == "SUCCESS")

    ui.asset("Overview")
    row = ui.page.get_by_role("row").filter(has=ui.page.get_by_role("cell", name="synced", exact=True))
    expect(row.get_by_role("cell", name="7", exact=True)).to_be_visible()
    ui.page.get_by_role("button", name="Plots").click()
    for name in ("synced", "failed", "given_up", "queued", "waiting", "throughput_per_second", "p95_ms"):
        plot = ui.page.get_by_text(name, exact=True).locator("../..").locator("canvas")
        wait_for(lambda plot=plot: plot.evaluate(COUNT_PIXELS, LINE_COLOUR) > 10, 30)  # type: ignore[misc]
    ui.picture("plots")

    ui.asset("Checks")
    for check, says in {
        "drift": "The database is as it must be.",
        "pace": "Contacts may be sent.",
        "refusals": "pushes of the last 24 hours failed or were rejected.",
        "freshness": re.compile(r"\d+ contacts got their answer within the last 15 minutes; 0 are due."),
        "loss_ledger": "Queued, although nobody wants them (New or Skipped): 1 contacts.",
    }.items():
        state = "Failed" if check == "loss_ledger" else "Succeeded"
        ui.page.get_by_title(check).click()
        expect(ui.page.get_by_title(check).locator("../..")).to_contain_text(state)
        expect(ui.page.get_by_text(says)).to_be_visible()
    ui.picture("checks")

    ui.asset("Lineage")
    table, at_the_crm = ui.page.get_by_text("Postgres", exact=True), ui.page.get_by_text("brevo", exact=True).last
    ui.page.get_by_role("button", name="Upstream").click()
    expect(table).to_be_visible()
    expect(at_the_crm).to_be_visible()
    ui.picture("lineage")
    ui.page.get_by_role("button", name="Downstream").click()
    expect(table).to_have_count(0)
    expect(at_the_crm).to_be_visible()


def test_a_run_terminated_by_the_button_is_dead_within_5_s_and_what_was_not_sent_has_the_statuses_it_had(
    database: Database, account: Account, dagster: Dagster, ui: Ui
) -> None:
    due = [("Selected", "Queued"), ("Queued", "Queued"), ("Complete", "Queued"), ("Error", "Queued")]
    before = {f"{n}@example.com": due[n % 4] for n in range(640)}
    for email, statuses in before.items():
        insert(database, email, *statuses)
    account.faults.latency_seconds = 1.0
    ui.job("brevo_sync", "Launchpad")
    ui.picture("sync-launchpad")
    run_id = ui.launch_run()
    wait_for(lambda: account.received, every=0.05)
    process = dagster.run_process(run_id)
    ui.terminate()
    clicked, sent_before = time.monotonic(), len(account.received)
    wait_for(lambda: not process.is_running(), 5, 0.05)
    assert time.monotonic() - clicked < 5
    ui.wait_for_status("Canceled")
    sent = {address for _, address in account.received}
    assert len(sent) <= sent_before + 2 * THREADS
    rows = sql(database, "SELECT email, brevo_sync_status, brevo_processing_status FROM contacts")
    after = {row.email: (row.brevo_sync_status, row.brevo_processing_status) for row in rows}
    assert after == before | dict.fromkeys(sent, ("Complete", "Complete"))
    assert sql(database, "SELECT FROM crm_sync WHERE lease_id IS NOT NULL OR crashes > 0 OR retry_count > 0") == []
