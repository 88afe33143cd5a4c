"""Answers that cost much are found once for all who ask."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from crm_pipeline.api.kept import Busy, Kept


def counting() -> Iterator[int]:
    yield from range(1, 100)


def test_an_answer_is_kept_for_its_time_and_then_found_anew() -> None:
    numbers = counting()
    kept, expired = Kept[int](60), Kept[int](-1)
    assert [kept.get(lambda: next(numbers)) for _ in range(3)] == [1, 1, 1]
    assert [expired.get(lambda: next(numbers)) for _ in range(3)] == [2, 3, 4]


def test_a_failure_is_not_kept_and_keeps_nobody_waiting() -> None:
    kept = Kept[int](60, patience_seconds=0)
    with pytest.raises(ZeroDivisionError):
        kept.get(lambda: 1 // 0)
    assert kept.get(lambda: 7) == 7


def test_who_asks_while_another_finds_the_answer_gets_the_same_or_is_told_to_come_back() -> None:
    kept, hasty = Kept[int](60), Kept[int](60, patience_seconds=0)
    finding, go_on = threading.Event(), threading.Event()
    answers: list[int] = []

    def slow() -> int:
        finding.set()
        go_on.wait(10)
        return 7

    for one in (kept, hasty):
        finding.clear()
        go_on.clear()
        first = threading.Thread(target=lambda one=one: answers.append(one.get(slow)))  # type: ignore[misc]
        first.start()
        assert finding.wait(10)
        if one is hasty:
            with pytest.raises(Busy):
                one.get(lambda: 8)
        threading.Timer(0.05, go_on.set).start()
        assert one is hasty or one.get(lambda: 8) == 7
        first.join()
    assert answers == [7, 7]
