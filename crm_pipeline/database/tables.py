"""What the database must hold: columns, types, tables and indexes, in one place for upgrades and checks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from crm_pipeline.model import ProcessingStatus, SyncStatus
from crm_pipeline.redaction import LONGEST_ERROR

LONGEST_ADDRESS = 254
"""A CRM's id of a contact may be its address; no valid one is longer (RFC 5321)."""

SYNC_TYPE = "crm_sync_status"
PROCESSING_TYPE = "crm_processing_status"
EMAIL_TYPE = "contact_email_type_enum"
LABELS: dict[str, tuple[str, ...]] = {
    EMAIL_TYPE: ("SERVICE", "CORPORATE", "FREE", "UNKNOWN"),
    SYNC_TYPE: tuple(label.value for label in SyncStatus),
    PROCESSING_TYPE: tuple(label.value for label in ProcessingStatus),
}

TEXT = frozenset({"text", "character varying", "citext"})
TIMESTAMPTZ = frozenset({"timestamp with time zone"})
UUID = frozenset({"uuid"})
ENUM = frozenset({"enum"})
ANY: frozenset[str] = frozenset()

HOT_TABLE = (
    "fillfactor = 70, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000, "
    "autovacuum_analyze_scale_factor = 0.01, autovacuum_vacuum_cost_delay = 0"
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A column of `contacts`: how it is made, and what is taken where the application has made it."""

    type: str
    taken: frozenset[str]
    """Types as format_type names them, without a length; "enum": of whatever name; ANY: it is never read."""
    default: str | None = None
    not_null: bool = False
    """When made by us; a nullable one is taken."""
    set_to_null: bool = False
    """The pipeline writes NULL into it, so that NOT NULL is an error."""
    least_length: int | None = None
    """Shortest varchar that is taken."""
    cut_at: int | None = None
    """A shorter varchar is taken with a warning: values are cut."""
    labels: tuple[str, ...] = ()
    """It is an enum of at least these labels, under whatever name."""

    @property
    def definition(self) -> str:
        """As it stands in ADD COLUMN. Constant and stable defaults: nothing is rewritten."""
        default = f" DEFAULT {self.default}" if self.default is not None else ""
        return f"{self.type}{' NOT NULL' if self.not_null else ''}{default}"


_SHARED: dict[str, Wanted] = {
    "id": Wanted("uuid", UUID, "gen_random_uuid()", not_null=True),
    "email": Wanted("text", TEXT, not_null=True),
    "name": Wanted("text", TEXT),
    "phone_number": Wanted("text", TEXT),
    "email_type": Wanted(EMAIL_TYPE, TEXT | ENUM),
    "has_gmail": Wanted("boolean", frozenset({"boolean"})),
    "context": Wanted("text", ANY),
    "source_url": Wanted("text", TEXT),
    "source_job_id": Wanted("uuid", ANY),
    "domain_id": Wanted("uuid", UUID),
    "page_id": Wanted("uuid", UUID),
    "created_at": Wanted("timestamptz", TIMESTAMPTZ, "now()"),
    "updated_at": Wanted("timestamptz", TIMESTAMPTZ, "now()"),
    "retry_count": Wanted("integer", frozenset({"integer", "bigint", "smallint"}), "0", not_null=True),
    "last_retry_at": Wanted("timestamptz", TIMESTAMPTZ, set_to_null=True),
    "next_retry_at": Wanted("timestamptz", TIMESTAMPTZ, set_to_null=True),
    "last_failed_crm": Wanted("varchar(32)", TEXT, set_to_null=True),
}
WRITTEN = ("retry_count", "last_retry_at", "next_retry_at", "last_failed_crm")
"""The shared columns that a write-back changes."""


def crm_columns(crm: str, external_id: str) -> dict[str, Wanted]:
    """The four columns of one CRM in `contacts`, all of them written."""
    return {
        f"{crm}_sync_status": Wanted(SYNC_TYPE, ENUM, "'New'", not_null=True, labels=LABELS[SYNC_TYPE]),
        f"{crm}_processing_status": Wanted(PROCESSING_TYPE, ENUM, set_to_null=True, labels=LABELS[PROCESSING_TYPE]),
        f"{crm}_processing_error": Wanted("text", TEXT, set_to_null=True, cut_at=LONGEST_ERROR),
        external_id: Wanted("varchar", TEXT, set_to_null=True, least_length=LONGEST_ADDRESS),
    }


def contact_columns(crms: Mapping[str, str]) -> dict[str, Wanted]:
    """All columns of `contacts` for these CRMs (name -> column of its id), in the order in which they are made."""
    longest_name = max(map(len, crms), default=0)
    columns = _SHARED | {"last_failed_crm": replace(_SHARED["last_failed_crm"], least_length=longest_name)}
    for crm, external_id in crms.items():
        columns |= crm_columns(crm, external_id)
    return columns


@dataclass(frozen=True, slots=True)
class Index:
    """An index: `definition` is what follows ON."""

    name: str
    table: str
    definition: str
    unique: bool = False


def contact_indexes(crms: Sequence[str] | Mapping[str, str]) -> list[Index]:
    """What is due, and what waits for its time: as large as the backlog, not as the table."""
    indexes = []
    for crm in crms:
        sync, processing = f"{crm}_sync_status", f"{crm}_processing_status"
        due = f"{processing} = 'Queued' AND {sync} IN ('Selected', 'Queued', 'Complete', 'Error')"
        waiting = f"{sync} IN ('Selected', 'Queued') AND {processing} IS DISTINCT FROM 'Queued'"
        indexes += [
            Index(f"contacts_{crm}_due", "contacts", f"(updated_at, id) WHERE {due}"),
            Index(f"contacts_{crm}_waiting", "contacts", f"(id) WHERE {waiting}"),
        ]
    return indexes


@dataclass(frozen=True, slots=True)
class OwnTable:
    """A table that is ours alone."""

    columns: Mapping[str, str]
    constraints: Sequence[str]
    options: str
    privileges: tuple[str, ...]
    """What the pipeline's role needs on it."""

    def definition(self) -> str:
        """What stands in the parentheses of CREATE TABLE."""
        return ",\n    ".join([*(f"{name} {column}" for name, column in self.columns.items()), *self.constraints])


OWN_TABLES: dict[str, OwnTable] = {
    "crm_sync": OwnTable(
        {
            "contact_id": "uuid NOT NULL REFERENCES contacts (id) ON DELETE CASCADE",
            "crm": "text NOT NULL",
            "retry_count": "integer NOT NULL DEFAULT 0",
            "next_retry_at": "timestamptz",
            "lease_id": "uuid",
            "leased_until": "timestamptz",
            "run_id": "text",
            "prior_sync_status": "text",
            "prior_processing_status": "text",
            "email_key": "text",
            "crashes": "integer NOT NULL DEFAULT 0",
            "claimed_fingerprint": "text",
            "synced_fingerprint": "text",
            "synced_at": "timestamptz",
            "target": "text",
            "refused_until": "timestamptz",
        },
        [
            "PRIMARY KEY (contact_id, crm)",
            "CONSTRAINT crm_sync_lease_has_an_end CHECK ((lease_id IS NULL) = (leased_until IS NULL))",
        ],
        HOT_TABLE,
        ("SELECT", "INSERT", "UPDATE"),
    ),
    "crm_attempts": OwnTable(
        {
            "id": "bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
            "crm": "text NOT NULL",
            "contact_id": "uuid NOT NULL REFERENCES contacts (id) ON DELETE CASCADE",
            "run_id": "text",
            "lease_id": "uuid NOT NULL",
            "attempt": "integer NOT NULL",
            "target": "text NOT NULL",
            "started_at": "timestamptz NOT NULL",
            "duration_ms": "integer",
            "outcome": "text NOT NULL "
            "CHECK (outcome IN ('synced', 'failed', 'blocked', 'rejected', 'skipped', 'released'))",
            "http_status": "integer",
            "code": "text",
            "error": f"text CHECK (length(error) <= {LONGEST_ERROR})",
            "external_id": "text",
            "request_id": "text",
            "note": "text",
            "left_behind": "text",
            "applied": "text NOT NULL DEFAULT 'pending' "
            "CHECK (applied IN ('pending', 'applied', 'fenced', 'overruled'))",
        },
        ["UNIQUE (lease_id, contact_id)"],
        "",
        ("SELECT", "INSERT", "UPDATE", "DELETE"),
    ),
    "crm_ledger": OwnTable(
        {
            "crm": "text NOT NULL",
            "contact_id": "uuid NOT NULL REFERENCES contacts (id) ON DELETE CASCADE",
            "state": "text NOT NULL",
            "since": "timestamptz NOT NULL",
        },
        ["PRIMARY KEY (contact_id, crm)"],
        "",
        ("SELECT", "INSERT", "UPDATE", "DELETE"),
    ),
    "crm_gate": OwnTable(
        {
            "crm": "text PRIMARY KEY",
            "rate_per_second": "double precision NOT NULL CHECK (rate_per_second > 0)",
            "next_slot_at": "timestamptz NOT NULL DEFAULT now()",
            "paused_until": "timestamptz",
            "cause": "text",
            "cause_kind": "text CHECK (cause_kind IN ('throttled', 'unavailable', 'closed'))",
            "failures_in_a_row": "integer NOT NULL DEFAULT 0",
            "pauses_in_a_row": "integer NOT NULL DEFAULT 0",
            "identity": "text",
            "checked_at": "timestamptz",
            "taken_back_at": "timestamptz",
            "pace": "double precision NOT NULL DEFAULT 1 CHECK (pace > 0 AND pace <= 1)",
            "throttled_at": "timestamptz",
            "throttles": "integer NOT NULL DEFAULT 0",
            "raised_at": "timestamptz",
            "limit_per_second": "double precision CHECK (limit_per_second > 0)",
            "requests_per_hour": "integer CHECK (requests_per_hour > 0)",
            "hour_ends_at": "timestamptz",
            "hour_used": "integer NOT NULL DEFAULT 0",
            "refused_in_a_row": "integer NOT NULL DEFAULT 0",
            "refused_at": "timestamptz",
            "accepted_at": "timestamptz",
        },
        ["CHECK ((cause IS NULL) = (cause_kind IS NULL))"],
        "fillfactor = 50",
        ("SELECT", "INSERT", "UPDATE"),
    ),
}
OWN_INDEXES = [
    Index("crm_sync_backoff", "crm_sync", "(crm, next_retry_at) WHERE next_retry_at IS NOT NULL"),
    Index("crm_sync_lease", "crm_sync", "(lease_id) WHERE lease_id IS NOT NULL"),
    Index("crm_sync_one_address_in_flight", "crm_sync", "(crm, email_key) WHERE lease_id IS NOT NULL", unique=True),
    Index("crm_sync_address", "crm_sync", "(email_key)"),
    Index("crm_sync_refused", "crm_sync", "(crm) WHERE refused_until IS NOT NULL"),
    Index("crm_attempts_contact", "crm_attempts", "(contact_id, crm, started_at)"),
    Index("crm_attempts_run", "crm_attempts", "(run_id)"),
    Index("crm_attempts_time", "crm_attempts", "USING brin (started_at)"),
    Index("crm_attempts_pending", "crm_attempts", "(crm, lease_id) WHERE applied = 'pending'"),
    Index("crm_attempts_left_behind", "crm_attempts", "(crm) WHERE left_behind IS NOT NULL"),
]
