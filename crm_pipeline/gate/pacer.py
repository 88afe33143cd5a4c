"""Hands the slots of the shared gate to the threads of one batch."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

from crm_pipeline.gate.gate import Gate
from crm_pipeline.model import News, NewsKind

CHUNK_SECONDS = 0.25
"""Slots reserved at once: few statements at a high rate, and another process's pause is seen within this time."""
STALE_SECONDS = 1.0
LONGEST_WAITED_PAUSE_SECONDS = 60.0


class Pacer:
    """`wait()` returns when its caller may send, or says why it may not.

    A pause that the CRM asked for is waited out up to 60 s; a longer one, a closed account or a CRM that is down ends
    the batch. `requests` is how many the batch will need: slots beyond it are not reserved.
    """

    def __init__(
        self,
        gate: Gate,
        requests: int,
        stop: threading.Event,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._gate = gate
        self._left = requests
        self._stop = stop
        self._monotonic = monotonic
        self._slots: deque[float] = deque()
        self._lock = threading.Lock()
        self._trouble = False  # failures or pauses, told by any process, that the next good answer ends
        self._bad_news = 0
        self._ended: str | None = None

    def wait(self, latest: float) -> str | None:
        """Wait for a slot; None: send now, else the reason not to. `latest`: monotonic time to give up."""
        while True:
            if self._stop.is_set():
                return "the run is being stopped"
            if self._ended is not None:
                return self._ended
            known = self._bad_news
            slot, pause = self._take()
            now = self._monotonic()
            if pause is not None:
                reason, seconds = pause
                if reason is not None or now + seconds > latest:
                    self._ended = reason or "the pause lasts longer than the lease"
                    return self._ended
                self._stop.wait(min(seconds, 0.5))
                continue
            if slot > latest:
                return "the lease is too short for another request"
            if slot > now:
                self._stop.wait(slot - now)
            if self._stop.is_set() or self._ended is not None:
                continue
            if (self._bad_news != known or slot - now > CHUNK_SECONDS) and self._paused_meanwhile():
                continue
            if self._monotonic() - slot <= STALE_SECONDS:
                return None
            # This process was stalled: its slot belongs to the past, and others have sent since.

    def tell(self, news: News) -> int:
        """Tell the gate. A good answer is written only when there is trouble to end: that saves a statement each."""
        if news.kind is NewsKind.WELL and not self._trouble:
            return 0
        self._trouble = news.kind is NewsKind.UNAVAILABLE
        if news.kind is NewsKind.WELL:
            return self._gate.tell(news)
        with self._lock:  # nobody takes a slot before the gate knows
            failures = self._gate.tell(news)
            self._bad_news += 1
            self._slots.clear()  # the next sender asks the gate, and learns of the pause
        return failures

    def _paused_meanwhile(self) -> bool:
        """Did a pause begin while a slot was waited for? Then it and all others in hand are given up."""
        if not self._gate.state().paused:
            return False
        with self._lock:
            self._slots.clear()
        return True

    def _take(self) -> tuple[float, tuple[str | None, float] | None]:
        """A slot, or (reason to end or None to wait, seconds)."""
        with self._lock:
            if self._slots:
                return self._slots.popleft(), None
            wanted = max(1, min(int(self._gate.rate_per_second * CHUNK_SECONDS), self._left))
            asked = self._monotonic()
            reservation = self._gate.reserve(wanted)
            trouble = reservation.failures_in_a_row + reservation.pauses_in_a_row > 0
            self._trouble = self._trouble or trouble
            if reservation.delays:
                self._left = max(0, self._left - wanted)
                # Counted from before the statement: waiting for its answer does not push the slots back.
                self._slots.extend(asked + delay for delay in reservation.delays)
                return self._slots.popleft(), None
        waits = (
            reservation.cause_kind is NewsKind.THROTTLED and reservation.paused_seconds <= LONGEST_WAITED_PAUSE_SECONDS
        )
        return 0.0, (None if waits else reservation.cause or "the gate is paused", reservation.paused_seconds)
