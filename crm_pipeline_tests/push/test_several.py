"""A CRM that takes several contacts in one request: outcomes are matched by id, and each contact has its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from crm_pipeline.crms.protocol import Crm
from crm_pipeline.database.engine import Database
from crm_pipeline.model import WELL, Answer, Contact, News, NewsKind, Outcome
from crm_pipeline.sandbox.account import Account
from crm_pipeline_tests.push.pushing import Pushing
from crm_pipeline_tests.support.contacts import attempts, insert, insert_many, pair, pairs

SIZE = 10


class Several:
    """The real module, ten contacts a request: it pushes them one after the other and gives one answer."""

    def __init__(self, crm: Crm, unnamed: str = "") -> None:
        self._crm = crm
        self._unnamed = unnamed
        self.limits = replace(crm.limits, contacts_per_request=SIZE)
        self.requests: list[int] = []

    def push(self, contacts: Sequence[Contact]) -> Answer:
        self.requests.append(len(contacts))
        answers = [self._crm.push([contact]) for contact in contacts]
        news: News = next((answer.news for answer in answers if answer.news.kind is not NewsKind.WELL), WELL)
        outcomes: dict[Any, Outcome] = {}
        for contact, answer in zip(reversed(contacts), reversed(answers), strict=True):
            if contact.email != self._unnamed:
                outcomes |= answer.outcomes
        return Answer(outcomes, news, answers[0].sandbox)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._crm, name)


def test_a_batch_is_sent_in_requests_of_as_many_contacts_as_the_crm_takes(
    database: Database, account: Account, sync: Pushing
) -> None:
    insert_many(database, 25)
    several = Several(sync.crm)
    result = sync.another(crm=several, lease=sync.lease).push_and_write_back()
    assert sorted(several.requests) == [5, 10, 10]
    assert dict(result.outcomes) == {"synced": 25}
    assert pairs(database) == {"Complete/Complete": 25}
    assert len({address for _, address in account.received}) == 25


def test_each_contact_of_a_request_gets_its_own_outcome(database: Database, account: Account, sync: Pushing) -> None:
    insert_many(database, 8)
    ann = insert(database, "ann@example.com")
    nobody = insert(database, "")
    account.faults.answer = lambda address: (400, {"message": "no"}) if address == "ann@example.com" else None
    several = Several(sync.crm)
    result = sync.another(crm=several, lease=sync.lease).push_and_write_back()
    assert several.requests == [9], "what cannot be pushed is left out"
    assert dict(result.outcomes) == {"synced": 8, "failed": 1, "rejected": 1}
    assert (pair(database, ann), pair(database, nobody)) == (("Queued", "Error"), ("Error", "Error"))


def test_a_contact_that_the_answer_does_not_name_is_retried(database: Database, sync: Pushing) -> None:
    insert_many(database, 5)
    ann = insert(database, "ann@example.com")
    several = Several(sync.crm, unnamed="ann@example.com")
    result = sync.another(crm=several, lease=sync.lease).push_and_write_back()
    assert dict(result.outcomes) == {"synced": 5, "failed": 1}
    assert pair(database, ann) == ("Queued", "Error")
    (attempt,) = attempts(database, ann)
    assert (attempt.code, attempt.error) == ("no_result", "The CRM's answer did not name this contact")
