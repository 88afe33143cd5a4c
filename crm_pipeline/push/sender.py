"""Sends the contacts of one claimed batch on several threads, each request at a slot of the gate."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent import futures
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from crm_pipeline.crms.protocol import Crm
from crm_pipeline.gate.gate import FAILURES_BEFORE_PAUSE, Gate
from crm_pipeline.gate.pacer import Pacer
from crm_pipeline.model import Contact, JournalEntry, NewsKind, Outcome, OutcomeKind
from crm_pipeline.push.sandbox import Sandbox

STOPPED = "the run is being stopped"
STOP_SECONDS = 3.0
"""How long what is in flight may take to answer once the run is being stopped: it must be dead within 5 s."""
MARGIN_SECONDS = 5.0
"""Lease that must be left, beyond one request's longest duration, when a request starts."""


class Sender:
    """Threads that take contacts one request at a time, until all are sent or something forbids the next request.

    Outcomes arrive by `results()`; contacts without one were not pushed, or their request was cut short. An exception
    in a thread is a bug: it halts the others and is raised by `results()`. `stop` is the whole run's, and only read.
    """

    def __init__(
        self,
        crm: Crm,
        gate: Gate,
        contacts: Sequence[Contact],
        *,
        lease_end: float,
        threads: int,
        retry_rejected: bool,
        sandbox: Sandbox,
        probe: bool,
        stop: threading.Event,
    ) -> None:
        self._crm = crm
        self._latest = lease_end - crm.limits.total_seconds - MARGIN_SECONDS
        self._retry_rejected = retry_rejected
        self._sandbox = sandbox
        self._stop = stop
        self._halt = threading.Event()
        self._pacer = Pacer(gate, len(contacts), self._halt)
        self._out: list[JournalEntry] = []
        self._yielded = 0
        self.stopped_because: str | None = None
        size = crm.limits.contacts_per_request
        self._requests = [contacts[i : i + size] for i in range(0, len(contacts), size)]
        self._next = iter(self._requests)
        self._turn = threading.Condition()
        self._in_flight = 0
        self._probe = probe
        self._asked = False
        """A request was made."""
        self._threads = min(threads, len(self._requests))
        self._executor = ThreadPoolExecutor(self._threads, thread_name_prefix="push")

    def results(self, every_seconds: float, most: int) -> Iterator[list[JournalEntry]]:
        """Outcomes as they come: as soon as `most` are there, and at least once in `every_seconds`.

        Ends when all contacts are sent or nothing more may be; once stopped, 3 s later at most, whatever is in flight.
        """
        if self._probe:
            yield from self._pump([self._executor.submit(self._send_probe)], every_seconds, most)
        if self.stopped_because is None:
            yield from self._pump(
                [self._executor.submit(self._work) for _ in range(self._threads)], every_seconds, most
            )

    def halt(self) -> list[JournalEntry]:
        """Send nothing more; what is in flight has 3 s to answer.

        Returns all outcomes: an interrupt may have come between their arrival and their journal.
        """
        with self._turn:
            self._halt.set()
            # Not the futures: an interrupt may have come before they were known to anyone.
            self._turn.wait_for(lambda: self._in_flight == 0, STOP_SECONDS)
        return list(self._out)

    def close(self) -> None:
        """Join the threads."""
        self._halt.set()
        self._executor.shutdown(wait=True, cancel_futures=True)

    def _pump(self, started: list[Future[Any]], every_seconds: float, most: int) -> Iterator[list[JournalEntry]]:
        flushed = time.monotonic()
        give_up = math.inf
        while not all(future.done() for future in started) and time.monotonic() < give_up:
            futures.wait(started, timeout=0.05)
            if self._stop.is_set() and not self._halt.is_set():
                self._halt.set()
                self.stopped_because = STOPPED
                give_up = time.monotonic() + STOP_SECONDS
            if len(self._out) - self._yielded >= most or time.monotonic() - flushed >= every_seconds:
                yield self._taken()
                flushed = time.monotonic()
        yield self._taken()
        for future in started:
            if future.done():
                future.result()

    def _taken(self) -> list[JournalEntry]:
        entries = self._out[self._yielded :]
        self._yielded += len(entries)
        return entries

    def _send_probe(self) -> None:
        """The one request after an outage. What cannot be pushed makes none: then the next contact is the one."""
        while self._send_one(probe=True) and not self._asked:
            pass

    def _work(self) -> None:
        while self._send_one():
            pass

    def _send_one(self, probe: bool = False) -> bool:
        """Send the next request; False: there is none, or nothing more may be sent."""
        with self._turn:
            contacts = None if self._halt.is_set() else next(self._next, None)
            if contacts is None:
                return False
            self._in_flight += 1
        try:
            return self._send(contacts, probe)
        except BaseException:
            self._halt.set()
            raise
        finally:
            with self._turn:
                self._in_flight -= 1
                self._turn.notify_all()

    def _send(self, contacts: Sequence[Contact], probe: bool) -> bool:
        """Push one request's contacts; False: nothing more may be sent."""
        started = time.monotonic()
        pushable = []
        for contact in contacts:
            reason = self._crm.reason_not_pushable(contact)
            if reason is None:
                pushable.append(contact)
            else:
                self._put(contact, Outcome(OutcomeKind.REJECTED, code="not_pushable", error=reason), started)
        throttled = 0
        while pushable:
            refusal = self._pacer.wait(self._latest)
            if refusal is not None:
                self.stopped_because = refusal
                return False
            started = time.monotonic()
            self._asked = True
            answer = self._sandbox.guard(self._crm.push(pushable))
            failures = self._pacer.tell(answer.news)
            if answer.news.kind is NewsKind.THROTTLED:
                throttled += 1
                continue  # sent again after the pause; the attempt is not counted
            known_outage = answer.news.kind is NewsKind.UNAVAILABLE and failures > FAILURES_BEFORE_PAUSE and not probe
            if known_outage:
                self.stopped_because = answer.news.sentence
                return False  # the failures that opened the pause are enough: this contact's attempt is not counted
            note = f"sent again after {throttled} pauses that the CRM asked for" if throttled else None
            for contact in pushable:
                outcome = answer.outcomes.get(contact.id)
                if outcome is None:
                    outcome = Outcome(
                        OutcomeKind.FAILED, code="no_result", error="The CRM's answer did not name this contact"
                    )
                self._put(
                    contact, replace(outcome, note="; ".join(filter(None, (outcome.note, note))) or None), started
                )
            if answer.news.kind is NewsKind.CLOSED:
                self.stopped_because = answer.news.sentence
                return False
            return True
        return True

    def _put(self, contact: Contact, outcome: Outcome, started: float) -> None:
        if outcome.refused and outcome.kind is OutcomeKind.FAILED and not self._retry_rejected:
            outcome = replace(outcome, kind=OutcomeKind.REJECTED)
        self._out.append(JournalEntry(contact.id, outcome, time.monotonic() - started))
