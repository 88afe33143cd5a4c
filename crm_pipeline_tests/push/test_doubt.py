"""A 403, 404, 405 or 406 may be the account's fault or the contact's: `check()` is asked before either is believed."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from crm_pipeline.database.engine import Database
from crm_pipeline.model import Answer, CheckResult, Contact, News, NewsKind
from crm_pipeline.push.doubt import Doubt
from crm_pipeline.sandbox.account import Account
from crm_pipeline_tests.push.pushing import Pushing
from crm_pipeline_tests.support.contacts import attempts, contact, insert, insert_many, pair, sql

DOUBTFUL = [403, 404, 405, 406]


def refuse(account: Account, status: int, *addresses: str) -> None:
    """These are answered so (all, when none is named), and the account's own questions as usual."""
    account.faults.answer = lambda sent: (
        (status, {"code": "x", "message": "not this one"}) if not addresses or sent in addresses else None
    )


def close(sync: Pushing, account: Account) -> None:
    """The account is closed from now on, for questions about it too; pushes are answered as they were."""
    sync.parts.crm.prepare()
    account.lists.clear()
    sync.crm._list_id = 7  # type: ignore[attr-defined] (a list that there is not)


@pytest.mark.parametrize("status", DOUBTFUL)
def test_when_the_account_is_well_the_refusal_is_the_contacts_own_and_the_others_go_on(
    database: Database, account: Account, sync: Pushing, status: int
) -> None:
    ann = insert(database, "ann@example.com")
    insert_many(database, 30)
    refuse(account, status, "ann@example.com")
    result = sync.push_and_write_back()
    assert dict(result.outcomes) == {"synced": 30, "failed": 1}
    row = contact(database, ann)
    assert (pair(database, ann), row.retry_count) == (("Queued", "Error"), 1)
    assert row.brevo_processing_error == f"not this one (x, HTTP {status})"
    assert sync.gate.state().cause_kind is None


@pytest.mark.parametrize("status", DOUBTFUL)
def test_when_the_check_finds_a_fault_the_contact_waits_uncounted_with_what_it_found(
    database: Database, account: Account, sync: Pushing, status: int
) -> None:
    ann = insert(database, "ann@example.com")
    refuse(account, status)
    close(sync, account)
    result = sync.push_and_write_back()
    assert dict(result.outcomes) == {"blocked": 1}
    row = contact(database, ann)
    assert (pair(database, ann), row.retry_count) == (("Queued", "Error"), 0)
    assert "BREVO_LIST_ID" in row.brevo_processing_error
    state = sync.gate.state()
    assert state.cause_kind is NewsKind.CLOSED
    assert "BREVO_LIST_ID" in str(state.cause)


def test_what_nobody_can_settle_is_given_back_uncounted(database: Database, account: Account, sync: Pushing) -> None:
    ann = insert(database, "ann@example.com")
    refuse(account, 403)
    sync.parts.crm.prepare()
    sync.crm.check = lambda: CheckResult(News(NewsKind.UNAVAILABLE, "it is down"))  # type: ignore[method-assign]
    result = sync.push_and_write_back()
    assert dict(result.outcomes) == {"released": 1}
    assert (pair(database, ann), contact(database, ann).retry_count) == (("Selected", "Queued"), 0)
    assert [attempt.outcome for attempt in attempts(database, ann)] == ["released"]


def test_one_whose_check_meets_a_429_is_given_back_and_the_others_go_on(
    database: Database, account: Account, sync: Pushing, monkeypatch: pytest.MonkeyPatch
) -> None:
    insert_many(database, 30)
    refuse(account, 403, "person-7@example.com")
    monkeypatch.setattr(sync.crm, "check", lambda: CheckResult(News(NewsKind.THROTTLED, "slow down", 1)))
    result = sync.push()
    assert (dict(result.outcomes), result.stopped_because) == ({"synced": 29, "released": 1}, None)


