"""An application's table is taken over: no value changes, what it left unfinished goes on, its own types are used."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from crm_pipeline.contacts.answers import RetryPolicy
from crm_pipeline.contacts.columns import CrmColumns
from crm_pipeline.contacts.lookup import Contacts
from crm_pipeline.contacts.queue import Queue
from crm_pipeline.database.catalog import check_schema
from crm_pipeline.database.engine import Database
from crm_pipeline.database.upgrade import upgrade
from crm_pipeline.errors import UsageError
from crm_pipeline.model import JournalEntry, Outcome, OutcomeKind
from crm_pipeline_tests.database.application import PLAIN, PROCESSING_LABELS, WITH_CRM
from crm_pipeline_tests.support.contacts import attempts, contact, insert, sql

FAILED = Outcome(OutcomeKind.FAILED, 400, error="Brevo says no, and " + "gives a very long reason " * 30)
# What the extension itself runs: it does not come with the embedded server.
CITEXT = """
    CREATE TYPE citext;
    CREATE FUNCTION citextin(cstring) RETURNS citext AS 'textin' LANGUAGE internal IMMUTABLE STRICT;
    CREATE FUNCTION citextout(citext) RETURNS cstring AS 'textout' LANGUAGE internal IMMUTABLE STRICT;
    CREATE TYPE citext (
        INPUT = citextin, OUTPUT = citextout, INTERNALLENGTH = VARIABLE, STORAGE = extended, CATEGORY = 'S',
        COLLATABLE = true
    );
    CREATE CAST (citext AS text) WITHOUT FUNCTION AS IMPLICIT;
    CREATE CAST (citext AS varchar) WITHOUT FUNCTION AS IMPLICIT;
    CREATE CAST (text AS citext) WITHOUT FUNCTION AS ASSIGNMENT;
    CREATE CAST (varchar AS citext) WITHOUT FUNCTION AS ASSIGNMENT;
