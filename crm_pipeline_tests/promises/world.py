"""Workers, people and CRMs around the real queues on a real PostgreSQL, one action at a time, each one checked.

Every action is judged by `invariants.check` against a look at the database before and after it. Where another acts
between two statements (`meanwhile`), looks are taken there too, so that each change is judged with the one who made it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar
from uuid import NAMESPACE_OID, UUID, uuid5

from sqlalchemy import create_engine, text
from sqlalchemy.engine import URL
from sqlalchemy.pool import NullPool

from crm_pipeline.contacts.answers import RetryPolicy
from crm_pipeline.contacts.queue import Queue
from crm_pipeline.database.engine import Database
from crm_pipeline.model import JournalEntry, Outcome, OutcomeKind
from crm_pipeline.push.batches import into_batches
from crm_pipeline_tests.promises import invariants
from crm_pipeline_tests.promises.interruptible import InterruptibleDatabase
from crm_pipeline_tests.promises.look import CRMS, Action, Look, address, look
from crm_pipeline_tests.promises.memory import Memory, Request, Worker

T = TypeVar("T")
ANN = "ann@example.com"
LEASE_SECONDS = 600.0
MOST_LISTED = 50
MOST_RUNS = 3
"""Healthy runs until all is quiet."""
CLAIMING = ("claim", "claim_again", "promote", "take_back")
"""They take their CRM's claim lock."""


