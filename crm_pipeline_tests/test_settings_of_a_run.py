"""What follows from a CRM's settings: its pace, and the size of runs and batches."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st

from crm_pipeline.crms.registry import CRMS
from crm_pipeline.settings import CrmSettings, SyncSettings


def crm(rate: float | None = None, smallest: int = 10) -> CrmSettings:
    sync = SyncSettings(rate_per_second=rate, scheduler_batch_size=smallest)
    return CrmSettings(spec=CRMS["brevo"], sync=sync, credentials=None)


def test_the_default_rate_leaves_a_fifth_of_the_account_to_other_tools() -> None:
    assert crm().rate_per_second == 8
    spec = replace(CRMS["brevo"], account_requests_per_second=100)
    assert CrmSettings(spec=spec, sync=SyncSettings(), credentials=None).rate_per_second == 80


def test_the_default_quota_of_an_hour_is_all_that_the_account_allows() -> None:
    assert crm().requests_per_hour == 36_000
    spec = replace(CRMS["brevo"], account_requests_per_hour=500)
    assert CrmSettings(spec=spec, sync=SyncSettings(), credentials=None).requests_per_hour == 500


@pytest.mark.parametrize(("rate", "most"), [(None, 1920), (20, 4800), (0.1, 24), (2000, 480_000)])
def test_a_run_takes_what_the_rate_allows_in_four_minutes(rate: float | None, most: int) -> None:
    assert crm(rate).max_contacts_per_run == most


@pytest.mark.parametrize(
    ("listed", "rate", "size"),
    [
        (0, None, 10), (1, None, 10), (200, None, 10), (201, None, 11), (1920, None, 96), (5000, None, 160),
        (100_000, 100, 500), (10, 0.1, 2), (10, 0.4, 8),
    ],
)  # fmt: skip
def test_a_batch_is_a_twentieth_of_the_run_within_its_limits(listed: int, rate: float | None, size: int) -> None:
    assert crm(rate).batch_size(listed) == size


@budget(deadline=None)
@given(listed=st.integers(0, 200_000), rate=st.floats(0.1, 2000), smallest=st.integers(1, 500))
def test_no_batch_is_longer_than_20_seconds_or_500_contacts_and_a_run_has_no_more_than_20_of_those_that_fit(
    listed: int, rate: float, smallest: int
) -> None:
    size = crm(rate, smallest).batch_size(listed)
    assert 1 <= size <= 500
    assert size == 1 or size / rate <= 20
    cut_short = size == 500 or size + 1 > rate * 20
    assert cut_short or size >= smallest
    assert cut_short or listed / size <= 20
    assert size <= max(smallest, -(-listed // 20)), "no larger than need be"
