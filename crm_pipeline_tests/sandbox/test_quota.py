"""How many requests an account answers, and what it says about it."""

from __future__ import annotations

import pytest

from crm_pipeline.sandbox.account import Account
from crm_pipeline.sandbox.quota import Limits, Quota
from crm_pipeline.sandbox.server import SandboxServer
from crm_pipeline_tests.sandbox.asking import Ask, refusal, upsert
from crm_pipeline_tests.support.sandbox import KEY

LIMITS = Limits(per_second=10, per_hour=36_000, elsewhere_per_hour=100)


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def quota(clock: Clock) -> Quota:
    quota = Quota(LIMITS, clock)
    quota.enforce()
    return quota


def answered(quota: Quota, requests: int, *, elsewhere: bool = False) -> int:
    """How many of so many requests at once are answered."""
    standings = [quota.take(elsewhere=elsewhere) for _ in range(requests)]
    return sum(1 for standing in standings if standing is None or not standing.refused)


def test_nothing_is_limited_until_a_limit_is_set() -> None:
    quota = Quota(LIMITS)
    assert answered(quota, 1000) == answered(quota, 1000, elsewhere=True) == 1000
    assert quota.take(elsewhere=False) is None
    assert quota.refused == 0


def test_in_any_second_ten_requests_are_answered_wherever_it_begins(quota: Quota, clock: Clock) -> None:
    assert answered(quota, 6) == 6
    clock.now += 0.6
    assert answered(quota, 6) == 4
    clock.now += 0.39
    assert answered(quota, 1) == 0, "0.99 s after the first six"
    clock.now += 0.02
    assert answered(quota, 10) == 6
    assert quota.refused == 2 + 1 + 4


def test_a_refused_request_uses_nothing_up(quota: Quota, clock: Clock) -> None:
    answered(quota, 500)
    clock.now += 1.01
    assert answered(quota, 500) == 10


def test_the_hour_is_limited_too(quota: Quota, clock: Clock) -> None:
    quota.per_hour = 25
    count = 0
    for _ in range(10):
        count += answered(quota, 5)
        clock.now += 2
    assert count == 25
    standing = quota.take(elsewhere=False)
    assert standing is not None
    assert (standing.limit, standing.remaining, standing.refused) == (25, 0, True)
    assert standing.reset_seconds == pytest.approx(3600 - 20)
    clock.now += 3600 - 19.9
    assert answered(quota, 10) == 5


def test_all_else_has_a_hundred_an_hour_of_its_own(quota: Quota, clock: Clock) -> None:
    assert answered(quota, 150, elsewhere=True) == 100
    assert answered(quota, 10) == 10, "contacts are not concerned"
    clock.now += 3601
    assert answered(quota, 150, elsewhere=True) == 100


def test_limits_change_while_requests_come(quota: Quota, clock: Clock) -> None:
    assert answered(quota, 10) == 10
    quota.per_second = 3
    assert answered(quota, 1) == 0
    clock.now += 1.01
    assert answered(quota, 10) == 3
    quota.per_second = None
    assert answered(quota, 100) == 100


@pytest.mark.parametrize(("others", "left"), [(0, 200), (7, 60), (9.5, 10), (10, 0), (40, 0)])
def test_what_another_tool_takes_is_not_there_for_us(quota: Quota, clock: Clock, others: float, left: int) -> None:
    quota.use_by_others(others)
    clock.now += 100
    count = 0
    for _ in range(20):
        count += answered(quota, 20)
        clock.now += 1.0000001
    assert count == left, "in 20 seconds"


def test_another_tools_requests_of_the_last_hour_count_when_it_has_slowed_down(quota: Quota, clock: Clock) -> None:
    quota.use_by_others(5)
    clock.now += 1800
    quota.use_by_others(0)
    quota.per_hour = 9_010
    clock.now += 10
    assert answered(quota, 100) == 10, "9,000 are theirs, 10 are left"
    clock.now += 1800
    assert answered(quota, 100) == 10
    quota.per_second = None
    assert answered(quota, 100) == 40, "the first 50 of theirs are over an hour old, 20 are ours"


