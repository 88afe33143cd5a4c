"""`crm-pipeline failures` groups contacts that failed by what their errors have in common."""

from __future__ import annotations

import json
import re

import pytest
import yaml

from crm_pipeline.contacts.chosen import given_up
from crm_pipeline.contacts.failure_groups import failure_groups
from crm_pipeline.contacts.queue import Queue
from crm_pipeline.database.engine import Database
from crm_pipeline_tests.cli.conftest import Run
from crm_pipeline_tests.support.contacts import insert, insert_many

REFUSED = "Brevo refuses list {} for {}, request {} (HTTP 400, invalid_parameter)"


def fail(database: Database, email: str, error: str, waiting: bool = False) -> str:
    error = error if waiting else f"Max retries exceeded (3). Last error: {error}"
    columns = {"brevo_processing_error": error, "last_failed_crm": "brevo", "last_retry_at": "2026-01-31 09:00:00+00"}
    return str(insert(database, email, "Queued" if waiting else "Error", "Error", **columns))


def test_the_same_cause_makes_one_group_whatever_numbers_addresses_and_ids_its_errors_name(queue: Queue) -> None:
    database = queue.database
    fail(database, "ann@example.com", REFUSED.format(12, "a***@example.com", "3f1c0e8a"))
    fail(database, "bob@example.com", REFUSED.format(7, "bob.lee@example.org", "aa11bb22cc33"), waiting=True)
    fail(database, "cas@example.com", REFUSED.format(345, "c***@x.de", "0b6f6f0e-5a3c-4a59-9d0e-2f6f1f6f7a11"))
    fail(database, "dan@example.com", "Brevo does not answer (HTTP 503)")
    fail(database, "eve@example.com", "Brevo does not answer (HTTP 502)")
    insert_many(database, 3)
    insert(database, "fay@example.com", "Complete", "Complete", brevo_processing_error="of old")
    found = failure_groups(queue, 10)
    assert [(group.cause, group.waiting, group.given_up) for group in found.groups] == [
        (REFUSED.format("#", "#", "#"), 1, 2),
        ("Brevo does not answer (HTTP 502)", 0, 1),
        ("Brevo does not answer (HTTP 503)", 0, 1),
    ]
    assert (found.causes, found.contacts) == (3, 5)


def test_the_text_that_is_offered_for_a_requeue_chooses_the_whole_group(queue: Queue) -> None:
    ids = [
        fail(queue.database, f"{name}@example.com", REFUSED.format(number, f"{name}@x.de", number))
        for number, name in enumerate(("ann", "bob", "cas"))
    ]
    fail(queue.database, "dan@example.com", "Brevo does not answer (HTTP 503)")
    group = failure_groups(queue, 1).groups[0]
    assert group.contains is not None
    assert sorted(map(str, given_up(queue, group.contains))) == sorted(ids)


@pytest.mark.usefixtures("environment")
def test_each_cause_is_shown_with_its_count_an_example_and_the_next_command(database: Database, run: Run) -> None:
    assert "No contact has failed at Brevo" in run("failures").out
    ids = [fail(database, f"p{number}@example.com", "Invalid [b]email[/b] address") for number in range(3)]
    waits = fail(database, "waits@example.com", "Slow down bob@example.org", waiting=True)
    said = run("failures")
    assert said.code == 0
    for part in (
        "4 contacts failed at Brevo, for 2 causes:",
        "3 contacts: given up, the last 2026-01-31 09:00:00 UTC",
        "Last error: Invalid [b]email[/b] address",
        f"One of them, p***@example.com: crm-pipeline contacts why {min(ids)}",
        'launch brevo_requeue in Dagster with error_contains: "Invalid [b]email[/b] address"',
        "1 contact: waiting for the retry",
        f"They are tried again by themselves. One of them, w***@example.com: crm-pipeline contacts why {waits}",
    ):
        assert part in said.out
    assert "bob@example.org" not in said.out
    assert "waits@example.com" not in said.out
    assert "more: `" not in said.out
    assert "... and 1 cause more: `crm-pipeline failures --limit 2`." in run("failures", "--limit", "1").out


@pytest.mark.usefixtures("environment")
def test_the_line_for_the_requeue_is_yaml_whatever_the_error_says(database: Database, run: Run) -> None:
    for number in range(2):
        fail(database, f"p{number}@example.com", 'A "quoted" \\ thing is wrong\nsecond line')
    (line,) = re.findall(r"with (error_contains: .*?) One of them", run("failures").out)
    assert yaml.safe_load(line) == {"error_contains": 'A "quoted" \\ thing is wrong'}


@pytest.mark.usefixtures("environment")
def test_programs_get_one_document(database: Database, run: Run) -> None:
    contact_id = fail(database, "ann@example.com", "Invalid email address")
    assert json.loads(run("failures", "--json").out) == {
        "crm": "brevo",
        "contacts": 1,
        "causes": 1,
        "groups": [
            {
                "cause": "Invalid email address",
                "contacts": 1,
                "waiting": 0,
                "given_up": 1,
                "last_at": "2026-01-31T09:00:00+00:00",
                "example": {
                    "contact_id": contact_id,
                    "email": "a***@example.com",
                    "error": "Max retries exceeded (3). Last error: Invalid email address",
                },
                "what_to_do": f"Mend what the error names, then: crm-pipeline contacts select {contact_id}",
                "command": f"crm-pipeline contacts why {contact_id}",
            }
        ],
    }