class World:
    """`queue_of(crm)` makes the queue under test; everything else is the tests' own."""

    def __init__(self, database: InterruptibleDatabase, queue_of: Callable[[str], Queue]) -> None:
        self.database = database
        self.queue_of = queue_of
        engine = create_engine(database.url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
        self._eyes = engine.connect()
        self._eyes.execute(text("SET lock_timeout = '3s'"))
        self._hand = create_engine(database.url, poolclass=NullPool).connect()
        self.steps = 0
        self.begin()

    def begin(self) -> None:
        """Empty tables, nobody there."""
        self.database.calm()
        self._hand.rollback()
        self._eyes.execute(text("TRUNCATE contacts CASCADE"))
        self._queues = {crm: self.queue_of(crm) for crm in CRMS}
        self.memory = Memory()
        self._ids = 0
        self.air: list[Request] = []
        self.locked: set[UUID] = set()
        self.listed: dict[str, list[list[UUID]]] = {crm: [] for crm in CRMS}
        self._opened: Action | None = None
        self._running: list[Action] = []
        self.seen: Look = look(self._eyes)

    def close(self) -> None:
        self._hand.close()
        self._eyes.close()

    @property
    def workers(self) -> list[Worker]:
        return self.memory.workers

    def contacts(self) -> list[UUID]:
        """All contacts that no open transaction has locked, oldest first."""
        rows = {key[0]: row for key, row in self.seen.rows.items()}
        return sorted(rows.keys() - self.locked, key=lambda one: (rows[one].updated_at, one))

    # -- people --------------------------------------------------------------------------------------------------------

    def add(self, email: str = ANN, crm: str = "brevo", pair: Any = ("Selected", "Queued"), **also: Any) -> UUID:
        """One contact with a pair of statuses; `also`: further columns, such as a retry time of an adopted table."""
        columns = CRMS[crm]
        values = {"email": email, columns.sync_status: pair[0], columns.processing_status: pair[1]} | also
        contact = self._id()
        names = ", ".join(["id", "updated_at", *values])
        binds = ", ".join([":id", "clock_timestamp()", *(f":{name}" for name in values)])
        statement = f"INSERT INTO contacts ({names}) VALUES ({binds})"
        self._person("add", [(contact, crm)], statement, id=contact, **values)
        return contact

    def add_failed(self, email: str, crm: str, failed: str, retries: int, waits: float | None) -> UUID:
        """A contact of an adopted table: Queued/Error with its retries on `contacts` alone; `waits`: minutes."""
        until = None if waits is None else self.seen.now + timedelta(minutes=waits)
        also = {"retry_count": retries, "last_failed_crm": failed, "next_retry_at": until}
        return self.add(email, crm, ("Queued", "Error"), **also)

    def edit(self, contact: UUID, ask: str | None = None, hold: bool = False, **data: str | None) -> None:
        """Change source columns, as the application does; `ask`: and select it for that CRM in the same statement."""
        changes = ", ".join(f"{name} = :{name}" for name in data) + ", updated_at = clock_timestamp()"
        if ask is not None:
            changes += f", {CRMS[ask].sync_status} = 'Selected', {CRMS[ask].processing_status} = 'Queued'"
        wrote = [(contact, ask)] if ask is not None else []
        self._person("edit", wrote, f"UPDATE contacts SET {changes} WHERE id = :id", hold, id=contact, **data)

    def write(self, contact: UUID, crm: str = "brevo", hold: bool = False, **columns: str | None) -> None:
        """Plain SQL in one or both columns: `sync=`, `processing=`."""
        names = {"sync": (CRMS[crm].sync_status, "crm_sync_status")}
        names["processing"] = (CRMS[crm].processing_status, "crm_processing_status")
        changes = ", ".join(f"{names[one][0]} = CAST(:{one} AS {names[one][1]})" for one in columns)
        statement = f"UPDATE contacts SET {changes} WHERE id = :id"
        self._person("write", [(contact, crm)], statement, hold, id=contact, **columns)

    def select(self, contact: UUID, crm: str = "brevo") -> None:
        """Twice: the second time must change nothing."""
        action = Action("select", crm, wrote=frozenset([(contact, crm)]), person=True)
        self._act(action, lambda: self._queues[crm].select([contact]))
        self._act(replace(action, verb="select_again"), lambda: self._queues[crm].select([contact]))

    def unselect(self, contact: UUID, crm: str = "brevo") -> None:
        action = Action("unselect", crm, wrote=frozenset([(contact, crm)]), person=True)
        self._act(action, lambda: self._queues[crm].unselect([contact]))

    def delete(self, contact: UUID) -> None:
        self._person("delete", [], "DELETE FROM contacts WHERE id = :id", id=contact)

    def commit(self) -> None:
        """The transaction that a person held open ends."""
        if self._opened is not None:
            action, self._opened = self._opened, None
            self.locked = set()
            self._act(action, self._hand.commit)

    # -- workers -------------------------------------------------------------------------------------------------------

    def list(self, crm: str = "brevo", size: int = 10) -> list[list[UUID]]:
        queue = self._queues[crm]
        due = self._act(Action("list", crm), lambda: queue.list_due(MOST_LISTED))
        self.listed[crm] = into_batches(due, size)
        return self.listed[crm]

    def start(self, crm: str = "brevo", size: int = 10, which: int = 0, run_id: str | None = None) -> Worker | None:
        """A new worker lists and claims one batch; None when it got nothing."""
        batches = self.list(crm, size)
        return self.claim(batches[which % len(batches)], crm, run_id) if batches else None

    def claim(self, ids: Sequence[UUID], crm: str = "brevo", run_id: str | None = None) -> Worker | None:
        """A new worker claims these ids, which it may have listed long ago."""
        return self._claim("claim", ids, crm, self._id(), run_id or str(self._id()))

    def claim_again(self, worker: Worker) -> Worker | None:
        """The process dies; its step is repeated by another one with the same lease."""
        self.kill(worker)
        return self._claim("claim_again", worker.asked, worker.crm, worker.lease_id, worker.run_id, worker.over)

    def push(
        self, worker: Worker, kind: OutcomeKind = OutcomeKind.SYNCED, lands: bool = False, delayed: bool = False
    ) -> None:
        """One contact's request; `lands`: the CRM takes it although it failed; `delayed`: it arrives when asked to."""
        contact = worker.unsent.pop(0)
        if address(contact.email) is None:
            kind, lands = OutcomeKind.REJECTED, False
        request = Request(worker, contact, kind, lands=lands or kind is OutcomeKind.SYNCED)
        self.air.append(request)
        if not delayed:
            self.arrive(len(self.air) - 1)

    def arrive(self, which: int = 0) -> None:
        """A request reaches the CRM, whoever holds the contact by now; its worker, if it lives, gets the answer."""
        request = self.air.pop(which)
        worker, contact = request.worker, request.contact
        to = address(contact.email)
        lost = request.kind is OutcomeKind.FAILED and self.memory.renames(request) is not None
        if request.lands:
            row = self.seen.rows.get((contact.id, worker.crm))
            self.memory.accept(request, row is not None and row.lease_id == worker.lease_id, self.seen)
        if worker.alive:
            # A renaming whose answer is lost: it is still looked for under its former address.
            found_at, left_behind = (None, to) if lost else (to, None)
            outcome = Outcome(request.kind, error="because", external_id=found_at, left_behind=left_behind)
            worker.answers.append(JournalEntry(contact.id, outcome, 0))

    def journal(self, worker: Worker) -> None:
        entries, worker.answers = worker.answers, []
        action = Action("journal", worker.crm, worker.lease_id, worker.run_id)
        self._act(action, lambda: worker.queue.journal(worker.lease_id, worker.run_id, entries))
        journalled = {(entry.contact_id, worker.crm) for entry in entries}
        worker.late -= {key for key in journalled if key in self.seen.rows}

    def write_back(self, worker: Worker) -> None:
        action = Action("write_back", worker.crm, worker.lease_id, worker.run_id)
        self._act(action, lambda: worker.queue.write_back(worker.lease_id))

    def release(self, worker: Worker) -> None:
        """Journal what was answered, give back the rest: a pause, a closed account, a cancelled run."""
        self.journal(worker)
        action = Action("release", worker.crm, worker.lease_id, worker.run_id)
        self._act(action, lambda: worker.queue.release(worker.lease_id, "paused"))
        worker.unsent = []

    def stall(self, worker: Worker) -> None:
        """The worker hangs until its lease is over; it may wake and go on."""
        action = Action("stall", worker.crm, worker.lease_id)
        past = text("UPDATE crm_sync SET leased_until = now() - interval '1 second' WHERE lease_id = :lease")
        self._act(action, lambda: self._eyes.execute(past, {"lease": worker.lease_id}))

    def kill(self, worker: Worker) -> None:
        """The process is gone, with all that it knew."""
        self.memory.bury(worker)

    # -- whoever comes first -------------------------------------------------------------------------------------------

    def reap(self, crm: str = "brevo") -> None:
        self._act(Action("reap", crm, crashed=True), self._queues[crm].reap)

    def give_back(self, worker: Worker, crashed: bool = True) -> None:
        """The worker's run is over, as far as others know."""
        action = Action("give_back", worker.crm, run_id=worker.run_id, crashed=crashed)
        self._act(action, lambda: self._queues[worker.crm].give_back(worker.run_id, "run failed", crashed))

    def take_back(self, crm: str = "brevo") -> None:
        self._act(Action("take_back", crm), lambda: self._queues[crm].take_back(always=True))

    def promote(self, crm: str = "brevo") -> None:
        self._act(Action("promote", crm), self._queues[crm].promote)

    def begin_run(self, crm: str = "brevo") -> None:
        """What each run does before it lists."""
        self.reap(crm)
        self.take_back(crm)
        self.promote(crm)

    def time_passes(self) -> None:
        """Every backoff is over."""
        past = "now() - interval '1 second' WHERE next_retry_at IS NOT NULL"
        of_contacts = text(f"UPDATE contacts SET next_retry_at = {past} AND NOT (id = ANY(:locked))")

        def work() -> None:
            self._eyes.execute(text(f"UPDATE crm_sync SET next_retry_at = {past}"))
            self._eyes.execute(of_contacts, {"locked": list(self.locked)})

        self._act(Action("time_passes"), work)

    # -- faults --------------------------------------------------------------------------------------------------------

    def lose_answer(self) -> None:
        """The next transaction's COMMIT is done, but nobody hears of it."""
        self.database.lose_answer()

    def meanwhile(self, at: int, inner: Callable[[], Any], verb: str, crm: str = "brevo") -> None:
        """Before the `at`-th statement of what comes next, `inner` (an action of this world, `verb`) runs to its end.

        Not where it would wait for the very transaction that it interrupts: for its claim lock, or its journal row.
        """

        def work(statements: Sequence[str]) -> None:
            outer = self._running[-1]
            said = " ".join(statements)
            locked = outer.crm == crm and "pg_advisory_xact_lock" in said and verb in CLAIMING
            journalled = "INSERT INTO crm_attempts" in said and verb in ("journal", "release")
            if not locked and not journalled:
                self.judge(outer)
                inner()

        self.database.interrupt(at, work)

    # -- the end -------------------------------------------------------------------------------------------------------

    def quiet(self, finish: bool = True) -> None:
        """All stops: workers finish late, or die; leases expire; then healthy workers run until nothing is due."""
        self.database.calm()
        self.commit()
        while self.air:
            self.arrive()
        for worker in list(self.workers):
            if finish:
                self.journal(worker)
                self.write_back(worker)
            self.kill(worker)
        past = text("UPDATE crm_sync SET leased_until = now() - interval '1 second' WHERE lease_id IS NOT NULL")
        self._act(Action("stall"), lambda: self._eyes.execute(past))
        before = self.seen
        for crm in CRMS:
            self._run_until_nothing_is_due(crm)
        invariants.demand({invariants.i1_no_loss: invariants.i1_no_loss(before, self.seen)})

    def _run_until_nothing_is_due(self, crm: str) -> None:
        queue = self._queues[crm]
        rounds = 0
        while queue.due_now() or queue.left_behind() or self._waits(crm):
            rounds += 1
            too_long = [f"{crm} still has work after {MOST_RUNS} whole runs"] if rounds > MOST_RUNS else []
            invariants.demand({invariants.i1_no_loss: too_long})
            self.reap(crm)
            self.take_back(crm)
            self.time_passes()
            self.promote(crm)
            for ids in self.list(crm, size=5):
                worker = self.claim(ids, crm)
                if worker is not None:
                    while worker.unsent:
                        self.push(worker)
                    self.journal(worker)
                    self.write_back(worker)
                    self.kill(worker)

    def _waits(self, crm: str) -> bool:
        waits = any(row.pair == ("Queued", "Error") or row.lease_id for row in self.seen.of(crm).values())
        return waits or any(key[1] == crm and one.applied == "pending" for (_, key), one in self.seen.journal.items())

    # -- parts ---------------------------------------------------------------------------------------------------------

    def _id(self) -> UUID:
        """The same ids in the same order each time, so that a sequence repeats exactly; not sorted by age."""
        self._ids += 1
        return uuid5(NAMESPACE_OID, str(self._ids))

    def _claim(
        self, verb: str, ids: Sequence[UUID], crm: str, lease_id: UUID, run_id: str, over: bool = False
    ) -> Worker | None:
        queue = self.queue_of(crm)
        action = Action(verb, crm, lease_id, run_id, asked=tuple(ids))
        batch = self._act(action, lambda: queue.claim(ids, lease_id, run_id, LEASE_SECONDS))
        if not batch.contacts:
            return None
        held = {(contact.id, crm) for contact in batch.contacts}
        worker = Worker(crm, queue, run_id, lease_id, tuple(ids), list(batch.contacts), held=held, over=over)
        self.workers.append(worker)
        return worker

    def _person(self, verb: str, wrote: Any, statement: str, hold: bool = False, **values: Any) -> None:
        action = Action(verb, wrote=frozenset(wrote), person=True)
        if hold and self._opened is None:
            self._hand.execute(text(statement), values)
            self._opened, self.locked = action, {values["id"]}
        else:
            self._act(action, lambda: self._eyes.execute(text(statement), values))

    def _act(self, action: Action, work: Callable[[], T]) -> T:
        self._running.append(action)
        try:
            result = work()
        finally:
            self._running.pop()
        self.judge(action, result)
        return result

    def judge(self, action: Action, result: Any = None) -> None:
        """Look, and hold the action to account for what has changed; `result`: None while it goes on."""
        before, after = self.seen, look(self._eyes)
        self.steps += 1
        self.memory.learn(before, action, after)
        self.seen = after
        interrupts = bool(self._running)
        invariants.check(
            invariants.Moment(self.memory, before, action, after, result, frozenset(self.locked), interrupts)
        )


def real_queue(database: Database, crm: str) -> Queue:
    """The product's queue, as a run makes it."""
    return Queue(database, CRMS[crm], RetryPolicy(), target="api.example.com")


@contextmanager
def world_of(url: URL, queue_of: Callable[[Database, str], Queue] = real_queue) -> Iterator[World]:
    """A world on this database, that closes its connections."""
    database = InterruptibleDatabase(url)
    try:
        world = World(database, partial(queue_of, database))
        try:
            yield world
        finally:
            world.close()
    finally:
        database.dispose()
