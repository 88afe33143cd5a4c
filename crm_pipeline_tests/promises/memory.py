"""What the tests remember beside the database: what each CRM accepted, what people wrote, what workers believe."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from uuid import UUID

from crm_pipeline.contacts.queue import Queue
from crm_pipeline.model import Contact, JournalEntry, OutcomeKind
from crm_pipeline_tests.promises.look import Action, Key, Look, Payload, Row, address


@dataclass(eq=False)
class Worker:
    """A process with one batch under one lease: it may stall, push late or die, as processes do."""

    crm: str
    queue: Queue
    run_id: str
    lease_id: UUID
    asked: tuple[UUID, ...]
    unsent: list[Contact]
    answers: list[JournalEntry] = field(default_factory=list)
    """Not journalled yet."""
    held: set[Key] = field(default_factory=set)
    """What it still believes to be its own."""
    late: set[Key] = field(default_factory=set)
    """What it pushed after its lease was lost, and has not journalled."""
    over: bool = False
    """Its lease has run out, or its run was given back."""
    alive: bool = True


@dataclass(frozen=True)
class Request:
    """A request on its way to the CRM."""

    worker: Worker
    contact: Contact
    kind: OutcomeKind
    lands: bool
    """The CRM takes the data (with a failed outcome: a timeout, the answer got lost)."""


@dataclass(frozen=True)
class Accepted:
    """Data that a CRM took."""

    contact_id: UUID
    payload: Payload
    lease_id: UUID


class Memory:
    """Never asks the product: it learns from looks at the database and from what the tests did."""

    def __init__(self) -> None:
        self.workers: list[Worker] = []
        self.meaning: dict[str, Payload] = {}
        """Fingerprint at a claim -> the data that it stands for."""
        self.claimed: dict[Key, Payload] = {}
        """The data at the last claim."""
        self.records: dict[tuple[str, str], Accepted] = {}
        """The CRM: (crm, address) -> what it took last."""
        self.last: dict[Key, Accepted] = {}
        self.ever: dict[Key, set[Payload]] = defaultdict(set)
        self.robbed: dict[tuple[UUID, Key], set[Key]] = defaultdict(set)
        """(lease, contact) of a late push that renamed a record -> who else has its former address."""
        self.unseen: set[Key] = set()
        """Overwritten by a late push whose answer was never journalled: no queue can see that."""
        self.owners: dict[str, set[UUID]] = defaultdict(set)
        """Address -> contacts that ever had it: twins share one record in a CRM."""
        self.touched: set[Key] = set()
        """A person wrote the statuses since the last claim."""
        self.by_hand: set[Key] = set()
        """A person wrote Complete: it promises nothing about the CRM."""
        self.edited_at_rest: set[Key] = set()
        """Edited when Complete and not selected: an edit alone queues nothing."""
        self.refused: dict[Key, Payload] = {}
        """Rejected with these data, and nobody asked again."""

    def renames(self, request: Request) -> str | None:
        """The address whose record the request renames, as a CRM that knows contacts by their address does it."""
        contact, crm = request.contact, request.worker.crm
        former = address(contact.external_id) if contact.external_id else None
        taken = (crm, address(contact.email)) in self.records
        return former if (crm, former) in self.records and not taken and not contact.former_address_in_use else None

    def accept(self, request: Request, owned: bool, seen: Look) -> None:
        """The CRM takes the data; `owned`: the contact's lease is still the worker's."""
        worker, contact = request.worker, request.contact
        key = (contact.id, worker.crm)
        accepted = Accepted(contact.id, payload(contact), worker.lease_id)
        to = address(contact.email)
        assert to is not None
        former = self.renames(request)
        robbed: set[Key] = set()
        if former is not None:
            del self.records[worker.crm, former]
            robbed = {of for of, row in seen.of(worker.crm).items() if row.address == former and of != key}
        self.records[worker.crm, to] = self.last[key] = accepted
        self.ever[key].add(accepted.payload)
        if owned:
            self.unseen.discard(key)
        elif not worker.alive or request.kind not in (OutcomeKind.SYNCED, OutcomeKind.FAILED):
            self.unseen |= {key} | robbed  # nobody will journal it, or as a refusal only
        else:
            worker.late.add(key)
            self.robbed[worker.lease_id, key] |= robbed

    def bury(self, worker: Worker) -> None:
        """The process dies; its late pushes become the ones that nobody can see."""
        worker.alive = False
        self.unseen |= {key for key in worker.late if self.last[key].lease_id == worker.lease_id}
        self.unseen = self.unseen.union(*(self.robbed[worker.lease_id, key] for key in worker.late))
        self.workers.remove(worker)

    def learn(self, before: Look, action: Action, after: Look) -> None:
        """Take in one step."""
        for key, row in after.rows.items():
            if row.address is not None:
                self.owners[row.address].add(key[0])
            was = before.rows.get(key)
            if action.person:
                self._learn_of_person(key, was, row, key in action.wrote)
            elif row.lease_id is not None and (was is None or was.lease_id != row.lease_id):
                self._learn_of_claim(key, row)
            elif was is not None and was.rests and not row.rests:
                self.refused.pop(key, None)
        for (lease_id, key), attempt in after.journal.items():
            was_attempt, was_row = before.journal.get((lease_id, key)), before.rows.get(key)
            newly = attempt.applied == "applied" and (was_attempt is None or was_attempt.applied == "pending")
            if newly and attempt.outcome == "rejected" and was_row is not None and was_row.claimed_fingerprint:
                self.refused[key] = self.meaning[was_row.claimed_fingerprint]
        for worker in self.workers:
            self._learn_of_worker(worker, action, after)

    def _learn_of_person(self, key: Key, was: Row | None, row: Row, wrote: bool) -> None:
        if wrote or was is None:
            self.touched.add(key)
            self.refused.pop(key, None)
        if row.synced and (was is None or not was.synced):
            self.by_hand.add(key)
        if was is not None and was.synced and row.synced and was.payload != row.payload:
            self.edited_at_rest.add(key)

    def _learn_of_claim(self, key: Key, row: Row) -> None:
        self.claimed[key] = row.payload
        if row.claimed_fingerprint is not None:
            self.meaning.setdefault(row.claimed_fingerprint, row.payload)
        for marks in (self.touched, self.by_hand, self.edited_at_rest):
            marks.discard(key)

    def _learn_of_worker(self, worker: Worker, action: Action, after: Look) -> None:
        if worker.crm != action.crm:
            worker.held &= after.rows.keys()
        elif action.verb in ("write_back", "release") and action.lease_id == worker.lease_id:
            worker.held &= {key for key, row in after.rows.items() if row.lease_id == worker.lease_id}
        elif (action.verb == "stall" and action.lease_id == worker.lease_id) or (
            action.verb == "give_back" and action.run_id == worker.run_id
        ):
            worker.over = True


def payload(contact: Contact) -> Payload:
    """What a worker sends of a contact."""
    return contact.email, contact.name, contact.phone_number
