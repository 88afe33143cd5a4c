"""Conditions that are awaited instead of slept for."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_for(what: Callable[[], T], seconds: float = 120.0, every: float = 0.3) -> T:
    """The first true value of `what()`; fails after `seconds`. What costs others time is asked seldom: they need it."""
    end = time.monotonic() + seconds
    while True:
        value = what()
        if value:
            return value
        assert time.monotonic() < end, f"waited {seconds} s in vain; the last value was {value!r}"
        time.sleep(every)