"""


def adopted_queue(database: Database, crm: str = "brevo", external_id: str = "brevo_contact_id") -> Queue:
    """The queue as `wiring` makes it for this database."""
    types = check_schema(database, crm, external_id)
    columns = CrmColumns(crm, external_id, types.sync, types.processing, types.error_length)
    return Queue(database, columns, RetryPolicy(), target="api.example.com")


def push(queue: Queue, contact_id: UUID, outcome: Outcome) -> None:
    lease = uuid4()
    (claimed,) = queue.claim([contact_id], lease, "run", 120).contacts
    queue.journal(lease, "run", [JournalEntry(claimed.id, outcome, 0)])
    queue.write_back(lease)


def test_no_value_changes_and_no_row_is_rewritten(empty: Database) -> None:
    sql(empty, WITH_CRM)
    sql(
        empty,
        "INSERT INTO contacts (email, favourite_colour, hubspot_sync_status) VALUES ('Ann@X.com ', 'red', 'Complete')",
    )
    (before,) = sql(empty, "SELECT *, xmin::text AS version FROM contacts")
    upgrade(empty)
    (after,) = sql(empty, "SELECT *, xmin::text AS version FROM contacts")
    assert {name: getattr(after, name) for name in before._fields} == before._asdict()
    assert (after.brevo_sync_status, after.brevo_processing_status) == ("New", None)


def test_a_crms_own_enums_are_used_under_their_names(empty: Database) -> None:
    sql(empty, WITH_CRM)
    upgrade(empty)
    types = check_schema(empty, "hubspot", "hubspot_contact_id")
    assert (types.sync, types.processing) == ("hubspot_sync_status", "hubspot_sync_processing_status")
    (row,) = sql(empty, "INSERT INTO contacts (email) VALUES ('ann@example.com') RETURNING id")
    queue = adopted_queue(empty, "hubspot", "hubspot_contact_id")
    queue.select([row.id])
    push(queue, row.id, Outcome(OutcomeKind.SYNCED, 201, external_id="17"))
    after = contact(empty, row.id)
    assert (after.hubspot_sync_status, after.hubspot_contact_id) == ("Complete", "17")


def test_missing_labels_of_an_adopted_enum_are_added(empty: Database) -> None:
    sql(
        empty, WITH_CRM.replace("'New', 'Selected', 'Queued'", "'New', 'Queued'").replace(", 'Skipped'", ", 'Archived'")
    )
    upgrade(empty)
    labels = sql(empty, "SELECT unnest(enum_range(NULL::hubspot_sync_status))::text AS label")
    assert {row.label for row in labels} == {
        *("New", "Selected", "Queued", "Processing", "Complete", "Error", "Skipped", "Archived")
    }
    check_schema(empty, "hubspot", "hubspot_contact_id")


def test_one_enum_for_both_statuses_gets_the_labels_of_both(empty: Database) -> None:
    sql(
        empty,
        f"CREATE TYPE status AS ENUM ('New', 'Queued', 'Error'); {PLAIN}; ALTER TABLE contacts "
        "ADD COLUMN brevo_sync_status status NOT NULL DEFAULT 'New', ADD COLUMN brevo_processing_status status",
    )
    upgrade(empty)
    types = check_schema(empty, "brevo", "brevo_contact_id")
    assert (types.sync, types.processing) == ("status", "status")


def test_contacts_that_wait_for_a_retry_get_their_mechanics(empty: Database) -> None:
    sql(empty, WITH_CRM)
    sql(
        empty,
        "INSERT INTO contacts (email, hubspot_sync_status, hubspot_processing_status, retry_count, next_retry_at, "
        "last_failed_crm) VALUES ('own', 'Queued', 'Error', 2, '2031-01-01', 'hubspot'), "
        "('other', 'Queued', 'Error', 2, '2031-01-01', 'mautic'), ('nobody', 'Queued', 'Error', 1, NULL, NULL), "
        "('timeless', 'Queued', 'Error', 1, NULL, 'hubspot'), ('given up', 'Error', 'Error', 3, NULL, 'hubspot')",
    )
    upgrade(empty)
    rows = sql(
        empty,
        "SELECT c.email, s.crm, s.retry_count, s.lease_id, CASE WHEN s.next_retry_at <= now() THEN 'now' "
        "ELSE to_char(s.next_retry_at, 'YYYY') END AS due FROM crm_sync s JOIN contacts c ON c.id = s.contact_id",
    )
    assert {tuple(row) for row in rows} == {
        ("own", "hubspot", 2, None, "2031"),
        ("other", "hubspot", 0, None, "now"),
        ("nobody", "hubspot", 0, None, "now"),
        ("timeless", "hubspot", 1, None, "now"),
    }


def test_thousands_of_waiting_contacts_are_taken_over_each_once(empty: Database) -> None:
    sql(empty, WITH_CRM)
    sql(
        empty,
        "INSERT INTO contacts (id, email, hubspot_sync_status, hubspot_processing_status) "
        "SELECT lpad(to_hex(i), 32, '0')::uuid, i, 'Queued', 'Error' FROM generate_series(0, 2500) i",
    )
    upgrade(empty)
    assert sql(empty, "SELECT count(*) AS rows, count(DISTINCT contact_id) AS contacts FROM crm_sync") == [(2501, 2501)]


def test_what_an_application_left_in_processing_is_taken_back_and_pushed(empty: Database) -> None:
    sql(empty, WITH_CRM)
    (row,) = sql(
        empty,
        "INSERT INTO contacts (email, hubspot_sync_status, hubspot_processing_status) "
        "VALUES ('ann@example.com', 'Processing', 'Processing') RETURNING id",
    )
    upgrade(empty)
    queue = adopted_queue(empty, "hubspot", "hubspot_contact_id")
    queue.take_back()
    assert [due.id for due in queue.list_due(10)] == [row.id]


@pytest.mark.parametrize(
    ("before", "type_name"),
    [
        ("", "varchar(300)"),
        (CITEXT, "citext"),
        ("CREATE DOMAIN address AS varchar(300) CHECK (value <> ''); CREATE DOMAIN mail AS address", "mail"),
    ],
)
def test_text_varchar_citext_and_domains_over_them_are_the_same(empty: Database, before: str, type_name: str) -> None:
    if before:
        sql(empty, before)
    sql(
        empty,
        f"CREATE TABLE contacts (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), email {type_name}, name {type_name}, "
        f"brevo_processing_error {type_name}, brevo_contact_id {type_name}, last_failed_crm {type_name})",
    )
    upgrade(empty)
    contact_id = insert(empty, "Ann@Example.com ")
    queue = adopted_queue(empty)
    assert queue.list_due(10)[0].email_key == "ann@example.com"
    push(queue, contact_id, FAILED)
    assert contact(empty, contact_id).last_failed_crm == "brevo"
    queue.select([contact_id])
    push(queue, contact_id, Outcome(OutcomeKind.SYNCED, 201, external_id="ann@example.com"))
    after = contact(empty, contact_id)
    assert (after.brevo_sync_status, after.last_failed_crm) == ("Complete", None)
    assert after.brevo_contact_id == "ann@example.com"


@pytest.mark.parametrize(
    "outcome", [FAILED, *(Outcome(kind, error="x" * 200) for kind in (OutcomeKind.BLOCKED, OutcomeKind.REJECTED))]
)
def test_an_error_is_cut_where_the_applications_column_is_short(empty: Database, outcome: Outcome) -> None:
    sql(empty, PLAIN)
    sql(empty, "ALTER TABLE contacts ADD COLUMN brevo_processing_error varchar(40)")
    upgrade(empty)
    contact_id = insert(empty, "ann@example.com")
    assert outcome.error is not None
    push(adopted_queue(empty), contact_id, outcome)
    assert contact(empty, contact_id).brevo_processing_error == outcome.error[:40]
    assert [row.error for row in attempts(empty, contact_id)] == [outcome.error[:500]]


def test_a_skipped_given_up_or_poisoned_contacts_error_is_cut_too(empty: Database) -> None:
    sql(empty, PLAIN)
    sql(empty, "ALTER TABLE contacts ADD COLUMN brevo_processing_error varchar(40)")
    upgrade(empty)
    queue = adopted_queue(empty)
    skipped, given_up, poisoned = (insert(empty, f"{name}@example.com") for name in ("a", "b", "c"))
    push(queue, skipped, Outcome(OutcomeKind.SKIPPED, error="y" * 100))
    sql(empty, "INSERT INTO crm_sync (contact_id, crm, retry_count) VALUES (:id, 'brevo', 3)", id=given_up)
    sql(empty, "UPDATE contacts SET brevo_sync_status = 'Queued' WHERE id = :id", id=given_up)
    push(queue, given_up, FAILED)
    sql(empty, "INSERT INTO crm_sync (contact_id, crm, crashes) VALUES (:id, 'brevo', 4)", id=poisoned)
    queue.claim([poisoned], uuid4(), "run", -1)
    queue.reap()
    errors = [contact(empty, contact_id).brevo_processing_error for contact_id in (skipped, given_up, poisoned)]
    assert errors == ["y" * 40, "Max retries exceeded (3). Last error: Br", "The process died 5 times while this cont"]


def test_a_trigger_on_updated_at_is_not_fired_by_the_adoption_and_does_not_disturb_a_push(empty: Database) -> None:
    sql(empty, PLAIN)
    sql(empty, "INSERT INTO contacts (email, updated_at) VALUES ('ann@example.com', '2001-01-01')")
    sql(
        empty,
        "CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN NEW.updated_at = clock_timestamp(); RETURN NEW; END $$; "
        "CREATE TRIGGER touch BEFORE UPDATE ON contacts FOR EACH ROW EXECUTE FUNCTION touch()",
    )
    upgrade(empty)
    (row,) = sql(empty, "SELECT id, updated_at FROM contacts")
    assert row.updated_at.year == 2001
    queue = adopted_queue(empty)
    queue.select([row.id])
    push(queue, row.id, Outcome(OutcomeKind.SYNCED, 201, external_id="ann@example.com"))
    assert contact(empty, row.id).brevo_sync_status == "Complete"


def test_a_table_without_times_gets_them_and_its_rows_are_not_touched(empty: Database) -> None:
    sql(empty, "CREATE TABLE contacts (id uuid PRIMARY KEY, email text)")
    sql(empty, "INSERT INTO contacts VALUES (gen_random_uuid(), NULL)")
    (before,) = sql(empty, "SELECT xmin::text AS version FROM contacts")
    upgrade(empty)
    (after,) = sql(empty, "SELECT xmin::text AS version, updated_at FROM contacts")
    assert after.version == before.version
    assert after.updated_at is not None


def test_a_contact_without_an_address_is_claimed_as_one(empty: Database) -> None:
    sql(empty, "CREATE TABLE contacts (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), email text)")
    upgrade(empty)
    contact_id = insert(empty, None)  # type: ignore[arg-type]
    (claimed,) = adopted_queue(empty).claim([contact_id], uuid4(), "run", 120).contacts
    assert claimed.email == ""


def test_waiting_contacts_whose_retries_are_unknown_start_from_none(empty: Database) -> None:
    sql(empty, WITH_CRM.replace("retry_count integer NOT NULL DEFAULT 0", "retry_count bigint"))
    (row,) = sql(
        empty,
        "INSERT INTO contacts (email, hubspot_sync_status, hubspot_processing_status, last_failed_crm) "
        "VALUES ('ann@example.com', 'Queued', 'Error', 'hubspot') RETURNING id",
    )
    upgrade(empty)
    assert sql(empty, "SELECT retry_count FROM crm_sync WHERE contact_id = :id", id=row.id) == [(0,)]


def test_a_contact_can_be_added_where_the_application_fills_in_its_values_itself(empty: Database) -> None:
    sql(
        empty,
        f"CREATE TYPE status AS ENUM ({PROCESSING_LABELS}, 'New', 'Selected', 'Skipped'); "
        "CREATE TABLE contacts (id uuid PRIMARY KEY, email text NOT NULL, name text NOT NULL DEFAULT '', "
        "created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL, retry_count int NOT NULL, "
        "brevo_sync_status status NOT NULL)",
    )
    upgrade(empty)
    row = contact(empty, Contacts(empty).add("ann@example.com"))
    assert (row.name, row.retry_count, row.brevo_sync_status) == ("", 0, "New")
    assert row.created_at is not None


def test_adding_a_contact_says_which_columns_only_the_application_can_fill(empty: Database) -> None:
    sql(empty, PLAIN)
    sql(empty, "ALTER TABLE contacts ADD COLUMN tenant int NOT NULL, ADD COLUMN plan text NOT NULL")
    upgrade(empty)
    with pytest.raises(UsageError, match="must have a value in tenant, plan"):
        Contacts(empty).add("ann@example.com")
    sql(empty, "ALTER TABLE contacts ALTER COLUMN tenant SET DEFAULT 1, ALTER COLUMN plan SET DEFAULT 'free'")
    Contacts(empty).add("ann@example.com")


def test_an_unknown_label_is_never_claimed(empty: Database) -> None:
    sql(empty, WITH_CRM.replace("'Error', 'Skipped'", "'Error', 'Skipped', 'Archived'"))
    (row,) = sql(
        empty,
        "INSERT INTO contacts (email, hubspot_sync_status, hubspot_processing_status) "
        "VALUES ('ann@example.com', 'Archived', 'Queued') RETURNING id",
    )
    upgrade(empty)
    queue = adopted_queue(empty, "hubspot", "hubspot_contact_id")
    assert queue.list_due(10) == []
    assert queue.claim([row.id], uuid4(), "run", 120).contacts == []


def test_the_mechanics_are_not_made_for_contacts_at_rest(empty: Database) -> None:
    sql(empty, WITH_CRM)
    sql(empty, "INSERT INTO contacts (email, hubspot_sync_status) VALUES ('ann@example.com', 'Complete')")
    upgrade(empty)
    assert empty.run(lambda connection: connection.execute(text("SELECT count(*) FROM crm_sync")).scalar()) == 0
