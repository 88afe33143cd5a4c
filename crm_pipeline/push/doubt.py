"""The account's fault, or this contact's? `check()` decides, once for all who doubt at the same time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from crm_pipeline.model import CheckResult, News, NewsKind


class Doubt:
    """Settles the doubts of one batch. `check` asks the account and tells the gate."""

    def __init__(self, check: Callable[[], CheckResult]) -> None:
        self._check = check
        self._lock = threading.Lock()
        self._known: tuple[float, News] = (float("-inf"), News(NewsKind.WELL))

    def settled(self) -> News:
        """What is known of the account now: WELL, and the answer was the contact's own; or what the check found."""
        asked_at = time.monotonic()
        with self._lock:
            if self._known[0] >= asked_at:
                return self._known[1]  # asked for another contact while this one waited
            began = time.monotonic()
            self._known = (began, self._check().news)
            return self._known[1]
