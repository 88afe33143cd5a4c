"""Random interleavings of workers, crashes and people, on a real PostgreSQL: nothing is lost, nothing is left stale."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import hypothesis.strategies as st
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from crm_pipeline.contacts.queue import Queue
from crm_pipeline.model import Batch, Contact, JournalEntry, Outcome, OutcomeKind, ProcessingStatus, SyncStatus
from crm_pipeline.push.batches import into_batches
from crm_pipeline_tests.support.contacts import sql

NAMES = st.sampled_from(["Ann", "Bob", "Cas", "Dee"])
ADDRESSES = st.sampled_from([f"{name}@example.com" for name in "abcd"])
OUTCOMES = st.sampled_from([OutcomeKind.SYNCED] * 4 + [OutcomeKind.FAILED, OutcomeKind.BLOCKED, OutcomeKind.SKIPPED])
SYNC = st.sampled_from([status.value for status in SyncStatus])
PROCESSING = st.sampled_from([None, *(status.value for status in ProcessingStatus)])
BUDGET = settings(
    max_examples=25,
    stateful_step_count=40,
    deadline=None,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)


@dataclass
class Worker:
    """A process that holds a batch: it may stall, push late, or die, as processes do."""

    batch: Batch
    run_id: str
    unsent: list[Contact]
    unjournalled: list[JournalEntry] = field(default_factory=list)


class Interleavings(RuleBasedStateMachine):
    """`queue` is the real one; `crm` is what the CRM would hold, by contact."""

    queue: Queue

    def __init__(self) -> None:
        super().__init__()
        self.crm: dict[UUID, str | None] = {}
        self.unseen: set[UUID] = set()
        """Pushed late by a worker that then died too: no queue can see that."""
        self.workers: list[Worker] = []
        self.retries: dict[UUID, int] = {}
        self._sql("TRUNCATE contacts CASCADE")

    def _sql(self, statement: str, **values: Any) -> list[Any]:
        return sql(self.queue.database, statement, **values)

    def _any_contact(self, data: Any) -> UUID | None:
        ids = [row.id for row in self._sql("SELECT id FROM contacts ORDER BY created_at")]
        return ids[data.draw(st.integers(0, len(ids) - 1))] if ids else None

    def _worker(self, data: Any) -> Worker:
        return self.workers[data.draw(st.integers(0, len(self.workers) - 1))]

    # -- people --------------------------------------------------------------------------------------------------------

    @rule(email=ADDRESSES, name=NAMES)
    def add(self, email: str, name: str) -> None:
        self._sql(
            "INSERT INTO contacts (email, name, brevo_sync_status, brevo_processing_status) "
            "VALUES (:email, :name, 'Selected', 'Queued')",
            email=email,
            name=name,
        )

    @rule(data=st.data(), name=NAMES)
    def edit(self, data: Any, name: str) -> None:
        """A person edits; what is at rest is selected as well, for an edit alone queues nothing."""
        contact = self._any_contact(data)
        self._sql(
            "UPDATE contacts SET name = :name, "
            "brevo_sync_status = CASE WHEN brevo_sync_status IN ('Complete', 'Error') AND "
            "brevo_processing_status IS DISTINCT FROM 'Queued' THEN 'Selected' ELSE brevo_sync_status END, "
            "brevo_processing_status = CASE WHEN brevo_sync_status IN ('Complete', 'Error') "
            "THEN 'Queued' ELSE brevo_processing_status END WHERE id = :id",
            name=name,
            id=contact,
        )

    @rule(data=st.data(), sync=SYNC, processing=PROCESSING)
    def write_statuses(self, data: Any, sync: str, processing: str | None) -> None:
        """Plain SQL in both columns. (Complete and Error by hand promise nothing: they are what the system writes.)"""
        if sync in ("Complete", "Error") and processing != "Queued":
            return
        self._sql(
            "UPDATE contacts SET brevo_sync_status = CAST(:sync AS crm_sync_status), "
            "brevo_processing_status = CAST(:processing AS crm_processing_status) WHERE id = :id",
            sync=sync,
            processing=processing,
            id=self._any_contact(data),
        )

    @rule(data=st.data())
    def select(self, data: Any) -> None:
        contact = self._any_contact(data)
        self.queue.select([contact] if contact else [])

    @rule(data=st.data())
    def delete(self, data: Any) -> None:
        self._sql("DELETE FROM contacts WHERE id = :id", id=self._any_contact(data))

    # -- workers -------------------------------------------------------------------------------------------------------

    @precondition(lambda self: len(self.workers) < 4)
    @rule(size=st.integers(1, 4))
    def claim(self, size: int) -> None:
        due = self.queue.list_due(20)
        for ids in into_batches(due, size)[:1]:
            run_id = str(uuid4())
            batch = self.queue.claim(ids, uuid4(), run_id, 600)
            for contact in batch.contacts:
                (row,) = self._sql("SELECT * FROM crm_sync WHERE contact_id = :id", id=contact.id)
                assert row.prior_sync_status not in ("New", "Skipped"), "pushed what nobody wants"
            if batch.contacts:
                in_order = sorted(batch.contacts, key=lambda contact: ids.index(contact.id))
                self.workers.append(Worker(batch, run_id, in_order))

    @precondition(lambda self: self.workers)
    @rule(data=st.data(), kind=OUTCOMES)
    def send(self, data: Any, kind: OutcomeKind) -> None:
        worker = self._worker(data)
        if worker.unsent:
            contact = worker.unsent.pop()
            if kind is OutcomeKind.SYNCED:
                self.crm[contact.id] = contact.name
            worker.unjournalled.append(JournalEntry(contact.id, Outcome(kind, error="because"), 0))

    @precondition(lambda self: self.workers)
    @rule(data=st.data())
    def journal(self, data: Any) -> None:
        worker = self._worker(data)
        self.queue.journal(worker.batch.lease_id, worker.run_id, worker.unjournalled)
        worker.unjournalled = []

    @precondition(lambda self: self.workers)
    @rule(data=st.data())
    def write_back(self, data: Any) -> None:
        self.queue.write_back(self._worker(data).batch.lease_id)

    @precondition(lambda self: self.workers)
    @rule(data=st.data())
    def finish(self, data: Any) -> None:
        worker = self._worker(data)
        self.workers.remove(worker)
        self.queue.journal(worker.batch.lease_id, worker.run_id, worker.unjournalled)
        self.queue.release(worker.batch.lease_id, "paused")

    @precondition(lambda self: self.workers)
    @rule(data=st.data())
    def die(self, data: Any) -> None:
        worker = self._worker(data)
        self.workers.remove(worker)
        for entry in worker.unjournalled:
            holders = self._sql(
                "SELECT 1 FROM crm_sync WHERE contact_id = :id AND lease_id = :lease",
                id=entry.contact_id,
                lease=worker.batch.lease_id,
            )
            if not holders:
                self.unseen.add(entry.contact_id)

    @precondition(lambda self: self.workers)
    @rule(data=st.data())
    def stall(self, data: Any) -> None:
        """The worker hangs beyond its lease; it may wake and go on later."""
        self._sql(
            "UPDATE crm_sync SET leased_until = now() - interval '1 second' WHERE lease_id = :lease",
            lease=self._worker(data).batch.lease_id,
        )

    @rule()
    def reap(self) -> None:
        self.queue.reap()

    @precondition(lambda self: self.workers)
    @rule(data=st.data(), crashed=st.booleans())
    def give_back(self, data: Any, crashed: bool) -> None:
        self.queue.give_back(self._worker(data).run_id, "run failed", crashed)

    @rule()
    def begin_run(self) -> None:
        self.queue.take_back(always=True)
        self.queue.promote()

    @rule()
    def time_passes(self) -> None:
        self._sql("UPDATE crm_sync SET next_retry_at = now() - interval '1 second' WHERE next_retry_at IS NOT NULL")

    # -- what holds at every moment ------------------------------------------------------------------------------------

    @invariant()
    def no_two_contacts_with_one_address_are_in_flight(self) -> None:
        doubles = self._sql(
            "SELECT email_key FROM crm_sync WHERE lease_id IS NOT NULL GROUP BY email_key HAVING count(*) > 1"
        )
        assert doubles == []

    @invariant()
    def a_lease_that_is_its_own_keeps_its_statuses_unless_a_person_wrote_them(self) -> None:
        for row in self._sql("SELECT retry_count, crashes FROM crm_sync"):
            assert 0 <= row.retry_count <= self.queue.retries.max_retries
            assert row.crashes <= 6

    @invariant()
    def every_answer_is_applied_or_waits_under_a_lease_or_for_the_reaper(self) -> None:
        assert self._sql("SELECT 1 FROM crm_attempts WHERE applied = 'pending' AND outcome = 'released'") == []

    # -- and in the end ------------------------------------------------------------------------------------------------

    def teardown(self) -> None:
        """Workers that still live finish late; then the CRM answers well and all that is wanted arrives as it is."""
        for worker in self.workers:
            self.queue.journal(worker.batch.lease_id, worker.run_id, worker.unjournalled)
            self.queue.write_back(worker.batch.lease_id)
        self._sql("UPDATE crm_sync SET leased_until = now() - interval '1 second' WHERE lease_id IS NOT NULL")
        before = {row.id: row.sync for row in self._sql("SELECT id, brevo_sync_status::text AS sync FROM contacts")}
        for _ in range(30):
            self.queue.reap()
            self.queue.take_back(always=True)
            self.time_passes()
            self.queue.promote()
            batches = into_batches(self.queue.list_due(100), 10)
            if not batches:
                break
            for ids in batches:
                batch = self.queue.claim(ids, uuid4(), "last", 600)
                for contact in batch.contacts:
                    self.crm[contact.id] = contact.name
                    self.unseen.discard(contact.id)
                entries = [JournalEntry(one.id, Outcome(OutcomeKind.SYNCED), 0) for one in batch.contacts]
                self.queue.journal(batch.lease_id, "last", entries)
                self.queue.write_back(batch.lease_id)
        assert self._sql("SELECT 1 FROM crm_sync WHERE lease_id IS NOT NULL") == []
        assert self._sql("SELECT 1 FROM crm_attempts WHERE applied = 'pending'") == []
        for row in self._sql(
            "SELECT id, name, brevo_sync_status::text AS sync, brevo_processing_status::text AS p FROM contacts"
        ):
            if before[row.id] in ("New", "Skipped"):
                assert row.sync == before[row.id], "pushed what nobody wants"
            else:
                assert row.sync in ("Complete", "Error"), f"lost in {row.sync}/{row.p}"
            if row.sync == "Complete" and row.id not in self.unseen:
                assert self.crm.get(row.id) == row.name, "the CRM holds stale data of a Complete contact"


def check(queue: Queue) -> None:
    """Run the machine against `queue`; raises AssertionError when an invariant breaks."""
    machine = type("Interleavings", (Interleavings,), {"queue": queue})
    run_state_machine_as_test(machine, settings=BUDGET)


def test_no_interleaving_loses_a_contact_or_leaves_stale_data(queue: Queue) -> None:
    check(queue)
