"""One batch: claim -> send -> journal; and what a run asks before its first claim."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from uuid import UUID

from crm_pipeline.contacts.queue import Queue
from crm_pipeline.contacts.which import Which
from crm_pipeline.crms.protocol import Crm, SetupStep
from crm_pipeline.errors import ActionNeeded, DatabaseFailure
from crm_pipeline.gate.gate import Gate, GateState
from crm_pipeline.gate.pacer import LONGEST_WAITED_PAUSE_SECONDS, PAUSED, POLL_SECONDS, Pacer
from crm_pipeline.model import Batch, CheckResult, NewsKind, OutcomeKind, PushResult
from crm_pipeline.push.alike import Alike
from crm_pipeline.push.doubt import Doubt
from crm_pipeline.push.sandbox import Sandbox
from crm_pipeline.push.sender import STOPPED, Sender

logger = logging.getLogger(__name__)
SHORTEST_LEASE_SECONDS = 120.0
JOURNAL_SECONDS = 1.0
JOURNAL_ENTRIES = 50
CHECK_REQUESTS = 2
SLOT_SECONDS = 30.0
"""How long a question about the account waits for its slot, beside a pause."""
BACKFILL_SLOTS = 2
"""Slots of the gate that a backfill's request takes while live contacts wait."""
UNCHECKED = "the CRM has not answered yet whether this account is usable, and is asked again by the next run"
"""Before a check has passed, nobody knows whether the server is a CRM or a sandbox: nothing is sent."""