def test_the_next_request_is_answered_after_the_seconds_that_were_named(quota: Quota, clock: Clock) -> None:
    for _ in range(10):
        quota.take(elsewhere=False)
        clock.now += 0.05
    refused = quota.take(elsewhere=False)
    assert refused is not None
    assert refused.refused
    clock.now += refused.reset_seconds - 0.001
    assert answered(quota, 1) == 0
    clock.now += 0.002
    assert answered(quota, 1) == 1


def test_over_the_limit_is_429_and_every_answer_says_how_much_is_left(ask: Ask, account: Account) -> None:
    account.quota.per_second = 2
    answers = [upsert(ask, f"person-{n}@example.com") for n in range(5)]
    assert [answer.status_code for answer in answers] == [201, 201, 429, 429, 429]
    left = [
        tuple(answer.headers[f"x-sib-ratelimit-{name}"] for name in ("limit", "remaining", "reset"))
        for answer in answers
    ]
    assert left == [("2", "1", "1"), ("2", "0", "1"), *[("2", "0", "1")] * 3]
    assert refusal(answers[2])[1] == "too_many_requests"
    assert account.quota.refused == 3


def test_a_refused_push_has_arrived_and_stores_nothing(ask: Ask, account: Account) -> None:
    account.quota.per_second = 0
    upsert(ask, "ann@example.com")
    ask("PUT", "/contacts/lee%2B1%40example.com", {})
    assert [address for _, address in account.received] == ["ann@example.com", "lee+1@example.com"]
    assert account.contacts() == []


def test_everything_outside_contacts_comes_under_the_other_limit(ask: Ask, account: Account) -> None:
    account.quota.per_second, account.quota.elsewhere_per_hour = 2, 1
    assert ask("GET", "/account").headers["x-sib-ratelimit-limit"] == "1"
    assert [ask("GET", path).status_code for path in ("/account", "/nothing", "/processes", "/contactsx")] == [429] * 4
    assert [ask("GET", path).status_code for path in ("/contacts/attributes", "/contacts/lists", "/contacts")] == [
        200,
        200,
        429,
    ]
    assert int(ask("GET", "/account").headers["x-sib-ratelimit-reset"]) in range(3590, 3601)


def test_a_request_without_the_key_uses_nothing_up(ask: Ask, account: Account) -> None:
    account.quota.per_second = 1
    assert [ask("GET", "/contacts", key="wrong").status_code for _ in range(3)] == [401] * 3
    assert ask("GET", "/contacts").status_code == 200


@pytest.mark.parametrize(
    ("form", "body"), [("model", b'{"code":"too_many_requests","message":"Rate limit exceeded"}'), ("empty", b"")]
)
def test_the_body_of_a_429_is_a_switch(ask: Ask, account: Account, form: str, body: bytes) -> None:
    account.quota.per_second, account.switches.throttled_body = 0, form
    assert ask("GET", "/contacts").content == body


def test_a_429_may_be_a_page_and_name_its_pause_otherwise(ask: Ask, account: Account) -> None:
    account.quota.per_second, account.switches.throttled_body = 0, "html"
    account.switches.retry_after = "present"
    answer = ask("GET", "/contacts")
    assert answer.headers["content-type"] == "text/html"
    assert answer.headers["retry-after"] == "1"
    account.switches.reset_header = "milliseconds"
    assert ask("GET", "/contacts").headers["x-sib-ratelimit-reset"] == "1000"
    account.switches.reset_header, account.switches.retry_after = "absent", "absent"
    headers = ask("GET", "/contacts").headers
    assert not {"x-sib-ratelimit-reset", "retry-after"} & set(headers)


def test_without_limits_no_answer_speaks_of_them(ask: Ask) -> None:
    assert not [name for name in upsert(ask, "ann@example.com").headers if "ratelimit" in name]


def test_a_server_with_a_quota_has_the_documented_limits() -> None:
    with SandboxServer(api_key=KEY, quota=True) as server:
        assert server.account("brevo").quota.limits == LIMITS