def test_contacts_that_doubt_at_once_share_one_check(database: Database, account: Account, sync: Pushing) -> None:
    insert_many(database, 12)
    asked = []
    check = sync.crm.check
    sync.crm.check = lambda: asked.append(1) or check()  # type: ignore[method-assign,func-returns-value]
    with account.faults.hold() as hold:
        refuse(account, 403)
        with sync.pushing() as done:
            hold.wait_for(12)
            hold.release()
        assert dict(done.result().outcomes) == {"failed": 12}
    assert 1 <= len(asked) <= 6, "not one for each of the twelve"


def test_a_check_takes_slots_like_every_request(database: Database, account: Account, sync: Pushing) -> None:
    insert(database, "ann@example.com")
    refuse(account, 403)
    sync.parts.crm.prepare()
    (before,) = sql(database, "SELECT hour_used FROM crm_gate WHERE crm = 'brevo'")
    sync.push()
    (after,) = sql(database, "SELECT hour_used FROM crm_gate WHERE crm = 'brevo'")
    assert after.hour_used - before.hour_used >= 3


def test_a_check_that_found_a_fault_is_shared_by_all_who_waited_for_it() -> None:
    asked: list[int] = []
    waiting = threading.Barrier(6)

    def check() -> CheckResult:
        asked.append(1)
        time.sleep(0.2)  # the others come meanwhile
        return CheckResult(News(NewsKind.CLOSED, "the list is gone"))

    doubt = Doubt(check)

    def settle() -> News:
        waiting.wait()
        return doubt.settled()

    with ThreadPoolExecutor(6) as threads:
        found = [future.result() for future in [threads.submit(settle) for _ in range(6)]]
    assert {news.kind for news in found} == {NewsKind.CLOSED}
    assert len(asked) <= 2, "the first, and one for all who came while it was under way"


def opt_out(account: Account, address: str) -> None:
    kept = account.contact(address)
    assert kept is not None
    account.save(replace(kept, extra={**kept.extra, "emailBlacklisted": True}))


def test_an_opt_out_during_the_pause_that_another_met_within_a_renaming_is_seen(
    database: Database, account: Account, sync: Pushing, monkeypatch: pytest.MonkeyPatch
) -> None:
    insert(database, "old@example.com")
    sync.push_and_write_back()
    moved = "UPDATE contacts SET email = 'new@example.com', brevo_sync_status = 'Selected', "
    sql(database, f"{moved} brevo_processing_status = 'Queued'")
    look = sync.crm.push

    def looked_and_then_paused(contacts: Sequence[Contact]) -> Answer:
        answer = look(contacts)
        if answer.then is not None:  # it had not opted out
            sync.gate.tell(News(NewsKind.THROTTLED, "another process met a 429", 3))
            opt_out(account, "old@example.com")
        return answer

    monkeypatch.setattr(sync.crm, "push", looked_and_then_paused)
    assert dict(sync.another().push().outcomes) == {"skipped": 1}
    assert [(kept.email, kept.extra["emailBlacklisted"]) for kept in account.contacts()] == [("old@example.com", True)]


def test_an_opt_out_during_a_pause_within_a_renaming_is_seen(
    database: Database, account: Account, sync: Pushing
) -> None:
    insert(database, "old@example.com")
    sync.push_and_write_back()
    moved = "UPDATE contacts SET email = 'new@example.com', brevo_sync_status = 'Selected', "
    sql(database, f"{moved} brevo_processing_status = 'Queued'")

    def once(_address: str) -> tuple[int, None] | None:
        account.faults.answer = None
        opt_out(account, "old@example.com")
        return 429, None

    account.faults.answer = once
    sync.another().push()
    assert [(kept.email, kept.extra["emailBlacklisted"]) for kept in account.contacts()] == [("old@example.com", True)]
    assert [row.outcome for row in sql(database, "SELECT outcome FROM crm_attempts ORDER BY id")] == [
        *("synced", "skipped"),
    ]
