"""Creates or adopts `contacts`, and makes crm_sync, crm_attempts and crm_gate."""

from alembic import op

from crm_pipeline.database.migrations.crm_columns import add_crm, add_enum, add_missing_columns, table_exists

revision = "0001"
down_revision = None

HOT_TABLE = (
    "fillfactor = 70, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000, "
    "autovacuum_analyze_scale_factor = 0.01, autovacuum_vacuum_cost_delay = 0"
)


def upgrade() -> None:
    """Add what is missing; change no value."""
    add_enum("contact_email_type_enum", ["SERVICE", "CORPORATE", "FREE", "UNKNOWN"])
    add_enum("crm_sync_status", ["New", "Selected", "Queued", "Processing", "Complete", "Error", "Skipped"])
    add_enum("crm_processing_status", ["Queued", "Processing", "Complete", "Error"])
    if not table_exists("contacts"):
        op.execute(
            "CREATE TABLE contacts (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), email text NOT NULL) "
            f"WITH ({HOT_TABLE})"
        )
    add_missing_columns(
        "contacts",
        {
            "name": "text",
            "phone_number": "text",
            "email_type": "contact_email_type_enum",
            "has_gmail": "boolean",
            "context": "text",
            "source_url": "text",
            "source_job_id": "uuid",
            "domain_id": "uuid",
            "page_id": "uuid",
            "created_at": "timestamptz DEFAULT now()",
            "updated_at": "timestamptz DEFAULT now()",
            "retry_count": "integer NOT NULL DEFAULT 0",
            "last_retry_at": "timestamptz",
            "next_retry_at": "timestamptz",
            "last_failed_crm": "varchar(32)",
        },
    )
    op.execute(f"""
        CREATE TABLE crm_sync (
            contact_id uuid NOT NULL REFERENCES contacts (id) ON DELETE CASCADE,
            crm text NOT NULL,
            retry_count integer NOT NULL DEFAULT 0,
            next_retry_at timestamptz,
            lease_id uuid,
            leased_until timestamptz,
            run_id text,
            prior_sync_status text,
            prior_processing_status text,
            email_key text,
            crashes integer NOT NULL DEFAULT 0,
            claimed_fingerprint text,
            synced_fingerprint text,
            synced_at timestamptz,
            target text,
            PRIMARY KEY (contact_id, crm),
            CONSTRAINT crm_sync_lease_has_an_end CHECK ((lease_id IS NULL) = (leased_until IS NULL))
        ) WITH ({HOT_TABLE})""")
    op.execute("CREATE INDEX crm_sync_backoff ON crm_sync (crm, next_retry_at) WHERE next_retry_at IS NOT NULL")
    op.execute("CREATE INDEX crm_sync_lease ON crm_sync (lease_id) WHERE lease_id IS NOT NULL")
    op.execute(
        "CREATE UNIQUE INDEX crm_sync_one_address_in_flight ON crm_sync (crm, email_key) WHERE lease_id IS NOT NULL"
    )
    op.execute("""
        CREATE TABLE crm_attempts (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            crm text NOT NULL,
            contact_id uuid NOT NULL REFERENCES contacts (id) ON DELETE CASCADE,
            run_id text,
            lease_id uuid NOT NULL,
            attempt integer NOT NULL,
            target text NOT NULL,
            started_at timestamptz NOT NULL,
            duration_ms integer,
            outcome text NOT NULL
                CHECK (outcome IN ('synced', 'failed', 'blocked', 'rejected', 'skipped', 'released')),
            http_status integer,
            code text,
            error text CHECK (length(error) <= 500),
            external_id text,
            request_id text,
            note text,
            applied text NOT NULL DEFAULT 'pending' CHECK (applied IN ('pending', 'applied', 'fenced', 'overruled')),
            UNIQUE (lease_id, contact_id)
        )""")
    op.execute("CREATE INDEX crm_attempts_contact ON crm_attempts (contact_id, crm, started_at)")
    op.execute("CREATE INDEX crm_attempts_run ON crm_attempts (run_id)")
    op.execute("CREATE INDEX crm_attempts_pending ON crm_attempts (crm, lease_id) WHERE applied = 'pending'")
    op.execute("""
        CREATE TABLE crm_gate (
            crm text PRIMARY KEY,
            rate_per_second double precision NOT NULL CHECK (rate_per_second > 0),
            next_slot_at timestamptz NOT NULL DEFAULT now(),
            paused_until timestamptz,
            cause text,
            cause_kind text CHECK (cause_kind IN ('throttled', 'unavailable', 'closed')),
            failures_in_a_row integer NOT NULL DEFAULT 0,
            pauses_in_a_row integer NOT NULL DEFAULT 0,
            identity text,
            checked_at timestamptz,
            taken_back_at timestamptz,
            CHECK ((cause IS NULL) = (cause_kind IS NULL))
        ) WITH (fillfactor = 50)""")
    for crm, external_id in {
        "brevo": "brevo_contact_id",
        "hubspot": "hubspot_contact_id",
        "mautic": "mautic_contact_id",
        "n8n": "n8n_workflow_id",
    }.items():
        add_crm(crm, external_id)
