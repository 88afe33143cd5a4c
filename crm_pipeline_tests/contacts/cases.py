"""Every pair of statuses, with every lease and every retry time: put in at once, and what a run must do with each."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any

from crm_pipeline.contacts.statuses import PAIRS, Meaning
from crm_pipeline.database.engine import Database
from crm_pipeline.model import ProcessingStatus, SyncStatus
from crm_pipeline_tests.support.contacts import sql

Pair = tuple[SyncStatus, ProcessingStatus | None]
DUE_FRESH: Pair = (SyncStatus.SELECTED, ProcessingStatus.QUEUED)
DUE_KEPT: Pair = (SyncStatus.QUEUED, ProcessingStatus.QUEUED)
IN_FLIGHT: Pair = (SyncStatus.PROCESSING, ProcessingStatus.PROCESSING)

RETRIES, SHARED_RETRIES = 1, 2
"""What crm_sync and contacts say, so that a test can tell which one a push started from."""
TIMES: dict[str, str | None] = {"none": None, "past": "-1 hour", "to come": "1 hour"}
SHARED_TIMES = [(None, "none"), *product(("brevo", "hubspot"), TIMES)]
"""(last_failed_crm, contacts.next_retry_at)."""
MECHANICS = [("no row", "none"), *product(("no lease", "live lease", "lease over"), TIMES)]
"""(lease in crm_sync, crm_sync.next_retry_at)."""


@dataclass(frozen=True)
class Case:
    """One contact."""

    pair: Pair
    lease: str
    own_time: str
    failed_crm: str | None
    shared_time: str

    @property
    def at_start(self) -> Pair:
        """The pair once leases that are over are reaped: what was in flight has its prior statuses again."""
        return DUE_KEPT if self.lease == "lease over" and self.pair == IN_FLIGHT else self.pair

    @property
    def pushed_as(self) -> Pair | None:
        """The pair with which this run claims the contact, or None: it is left as it is."""
        if self.lease == "live lease":
            return None
        match PAIRS[self.at_start]:
            case Meaning.UNWANTED | Meaning.SYNCED | Meaning.GIVEN_UP | Meaning.UNCLEAR:
                return None
            case Meaning.DUE:
                return self.at_start
            case Meaning.WISH:
                return DUE_FRESH
            case Meaning.WAITING:
                times = {self.own_time, self.shared_time if self.failed_crm == "brevo" else "none"} - {"none"}
                if not times:
                    return DUE_FRESH
                return DUE_KEPT if "past" in times else None
            case Meaning.HELD:
                sync = self.at_start[0]
                return (SyncStatus.QUEUED if sync is SyncStatus.PROCESSING else sync, ProcessingStatus.QUEUED)

    @property
    def attempt(self) -> int:
        """The number of the attempt that this run makes."""
        if self.pushed_as != DUE_KEPT:
            return 1
        if self.lease == "no row":
            return 1 + (SHARED_RETRIES if self.failed_crm == "brevo" else 0)
        return 1 + RETRIES


CASES = [
    Case(pair, lease, own_time, failed_crm, shared_time)
    for pair, (lease, own_time), (failed_crm, shared_time) in product(PAIRS, MECHANICS, SHARED_TIMES)
]


def put_in(database: Database) -> None:
    """One contact per case: the address of CASES[7] is 7@example.com."""
    sql(
        database,
        "INSERT INTO contacts (email, brevo_sync_status, brevo_processing_status, retry_count, last_failed_crm, "
        "next_retry_at) "
        "SELECT n || '@example.com', CAST(sync AS crm_sync_status), CAST(processing AS crm_processing_status), "
        "CASE WHEN failed_crm IS NULL THEN 0 ELSE :shared END, failed_crm, now() + CAST(shared_time AS interval) "
        "FROM unnest(CAST(:ns AS int[]), CAST(:syncs AS text[]), CAST(:processings AS text[]), "
        "CAST(:failed_crms AS text[]), CAST(:shared_times AS text[])) "
        "AS c (n, sync, processing, failed_crm, shared_time)",
        ns=list(range(len(CASES))),
        syncs=[case.pair[0].value for case in CASES],
        processings=[case.pair[1] and case.pair[1].value for case in CASES],
        failed_crms=[case.failed_crm for case in CASES],
        shared_times=[TIMES[case.shared_time] for case in CASES],
        shared=SHARED_RETRIES,
    )
    rows = [(n, case) for n, case in enumerate(CASES) if case.lease != "no row"]
    sql(
        database,
        "INSERT INTO crm_sync (contact_id, crm, retry_count, next_retry_at, lease_id, leased_until, run_id, email_key, "
        "prior_sync_status, prior_processing_status) "
        "SELECT c.id, 'brevo', :own, now() + CAST(own_time AS interval), l.id, now() + CAST(until AS interval), "
        "CASE WHEN until IS NOT NULL THEN 'a run' END, CASE WHEN until IS NOT NULL THEN c.email END, "
        "CASE WHEN until IS NOT NULL THEN 'Queued' END, CASE WHEN until IS NOT NULL THEN 'Queued' END "
        "FROM unnest(CAST(:ns AS int[]), CAST(:own_times AS text[]), CAST(:untils AS text[])) "
        "AS s (n, own_time, until) "
        "JOIN contacts c ON c.email = n || '@example.com' "
        "LEFT JOIN LATERAL (SELECT gen_random_uuid() AS id WHERE until IS NOT NULL) l ON true",
        ns=[n for n, _ in rows],
        own_times=[TIMES[case.own_time] for _, case in rows],
        untils=[{"live lease": "1 hour", "lease over": "-1 second"}.get(case.lease) for _, case in rows],
        own=RETRIES,
    )


def rows_of(database: Database) -> list[Any]:
    """The contacts in the order of CASES, with their mechanics and the versions of both rows."""
    return sql(
        database,
        "SELECT c.id, c.brevo_sync_status AS sync, c.brevo_processing_status AS processing, c.xmin::text AS version, "
        "s.xmin::text AS mechanics_version, s.lease_id, s.crashes, s.retry_count, s.next_retry_at, "
        "s.prior_sync_status, s.prior_processing_status "
        "FROM contacts c LEFT JOIN crm_sync s ON s.contact_id = c.id AND s.crm = 'brevo' "
        "ORDER BY split_part(c.email, '@', 1)::int",
    )
