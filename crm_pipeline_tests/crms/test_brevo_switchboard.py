"""Colleagues who share their company's switchboard's number: all are synced, one of them with it."""

from __future__ import annotations

import pytest

from crm_pipeline.database.engine import Database
from crm_pipeline.sandbox.account import Account
from crm_pipeline_tests.crms.test_brevo_taken_over import whole_run
from crm_pipeline_tests.push.pushing import Pushing
from crm_pipeline_tests.support.contacts import insert, pairs, sql


@pytest.mark.parametrize("metadata", [True, False])
def test_they_use_up_no_attempt_and_close_no_account(
    metadata: bool, database: Database, account: Account, sync: Pushing
) -> None:
    account.switches.duplicate_metadata = metadata
    for n in range(25):
        insert(database, f"staff-{n}@example.com", name="Ann", phone_number="+33144556677")
    assert whole_run(sync) == {"synced": 25}
    assert pairs(database) == {"Complete/Complete": 25}
    assert sync.gate.state().cause_kind is None
    assert sum("SMS" in contact.attributes for contact in account.contacts()) == 1
    said = "sent without SMS: another contact has it"
    assert sql(database, "SELECT count(*) FROM crm_attempts WHERE note = :said", said=said) == [(24,)]


def test_numbers_that_brevo_calls_invalid_hold_nobody_back_either(
    database: Database, account: Account, sync: Pushing
) -> None:
    answered = set()

    def answer(address: str) -> tuple[int, dict[str, str]] | None:
        if address in answered:
            return None
        answered.add(address)
        return 400, {"code": "invalid_parameter", "message": "Invalid phone number"}

    account.faults.answer = answer
    for n in range(25):
        insert(database, f"staff-{n}@example.com", phone_number="+33144556677")
    assert whole_run(sync) == {"synced": 25}
    assert sync.gate.state().cause_kind is None
    assert not [contact for contact in account.contacts() if "SMS" in contact.attributes]
