"""Hands the slots of the shared gate to the threads of one batch."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple

from crm_pipeline.gate.gate import REFUSALS_BEFORE_CLOSED, Gate, Reservation
from crm_pipeline.model import News, NewsKind

CHUNK_SECONDS = 0.25
"""Slots reserved at once: few statements at a high rate, and another process's pause is seen within this time."""
STALE_SECONDS = 1.0
LEASE_TOO_SHORT = "the lease is too short for another request"
PAUSED = "the CRM asked for a pause"
LONGEST_WAITED_PAUSE_SECONDS = 60.0
POLL_SECONDS = 0.5
LOOK_SECONDS = 0.1
"""So long before its slot a sender that has waited looks for a pause: afterwards, its request would come late."""


class Slot(NamedTuple):
    """When one request may be sent, by this process's monotonic clock."""

    at: float
    throttled_at: datetime | None
    """The last pause when it was reserved: a later one makes it void."""


class Pacer:
    """`wait()` returns when its caller may send, or says why it may not.

    A pause that the CRM asked for is waited out up to `longest_pause` seconds; for one up to 60 s the reason is PAUSED.
    A longer one, a closed account or a CRM that is down end the batch for their cause. `requests` is how many the batch
    will need: slots beyond it are not reserved. With several `slots_per_request` all but the first of them stay empty,
    and others get the time.
    """

    def __init__(
        self,
        gate: Gate,
        requests: int,
        stop: threading.Event,
        monotonic: Callable[[], float] = time.monotonic,
        slots_per_request: int = 1,
        longest_pause: float = LONGEST_WAITED_PAUSE_SECONDS,
    ) -> None:
        self._gate = gate
        self._longest_pause = longest_pause
        self._slots_per_request = slots_per_request
        self._left = requests
        self._stop = stop
        self._monotonic = monotonic
        self._slots: deque[Slot] = deque()
        self._rate = gate.rate_per_second
        self._lock = threading.Lock()
        self._trouble = False  # failures, refusals or pauses, of any process, that the next good answer ends
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
            slot = self._take()
            now = self._monotonic()
            if isinstance(slot, Reservation):  # of nothing
                reason = self._reason_to_end(slot, latest - now)
                if reason is not None:
                    return reason
                self._stop.wait(min(slot.paused_seconds or POLL_SECONDS, POLL_SECONDS))
                continue
            if slot.at > latest:
                return LEASE_TOO_SHORT
            if slot.at - now > CHUNK_SECONDS:
                self._stop.wait(slot.at - LOOK_SECONDS - now)
                known = self._bad_news
                if not self._stop.is_set() and self._paused_since(slot):
                    continue
                now = self._monotonic()
            if slot.at > now:
                self._stop.wait(slot.at - now)
            if self._stop.is_set() or self._ended is not None:
                continue
            if self._bad_news != known and self._paused_since(slot):
                continue
            if self._monotonic() - slot.at <= STALE_SECONDS:
                return None
            # This process was stalled: its slot belongs to the past, and others have sent since.

    def tell(self, news: News, age_seconds: float = 0.0) -> int:
        """Tell the gate what a push taught that began so long ago; returns failures or refusals in a row.

        A good answer is written only when there is trouble to end: that saves a statement each.
        """
        if news.kind is NewsKind.WELL:
            if self._trouble:
                self._trouble = self._gate.tell(news, age_seconds) > 0
            else:
                self._gate.tell_limit(news.limit_per_second)
            return 0
        self._trouble = True
        with self._lock:  # nobody takes a slot before the gate knows
            in_a_row = self._gate.tell(news)
            if news.kind is not NewsKind.REFUSED or in_a_row >= REFUSALS_BEFORE_CLOSED:
                self._bad_news += 1
                self._slots.clear()  # the next sender asks the gate, and learns of the pause
        return in_a_row

    def _paused_since(self, slot: Slot) -> bool:
        """Did a pause begin while a slot was waited for? Then it and all others in hand are given up.

        A pause that is over already counts: the slots at its end are others', at a slower pace.
        """
        state = self._gate.state()
        if not state.paused and state.throttled_at == slot.throttled_at:
            return False
        with self._lock:
            self._slots.clear()
        return True

    def _take(self) -> Slot | Reservation:
        """A slot; or the reservation that brought none."""
        with self._lock:
            if not self._slots:
                wanted = max(1, min(int(self._rate * CHUNK_SECONDS), self._left))
                reservation = self._gate.reserve(wanted * self._slots_per_request, self._monotonic)
                self._trouble = self._trouble or reservation.trouble
                self._rate = reservation.rate_per_second
                if not reservation.delays:
                    return reservation
                delays = reservation.delays[:: self._slots_per_request]
                self._left = max(0, self._left - len(delays))
                self._slots.extend(Slot(reservation.made_at + delay, reservation.throttled_at) for delay in delays)
            return self._slots.popleft()

    def _reason_to_end(self, nothing: Reservation, seconds_left: float) -> str | None:
        """Why no slot is worth waiting for, or None. A pause that is too long ends the batch."""
        if not nothing.paused_seconds:
            return LEASE_TOO_SHORT if nothing.next_seconds > seconds_left else None
        if nothing.cause_kind is not NewsKind.THROTTLED or nothing.paused_seconds > LONGEST_WAITED_PAUSE_SECONDS:
            self._ended = nothing.cause or "the gate is paused"
        elif nothing.paused_seconds > seconds_left:
            self._ended = "the pause lasts longer than the lease"
        elif nothing.paused_seconds > self._longest_pause:
            self._ended = PAUSED
        return self._ended
