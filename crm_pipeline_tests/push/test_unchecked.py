"""Before a check has passed nobody knows what the server is: nothing is sent."""

from __future__ import annotations

from crm_pipeline.database.engine import Database
from crm_pipeline.gate.gate import Gate
from crm_pipeline.model import News, NewsKind
from crm_pipeline.sandbox.account import Account
from crm_pipeline_tests.crms.brevo_account import connected
from crm_pipeline_tests.push.pushing import Pushing
from crm_pipeline_tests.support.contacts import insert_many, pairs
from crm_pipeline_tests.support.sandbox import KEY


def test_nothing_is_sent_to_an_account_that_has_never_answered_a_check(
    database: Database, account: Account, sync: Pushing
) -> None:
    insert_many(database, 3)
    with connected(account.url, 4, api_key=KEY + "-new") as brevo:
        gate = Gate(database, "brevo", brevo.identity, 100)
        gate.begin()
        result = Pushing(sync.queue, gate, brevo, 4).push_and_write_back()
    assert result.claimed == 0
    assert "has not answered yet" in str(result.stopped_because)
    assert account.received == []
    assert pairs(database) == {"Selected/Queued": 3}


def test_a_run_by_hand_asks_a_closed_account_again_and_goes_on_when_it_is_well(
    database: Database, account: Account, sync: Pushing
) -> None:
    insert_many(database, 3)
    sync.gate.tell(News(NewsKind.CLOSED, "Brevo has no list with this number."))
    assert sync.gate.state().paused
    assert not sync.parts.begin(sync.stop).paused
    sync.push_and_write_back()
    assert pairs(database) == {"Complete/Complete": 3}
