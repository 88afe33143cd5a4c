"""Dagster's pages, as a person clicks through them. Elements are found by their role and by what they say."""

from __future__ import annotations

import os
import re
from pathlib import Path

from playwright.sync_api import Page, expect

LINE = ".CodeMirror-line"
"""Of the Launchpad's editor, which has no roles."""
PICTURES = Path(os.environ["CRM_TESTS_PICTURES"]).resolve() if "CRM_TESTS_PICTURES" in os.environ else None
"""Where pictures of the pages are kept; None: nowhere."""


class Ui:
    """One person at one page of Dagster's UI."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url

    def picture(self, name: str) -> None:
        """For the documentation, when a folder for its pictures is named (`make screenshots`)."""
        if PICTURES is not None:
            self.page.wait_for_timeout(1000)  # animations
            self.page.screenshot(path=PICTURES / f"{name}.png")

    def job(self, name: str, tab: str) -> None:
        """*Jobs*, the job, one of its tabs."""
        self.page.goto(f"{self.url}/jobs")
        self.page.get_by_role("link", name=name).click()
        self.page.get_by_role("tab", name=tab).click()

    def launch_backfill(self, first: str, last: str, runs: int) -> None:
        """On *Partitions*: a backfill of all days from `first` to `last`."""
        self.choose_days(first, last, runs)
        dialog = self.page.get_by_role("dialog")
        dialog.get_by_role("button", name=f"Submit {runs} runs").click()
        expect(dialog).to_have_count(0)

    def choose_days(self, first: str, last: str, runs: int) -> None:
        """The dialog of the button *Launch backfill*, filled in."""
        self.page.get_by_role("button", name="Launch backfill").click()
        days = self.page.get_by_role("dialog").get_by_role("textbox", name=re.compile("^ex:"))
        days.fill(f"[{first}...{last}]")
        days.press("Tab")
        expect(self.page.get_by_role("button", name=f"Submit {runs} runs")).to_be_enabled()

    def partitions(self, which: str) -> int:
        """On *Partitions*: how many are `Total`, `Failed` or `Missing`."""
        shown = self.page.get_by_text(f"{which} partitions").locator("..")
        expect(shown).to_contain_text(re.compile(r"^\d"))
        return int(shown.inner_text().split()[0])

    def fill_in(self, field: str, value: str) -> None:
        """In the Launchpad: replace the value of one field of the config."""
        line = self.page.locator(LINE).filter(has_text=f"{field}: ")
        line.click()
        self.page.keyboard.press("End")
        for _ in line.inner_text().rstrip().partition(": ")[2]:
            self.page.keyboard.press("Backspace")
        self.page.keyboard.type(value)
        self.page.keyboard.press("Escape")  # its suggestions
        expect(line).to_have_text(re.compile(rf"{field}: {re.escape(value)}\s*$"))

    def launch_run(self) -> str:
        """In the Launchpad: launch it, and look at the run; its id."""
        self.page.get_by_role("button", name="Launch Run").click()
        return self._at_run()

    def run(self, run_id: str, job: str) -> None:
        """The job's *Runs*, and of these one."""
        self.job(job, "Runs")
        self.page.get_by_role("link", name=run_id[:8]).click()
        self._at_run()

    def re_execute(self) -> str:
        """At a run: *Re-execute all*; the new run's id."""
        before = self.page.url
        # Asked only once the backfill that the run belongs to is over.
        self.page.add_locator_handler(self.page.get_by_role("button", name="Confirm"), lambda button: button.click())
        self.page.get_by_role("button", name="Re-execute all").click()
        # The handler acts while something is awaited.
        expect(self.page).not_to_have_url(before)
        expect(self.page.get_by_role("button", name="View tags and config")).to_be_visible()
        return self._at_run()

    def terminate(self) -> None:
        """At a run: *Terminate*, and confirm it."""
        self.page.get_by_role("button", name="Terminate").click()
        self.page.get_by_role("dialog").get_by_role("button", name="Terminate 1 run").click()

    def wait_for_status(self, status: str) -> None:
        """At a run: until it is `Success`, `Failure` or `Canceled`."""
        expect(self.page.get_by_text(status, exact=True).first).to_be_visible()

    def asset(self, tab: str) -> None:
        """*Catalog*, `brevo/contacts`, one of its tabs."""
        self.page.goto(f"{self.url}/assets/brevo/contacts")
        self.page.get_by_role("tab", name=tab).click()

    def _at_run(self) -> str:
        self.page.wait_for_url(re.compile(r"/runs/[0-9a-f-]{36}"))
        return self.page.url.split("/runs/")[1][:36]
