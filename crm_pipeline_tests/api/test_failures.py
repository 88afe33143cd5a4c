"""What failed and how much is where, over HTTP."""

from __future__ import annotations

from uuid import UUID

from crm_pipeline.contacts.queue import Queue
from crm_pipeline.contacts.statuses import PAIRS, Meaning
from crm_pipeline.database.engine import Database
from crm_pipeline.model import OutcomeKind
from crm_pipeline_tests.api.conftest import Client
from crm_pipeline_tests.contacts.steps import push
from crm_pipeline_tests.support.contacts import insert, pair, pairs, sql

BREVO = {"crm": "brevo"}


def one_of_each_pair(database: Database) -> dict[UUID, Meaning]:
    return {
        insert(database, f"{sync}-{processing}@example.com", sync, processing): meaning
        for (sync, processing), meaning in PAIRS.items()
    }


def test_all_that_was_given_up_is_due_again_and_nothing_else(api: Client, database: Database) -> None:
    meanings = one_of_each_pair(database)
    before = {one: pair(database, one) for one in meanings}
    said = api.post("/api/v3/contacts/retry-all-failures", params=BREVO).json()
    given_up = [one for one, meaning in meanings.items() if meaning is Meaning.GIVEN_UP]
    assert (said["crm"], said["retried_count"]) == ("brevo", len(given_up))
    assert said["message"].startswith(f"{len(given_up)} contacts are due again for Brevo.")
    for one in meanings:
        assert pair(database, one) == (("Selected", "Queued") if one in given_up else before[one])
    assert api.post("/api/v3/contacts/retry-all-failures", params=BREVO).json()["retried_count"] == 0


def test_the_stats_count_each_pair_and_what_is_due_and_waits(api: Client, database: Database) -> None:
    meanings = one_of_each_pair(database)
    sql(database, "UPDATE contacts SET updated_at = now() - interval '1 hour'")
    said = api.get("/api/v3/contacts/sync-stats", params=BREVO).json()
    counted = {(row["sync_status"], row["processing_status"]): (row["state"], row["contacts"]) for row in said["pairs"]}
    assert counted == {statuses: (meaning, 1) for statuses, meaning in PAIRS.items()}
    due = [one for one, meaning in meanings.items() if meaning in (Meaning.DUE, Meaning.WISH)]
    assert (said["due"], said["waiting"]) == (len(due), 1)
    assert 3600 <= said["oldest_due_seconds"] < 3700


def test_the_table_is_scanned_once_a_minute_and_what_is_due_counted_each_time(api: Client, database: Database) -> None:
    insert(database, "ann@example.com")
    first = api.get("/api/v3/contacts/sync-stats", params=BREVO).json()
    insert(database, "bob@example.com")
    second = api.get("/api/v3/contacts/sync-stats", params=BREVO).json()
    assert (first["due"], second["due"]) == (1, 2)
    assert second["pairs"] == first["pairs"]
    assert second["pairs_counted_at"] == first["pairs_counted_at"]


def test_the_pages_of_failures_have_each_once_with_its_address_reason_and_what_to_do(
    api: Client, database: Database, queue: Queue
) -> None:
    given_up = [
        insert(database, f"{n}@example.com", "Error", "Error", brevo_processing_error=f"no {n}") for n in range(5)
    ]
    waiting = [insert(database, f"waiting-{n}@example.com") for n in range(2)]
    push(queue, *waiting, kind=OutcomeKind.FAILED, error="because")
    insert(database, "due@example.com")
    seen, cursor = [], None
    while True:
        page = {"limit": 3} | ({"cursor": cursor} if cursor else {})
        said = api.get("/api/v3/contacts/sync-failures", params=BREVO | page).json()
        assert len(said["failures"]) <= 3
        seen += said["failures"]
        cursor = said["next_cursor"]
        if cursor is None:
            break
    assert [row["contact_id"] for row in seen] == sorted(map(str, given_up + waiting))
    by_address = {row["email"]: row for row in seen}
    refused, failed = by_address["3@example.com"], by_address["waiting-0@example.com"]
    assert (refused["state"], refused["error"], refused["next_retry_at"]) == ("given up", "no 3", None)
    assert (failed["state"], failed["error"], failed["retry_count"]) == ("waiting", "because", 1)
    assert failed["next_retry_at"] is not None
    assert "Mend" in refused["what_to_do"]
    assert "tried again after" in failed["what_to_do"]


def test_the_last_page_is_named_so_even_when_it_is_full(api: Client, database: Database) -> None:
    for n in range(3):
        insert(database, f"{n}@example.com", "Error", "Error")
    assert api.get("/api/v3/contacts/sync-failures", params=BREVO | {"limit": 3}).json()["next_cursor"] is None


def test_failures_that_are_mended_between_two_pages_hide_none_of_the_others(api: Client, database: Database) -> None:
    ids = sorted(insert(database, f"{n}@example.com", "Error", "Error") for n in range(6))
    said = api.get("/api/v3/contacts/sync-failures", params=BREVO | {"limit": 3}).json()
    sql(database, "DELETE FROM contacts WHERE id = ANY(:ids)", ids=ids[1:3])
    page = {"limit": 3, "cursor": said["next_cursor"]}
    said = api.get("/api/v3/contacts/sync-failures", params=BREVO | page).json()
    assert [row["contact_id"] for row in said["failures"]] == [str(one) for one in ids[3:]]


def test_an_unknown_crm_a_missing_one_and_a_wrong_page_are_refused(api: Client, database: Database) -> None:
    insert(database, "ann@example.com", "Error", "Error")
    for method, path in (("GET", "sync-stats"), ("GET", "sync-failures"), ("POST", "retry-all-failures")):
        said = api.request(method, f"/api/v3/contacts/{path}", params={"crm": "nocrm"})
        assert (said.status_code, said.json()["valid_crms"]) == (400, ["brevo"])
        assert api.request(method, f"/api/v3/contacts/{path}").status_code == 422
    for page in ({"limit": 0}, {"limit": 1001}, {"cursor": "x"}, {"cursor": "%" * 22}, {"curser": "A" * 22}):
        assert api.get("/api/v3/contacts/sync-failures", params=BREVO | page).status_code == 422
    assert pairs(database) == {"Error/Error": 1}
