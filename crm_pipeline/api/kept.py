"""Answers that cost much, kept for some seconds: whoever asks meanwhile gets the same."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from crm_pipeline.errors import PipelineError

T = TypeVar("T")
RETRY_SECONDS = 5.0


class Busy(PipelineError):
    """Another call works on the same; to be asked again in `seconds`."""

    def __init__(self, message: str, seconds: float) -> None:
        self.seconds = seconds
        super().__init__(message)


class Kept(Generic[T]):
    """One answer, found by one thread at a time and kept for `seconds`; failures are not kept."""

    def __init__(self, seconds: float, patience_seconds: float = 5.0) -> None:
        self._seconds = seconds
        self._patience_seconds = patience_seconds
        self._lock = threading.Lock()
        self._found: tuple[float, T] | None = None

    def get(self, find: Callable[[], T]) -> T:
        """The kept answer, or what `find()` returns now. Raises Busy when another thread takes long to find it."""
        if not self._lock.acquire(timeout=self._patience_seconds):
            raise Busy("Another call asks the same just now, and takes its time. Try again.", RETRY_SECONDS)
        try:
            if self._found is None or time.monotonic() - self._found[0] > self._seconds:
                self._found = (time.monotonic(), find())
            return self._found[1]
        finally:
            self._lock.release()
