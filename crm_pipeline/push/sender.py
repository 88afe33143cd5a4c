"""Sends the contacts of one claimed batch on several threads, each request at a slot of the gate."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent import futures
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any

from crm_pipeline.crms.protocol import Crm
from crm_pipeline.gate.gate import FAILURES_BEFORE_PAUSE, Gate
from crm_pipeline.gate.pacer import Pacer
from crm_pipeline.model import Answer, Contact, JournalEntry, NewsKind, Outcome, OutcomeKind
from crm_pipeline.push.alike import Alike, blocked, taught
from crm_pipeline.push.doubt import Doubt
from crm_pipeline.push.own import is_own, mark_own
from crm_pipeline.push.sandbox import Sandbox

STOPPED = "the run is being stopped"
STOP_SECONDS = 3.0
"""How long what is in flight may take to answer once the run is being stopped: it must be dead within 5 s."""
NO_RESULT = Outcome(OutcomeKind.FAILED, code="no_result", error="The CRM's answer did not name this contact")
LONGEST_PAUSE_SECONDS = 2.0
"""A longer one ends the sending: meanwhile people change their minds, here and at the CRM."""
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
        alike: Alike,
        doubt: Doubt,
        probe: bool,
        stop: threading.Event,
        slots_per_request: int,
    ) -> None:
        self._crm = crm
        self._gate = gate
        self._latest = lease_end - crm.limits.total_seconds - MARGIN_SECONDS
        self._retry_rejected = retry_rejected
        self._sandbox = sandbox
        self._alike = alike
        self._doubt = doubt
        self._stop = stop
        self._halt = threading.Event()
        self._pacer = Pacer(
            gate, len(contacts), self._halt, slots_per_request=slots_per_request, longest_pause=LONGEST_PAUSE_SECONDS
        )
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
        """A request was made that says something about the account."""
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
        while self._send_one() and not self._asked:
            pass

    def _work(self) -> None:
        while self._send_one():
            pass

    def _send_one(self) -> bool:
        """Send the next request; False: there is none, or nothing more may be sent."""
        with self._turn:
            contacts = None if self._halt.is_set() else next(self._next, None)
            if contacts is None:
                return False
            self._in_flight += 1
        try:
            return self._send(contacts)
        except BaseException:
            self._halt.set()
            raise
        finally:
            with self._turn:
                self._in_flight -= 1
                self._turn.notify_all()

    def _send(self, contacts: Sequence[Contact]) -> bool:
        """Push one request's contacts; False: nothing more may be sent."""
        started = time.monotonic()
        pushable = []
        for contact in contacts:
            reason = self._crm.reason_not_pushable(contact)
            if reason is None:
                pushable.append(contact)
            else:
                self._put(contact, Outcome(OutcomeKind.REJECTED, code="not_pushable", error=reason), started)
        if not pushable:
            return True
        if not self._alike.may_send(len(pushable), self._halt):
            return False
        try:
            return self._push(pushable)
        finally:
            self._alike.ended(len(pushable))

    def _push(self, contacts: Sequence[Contact]) -> bool:
        answered = self._ask(contacts)
        if answered is None:
            return self.stopped_because is None
        answer, throttled, started = answered
        note = f"sent again after {throttled} pauses that the CRM asked for" if throttled else None
        outcomes = {contact.id: _noted(answer.outcomes.get(contact.id, NO_RESULT), note) for contact in contacts}
        closed = answer.news.kind is NewsKind.CLOSED
        in_a_row = 0
        try:
            if answer.news.kind is NewsKind.WELL:
                news = taught(answer.news, outcomes.values())
                in_a_row = self._pacer.tell(news, time.monotonic() - started)
                closed = self._alike.told(news, in_a_row)
                if closed:
                    self._halt.set()  # nothing more, whatever the other threads are at
                    answer = replace(answer, news=news)
                    outcomes = {id_: blocked(outcome, news.sentence) for id_, outcome in outcomes.items()}
        finally:  # whatever becomes of the news, an answer is journalled
            # The second refusal in a row may be the account's fault already: it is tried again.
            straight_to_error = not self._retry_rejected and in_a_row <= 1
            for contact in contacts:
                outcome = outcomes[contact.id]
                if straight_to_error and outcome.refused and outcome.kind is OutcomeKind.FAILED:
                    outcome = replace(outcome, kind=OutcomeKind.REJECTED)
                self._put(contact, outcome, started)
        if closed:
            self.stopped_because = answer.news.sentence
        return not closed

    def _ask(self, contacts: Sequence[Contact]) -> tuple[Answer, int, float] | None:
        """All requests of one push, each at a slot of its own, and what each taught told to the gate.

        But for a last one after which all is well: the contact's outcome may say otherwise.

        Returns the last answer, how often it was throttled, and when its first request began. None: there is none, and
        these contacts' attempts are not counted.
        """
        ask: Callable[[], Answer] = partial(self._crm.push, contacts)
        throttled = 0
        first: float | None = None
        while True:
            refusal = self._pacer.wait(self._latest)
            if refusal is not None:
                if not self._halt.is_set():  # whoever has set it knows why
                    self.stopped_because = refusal
                return None
            first = first or time.monotonic()
            answer = mark_own(self._sandbox.guard(ask()), contacts, self._gate)
            if answer.news.kind is NewsKind.UNAVAILABLE and is_own(answer):
                return answer, throttled, first
            if answer.news.kind is NewsKind.DOUBTFUL:
                answer = self._settled(answer)
                if answer.news.kind not in (NewsKind.WELL, NewsKind.CLOSED):
                    return None  # nobody knows whose fault it was; the gate knows whether the others may go on
            self._asked = True
            if answer.news.kind is NewsKind.WELL:
                if answer.then is None:
                    return answer, throttled, first
                self._gate.tell_limit(answer.news.limit_per_second)
                ask = answer.then  # reads may be well although writes are not: nothing more is told
                continue
            failures = self._pacer.tell(answer.news)
            if answer.news.kind is NewsKind.THROTTLED:
                throttled += 1  # asked again after the pause; the attempt is not counted
                ask = partial(self._crm.push, contacts)  # from its beginning: somebody may have opted out meanwhile
            elif answer.news.kind is NewsKind.UNAVAILABLE and failures > FAILURES_BEFORE_PAUSE:
                self.stopped_because = answer.news.sentence
                return None  # the failures that opened the pause are enough, a probe is not counted
            else:
                return answer, throttled, first

    def _settled(self, answer: Answer) -> Answer:
        """A doubtful answer after `check()`: the contact's own refusal, or with what the check found in its place."""
        news = self._doubt.settled()
        if news.kind is not NewsKind.CLOSED:
            return replace(answer, news=news)
        outcomes = {contact_id: blocked(outcome, news.sentence) for contact_id, outcome in answer.outcomes.items()}
        return replace(answer, outcomes=outcomes, news=news)

    def _put(self, contact: Contact, outcome: Outcome, started: float) -> None:
        self._out.append(JournalEntry(contact.id, outcome, time.monotonic() - started))


def _noted(outcome: Outcome, note: str | None) -> Outcome:
    return replace(outcome, note="; ".join(filter(None, (outcome.note, note))) or None)