@dataclass(frozen=True)
class Push:
    """One CRM's queue, gate and account, put together to push batches."""

    queue: Queue
    gate: Gate
    crm: Crm
    threads: int
    retry_rejected: bool
    sandbox: Sandbox
    prepared: threading.Event = field(default_factory=threading.Event, init=False)
    """The CRM has read what pushes need to know of the account."""

    def begin(self, stop: threading.Event) -> GateState:
        """Before a run's first claim: write the rate; ask `check()` when it is due. Returns the gate's state.

        Raises ActionNeeded when the account is closed for cause (the gate stays closed until a check passes), and
        SandboxMismatch. A CRM that is merely down or pausing raises nothing: the gate is paused then.
        """
        state = self.gate.begin()
        closed = state.cause_kind is NewsKind.CLOSED  # whoever starts a run then has mended something
        if state.needs_check and (closed or not state.paused):
            self._note_prepared(self.check(stop))
            state = self.gate.state()
        elif not state.paused:
            self._prepare(stop)
            state = self.gate.state()
        if state.cause_kind is NewsKind.CLOSED:
            raise ActionNeeded(
                f"{state.cause} It is asked again in {state.paused_seconds:.0f} s; "
                f"`crm-pipeline {self.gate.crm} check` asks at once."
            )
        return state

    def check(self, stop: threading.Event, by_hand: bool = False) -> CheckResult:
        """Ask the CRM whether the account is usable, and tell the gate. Raises SandboxMismatch.

        A pass opens the gate that was closed before; asked `by_hand`, it also ends a row of refusals.
        """
        self._wait_for_slots(CHECK_REQUESTS, stop)
        before = self.gate.state()
        result = self.crm.check()
        self.sandbox.check(result)
        self.gate.tell_check(result, before, by_hand)
        return result

    def setup(self, stop: threading.Event) -> Iterator[SetupStep]:
        """Create at the CRM what the settings need, one request a step. Ends at the first that did not succeed."""
        steps = self.crm.setup()
        while True:
            self._wait_for_slots(1, stop)
            step = next(steps, None)
            if step is None:
                return
            yield step
            if step.news.kind is not NewsKind.WELL:
                self.gate.tell(step.news)
                return

    def push(
        self,
        ids: Sequence[UUID],
        lease_id: UUID,
        run_id: str,
        stop: threading.Event,
        journalled: Callable[[int], object] = lambda _: None,
        which: Which | None = None,
    ) -> PushResult:
        """Claim what is still due of `ids`, send it in this order, journal each answer; release what was not sent.

        `journalled` is told of each portion of outcomes, for a progress bar. `which`: a backfill's choice, in the place
        of what is due. While something is due, one that sends what nobody waits for takes two slots for each request.
        A repeated call with the same lease goes on with what is left of it. A pause that the CRM asked for is waited
        out up to a minute, and then only what is still wanted is sent; while the gate is closed or paused for longer,
        or the run is being stopped, nothing is claimed. Once stopped, everything is written back or released on return.
        Raises DatabaseFailure when the batch cannot be claimed or journalled: what is journalled stays, the lease ends
        by itself. Any other exception, an interrupt too, comes after the journal is applied and the rest released, and
        all come after the threads are joined.
        """
        state, reason = self._after_a_pause(stop)
        reason = reason or self._prepare(stop)
        if reason is not None:
            self.queue.release(lease_id, reason)  # what an earlier call of this step had claimed
            return PushResult(lease_id, len(ids), 0, stopped_because=reason)
        outcomes: Counter[str] = Counter()
        sender: Sender | None = None
        try:
            batch = self._claimed(ids, lease_id, run_id, state, which)
            claimed = len(batch.contacts)
            if not claimed:
                self.queue.release(lease_id, "a person acted meanwhile")  # what an earlier call had claimed
                return PushResult(lease_id, len(ids), 0)
            slots = BACKFILL_SLOTS if which not in (None, Which.WANTED) and self.queue.due_now() else 1
            while batch.contacts:
                sender = self._sender(batch, state, stop, slots)
                for entries in sender.results(JOURNAL_SECONDS, JOURNAL_ENTRIES):
                    self.queue.journal(lease_id, run_id, entries)
                    outcomes.update(entry.outcome.kind.value for entry in entries)
                    journalled(len(entries))
                    for entry in entries:
                        logger.debug("Contact %s: %s", entry.contact_id, entry.outcome.kind.value)
                reason = sender.stopped_because
                if reason != PAUSED:
                    break
                sender.close()
                state, reason = self._after_a_pause(stop)
                if reason is not None:
                    break
                batch = self._claimed(ids, lease_id, run_id, state, which)  # what is still wanted of it, and not sent
            if stop.is_set() or sum(outcomes.values()) < claimed:
                released = self.queue.release(
                    lease_id, reason or "no answer that says whose fault it was, or a person acted"
                )
                outcomes[OutcomeKind.RELEASED.value] = released.released
            if stop.is_set() and sender is not None:
                self._journal_late_answers(sender, lease_id, run_id)
        except DatabaseFailure:
            raise  # the same database would take neither journal nor release; the lease ends by itself
        except BaseException:
            if sender is not None:
                self.queue.journal(lease_id, run_id, sender.halt())
            self.queue.release(lease_id, "the step was interrupted")
            if sender is not None:
                self._journal_late_answers(sender, lease_id, run_id)
            raise
        finally:
            if sender is not None:
                sender.close()
        return PushResult(lease_id, len(ids), claimed, dict(outcomes), reason)

    def _after_a_pause(self, stop: threading.Event) -> tuple[GateState, str | None]:
        """The gate, and why nothing may be sent. A pause that the CRM asked for is waited out, up to a minute."""
        give_up = time.monotonic() + LONGEST_WAITED_PAUSE_SECONDS
        while True:
            state = self.gate.state()
            is_short = state.paused_seconds <= give_up - time.monotonic()
            if stop.is_set() or not (state.paused and state.cause_kind is NewsKind.THROTTLED and is_short):
                break
            stop.wait(min(state.paused_seconds, POLL_SECONDS))
        if stop.is_set():
            return state, STOPPED
        return state, (state.cause or UNCHECKED) if state.paused or state.checked_seconds_ago is None else None

    def _claimed(
        self, ids: Sequence[UUID], lease_id: UUID, run_id: str, state: GateState, which: Which | None
    ) -> Batch:
        """What is due of `ids`, in their order; called again, what is left of it."""
        batch = self.queue.claim(ids, lease_id, run_id, self._lease_seconds(len(ids), state), which)
        place = {contact_id: number for number, contact_id in enumerate(ids)}
        return replace(batch, contacts=sorted(batch.contacts, key=lambda contact: place[contact.id]))

    def _journal_late_answers(self, sender: Sender, lease_id: UUID, run_id: str) -> None:
        """Answers that came after their contacts were given back: a success may have overwritten newer data since."""
        sender.close()
        if self.queue.journal(lease_id, run_id, sender.halt()):
            self.queue.write_back(lease_id)

    def _lease_seconds(self, contacts: int, state: GateState) -> float:
        return max(SHORTEST_LEASE_SECONDS, 3 * contacts / state.rate_per_second + 60)

    def _sender(self, batch: Batch, state: GateState, stop: threading.Event, slots_per_request: int) -> Sender:
        return Sender(
            self.crm,
            self.gate,
            batch.contacts,
            lease_end=time.monotonic() + batch.seconds_left,
            threads=self.threads,
            retry_rejected=self.retry_rejected,
            sandbox=self.sandbox,
            alike=Alike(state.refused_in_a_row),
            doubt=Doubt(lambda: self.check(stop)),
            probe=state.half_open,
            stop=stop,
            slots_per_request=slots_per_request,
        )

    def _prepare(self, stop: threading.Event) -> str | None:
        """Let the CRM read what pushes need to know of the account, once a run; why nothing may be sent, or None."""
        if self.prepared.is_set():
            return None
        self._wait_for_slots(1, stop)
        result = self.crm.prepare()
        self.sandbox.check(result)
        if result.news.kind is not NewsKind.WELL:
            self.gate.tell(result.news)
        elif result.news.limit_per_second is not None:
            self.gate.tell_limit(result.news.limit_per_second)
        self._note_prepared(result)
        return result.news.sentence

    def _note_prepared(self, result: CheckResult) -> None:
        for warning in result.warnings:
            logger.warning("%s", warning)
        if result.news.kind is NewsKind.WELL:
            self.prepared.set()

    def _wait_for_slots(self, requests: int, stop: threading.Event) -> None:
        """Every request takes a slot. A closed gate is no reason not to ask: the answer is what may open it.

        A pause that the CRM asked for is waited out, up to a minute.
        """
        pacer = Pacer(self.gate, requests, stop)
        for _ in range(requests):
            if pacer.wait(time.monotonic() + LONGEST_WAITED_PAUSE_SECONDS + SLOT_SECONDS) is not None:
                return
