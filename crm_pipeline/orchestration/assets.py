"""What Dagster shows of the data: the application's table, and each CRM's contacts as they were synced."""

from __future__ import annotations

from dagster import AssetKey, AssetMaterialization, AssetSpec, MetadataValue, TableColumn, TableRecord, TableSchema

from crm_pipeline.crms.protocol import CrmSpec
from crm_pipeline.model import Failure, OutcomeKind, RunSummary

GROUP = "crm"
OWNERS = ["team:data"]
CONTACTS = AssetSpec(
    "contacts",
    group_name=GROUP,
    owners=OWNERS,
    kinds={"postgres"},
    description=(
        "The application's own table of contacts. A person or an app wants a contact in a CRM by setting its "
        "`{crm}_sync_status` to `Selected` and its `{crm}_processing_status` to `Queued`."
    ),
)
FAILURE_COLUMNS = TableSchema(
    [
        TableColumn("email", "string", "The address, masked."),
        TableColumn("contact_id", "string", "The contact's id, for `crm-pipeline` and SQL."),
        TableColumn("outcome", "string"),
        TableColumn("error", "string"),
        TableColumn("retry", "int", "Retries used."),
        TableColumn("next_try", "string", "When it is tried again, UTC; empty: not by itself."),
    ]
)


def crm_asset(spec: CrmSpec) -> AssetSpec:
    """`{crm}/contacts`: one point per run in its plots."""
    return AssetSpec(
        contacts_key(spec.name),
        deps=[CONTACTS],
        group_name=GROUP,
        owners=OWNERS,
        kinds={spec.name},
        description=(
            f"The contacts in {spec.title}, as `{spec.name}_sync` pushed them. Each run adds a point to the plots: "
            "contacts by outcome, their pace, the time that the CRM took, and what was left to do. "
            "The table lists the run's failures."
        ),
    )


def contacts_key(crm: str) -> AssetKey:
    """The asset of one CRM's contacts."""
    return AssetKey([crm, "contacts"])


def materialization(crm: str, summary: RunSummary) -> AssetMaterialization:
    """One run's numbers, always the same keys, so that each makes a plot; and its failures, without personal data."""
    counts = {kind.value: summary.attempts.get(kind.value, 0) for kind in OutcomeKind}
    counts |= {
        "given_up": summary.given_up,
        "requeued": summary.requeued,
        "queued": summary.queued,
        "waiting": summary.waiting,
    }
    times = {
        "throughput_per_second": summary.throughput_per_second,
        "p50_ms": summary.p50_ms or 0.0,
        "p95_ms": summary.p95_ms or 0.0,
    }
    failures = [_record(failure) for failure in summary.failures]
    return AssetMaterialization(
        contacts_key(crm),
        metadata={
            **{name: MetadataValue.int(count) for name, count in counts.items()},
            **{name: MetadataValue.float(float(time)) for name, time in times.items()},
            "failures": MetadataValue.table(failures, FAILURE_COLUMNS),
        },
    )


def _record(failure: Failure) -> TableRecord:
    return TableRecord(
        {
            "email": failure.masked_email,
            "contact_id": str(failure.contact_id),
            "outcome": failure.outcome,
            "error": failure.error or "",
            "retry": failure.retry_count,
            "next_try": f"{failure.next_retry_at:%Y-%m-%d %H:%M:%S}" if failure.next_retry_at else "",
        }
    )
