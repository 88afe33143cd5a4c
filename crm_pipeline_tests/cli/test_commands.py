"""What people do from a terminal, and what they read when something is wrong."""

from __future__ import annotations

import os
import signal
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from crm_pipeline.database.engine import Database
from crm_pipeline.sandbox.account import Account
from crm_pipeline_tests.cli.conftest import Run
from crm_pipeline_tests.support.contacts import contact, insert, insert_many, pair, pairs, sql

pytestmark = pytest.mark.usefixtures("environment")


def test_a_contact_is_added_selected_synced_and_explained(database: Database, account: Account, run: Run) -> None:
    assert run("contacts", "add", "Ann@Example.com", "--name", "Ann Lee", "--select").code == 0
    assert "1 synced" in run("sync", "brevo").out
    assert pairs(database) == {"Complete/Complete": 1}
    stored = account.contact("ann@example.com")
    assert stored is not None
    assert stored.attributes == {"FIRSTNAME": "Ann", "LASTNAME": "Lee"}
    why = run("contacts", "why", "ann@example.com").out
    assert "Complete / Complete: it is in 127.0.0.1" in why
    assert "as ann@example.com" in why
    assert "attempt 1 synced 201" in why


def test_a_refused_contact_is_no_failure_of_the_command_and_its_address_is_masked(database: Database, run: Run) -> None:
    insert_many(database, 2)
    insert(database, "nobody@invalid")
    said = run("sync", "brevo")
    assert said.code == 0
    assert "2 synced" in said.out
    assert "1 failed" in said.out
    assert "1 waiting for their retry" in said.out
    assert "Invalid email address" in said.out
    assert "nobody@invalid" not in said.out + said.err
    assert "it is tried again after" in run("contacts", "why", "nobody@invalid").out


def test_one_contact_is_selected_and_pushed_alone(database: Database, account: Account, run: Run) -> None:
    insert_many(database, 3)
    given_up = insert(database, "ann@example.com", "Error", "Error")
    assert run("sync", "brevo", "--contact", "ANN@example.com").code == 0
    assert pair(database, given_up) == ("Complete", "Complete")
    assert [address for _, address in account.received] == ["ann@example.com"]


def test_a_contact_that_opted_out_is_not_pushed_by_naming_it(database: Database, account: Account, run: Run) -> None:
    insert(database, "ann@example.com", "Skipped", None)
    said = run("sync", "brevo", "--contact", "ann@example.com")
    assert said.code == 2
    assert "ann@example.com is Skipped" in said.err
    assert account.received == []


def test_a_wrong_key_ends_with_1_says_what_to_do_and_touches_nothing(
    database: Database, account: Account, run: Run
) -> None:
    insert_many(database, 3)
    account.api_key = "another"
    said = run("sync", "brevo")
    assert said.code == 1
    assert "Brevo does not accept the key" in said.err
    assert "BREVO_API_KEY" in said.err
    assert pairs(database) == {"Selected/Queued": 3}
    assert run("brevo", "check").code == 1


def test_a_green_check_opens_the_gate_at_once(database: Database, account: Account, run: Run) -> None:
    insert_many(database, 3)
    right, account.api_key = account.api_key, "another"
    assert run("sync", "brevo").code == 1
    account.api_key = right
    assert "accepts the key" in run("brevo", "check").out
    assert run("sync", "brevo").code == 0
    assert pairs(database) == {"Complete/Complete": 3}


def test_setup_creates_the_attributes_that_the_account_lacks(account: Account, run: Run) -> None:
    del account.fields["PAGE_ID"]
    assert "Brevo has no attribute PAGE_ID" in run("brevo", "check").out
    said = run("brevo", "setup")
    assert (said.code, said.out) == (0, "Missing attributes: 1 created: PAGE_ID (text)")
    assert "PAGE_ID" not in run("brevo", "check").out


def test_setup_with_a_wrong_key_says_so(account: Account, run: Run) -> None:
    account.api_key = "another"
    said = run("brevo", "setup")
    assert said.code == 1
    assert "BREVO_API_KEY" in said.err


def test_a_changed_address_moves_at_the_crm_or_is_listed_as_left_behind(
    database: Database, account: Account, run: Run
) -> None:
    insert(database, "ann@example.com")
    insert(database, "bob@example.com")
    assert run("sync", "brevo").code == 0
    move = "UPDATE contacts SET email = :new, brevo_sync_status = 'Selected' WHERE email = :old"
    sql(database, move, old="ann@example.com", new="ann.lee@example.com")
    assert run("sync", "brevo").code == 0
    assert {one.email for one in account.contacts()} == {"ann.lee@example.com", "bob@example.com"}
    assert run("brevo", "orphans").out == "Nothing was left behind at Brevo."
    account.save(replace(account.new_contact(), email="bo@example.com", identifiers={"email": "bo@example.com"}))
    sql(database, move, old="bob@example.com", new="bo@example.com")
    assert run("sync", "brevo").code == 0
    said = run("brevo", "orphans").out
    assert "bob@example.com" in said
    assert "bo@example.com" in said
    assert "ann" not in said
    wrong = run("brevo", "orphans", "--done", "ann@example.com")
    assert (wrong.code, "not listed" in wrong.err) == (2, True)
    insert(database, "bob@example.com")
    assert run("sync", "brevo").code == 0
    assert run("brevo", "orphans").out == "Nothing was left behind at Brevo.", "somebody has it today"


def test_an_address_left_behind_is_listed_until_somebody_has_dealt_with_it(
    database: Database, account: Account, run: Run
) -> None:
    insert(database, "bo@example.com", brevo_contact_id="Bob@example.com")
    for address in ("bo@example.com", "bob@example.com"):
        account.save(replace(account.new_contact(), email=address, identifiers={"email": address}))
    assert run("sync", "brevo").code == 0
    assert "bob@example.com" in run("brevo", "orphans").out
    assert run("brevo", "orphans", "--done", "BOB@example.com").out == "Nothing was left behind at Brevo."
    assert run("brevo", "orphans").out == "Nothing was left behind at Brevo."


def test_a_further_column_is_sent_and_one_that_there_is_not_is_named(
    database: Database, account: Account, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BREVO_ATTRIBUTES", "COMPANY=enriched_company")
    insert(database, "ann@example.com")
    said = run("sync", "brevo")
    assert said.code == 2
    assert "contacts has no column enriched_company, which BREVO_ATTRIBUTES maps." in said.err
    sql(database, "ALTER TABLE contacts ADD COLUMN enriched_company text DEFAULT 'Acme'")
    assert run("brevo", "setup").code == 0
    assert run("sync", "brevo").code == 0
    stored = account.contact("ann@example.com")
    assert stored is not None
    assert stored.attributes == {"COMPANY": "Acme"}


def test_a_server_that_is_down_is_no_fault_of_the_contacts(database: Database, account: Account, run: Run) -> None:
    insert_many(database, 30)
    account.faults.answer = lambda _: (503, "<html>down</html>")
    said = run("sync", "brevo")
    assert said.code == 0
    assert "paused for" in said.out
    tried = sql(database, "SELECT FROM contacts WHERE retry_count = 1")
    assert 10 <= len(tried) <= 30
    assert sql(database, "SELECT FROM contacts WHERE brevo_sync_status = 'Error' OR retry_count > 1") == []


def test_ctrl_c_stops_it_and_gives_back_what_was_not_sent(database: Database, account: Account, run: Run) -> None:
    insert_many(database, 60)
    hold = account.faults.hold(lambda _: len(account.received) > 10)

    def press() -> None:
        hold.wait_for(1)
        os.kill(os.getpid(), signal.SIGINT)
        hold.release()

    thread = threading.Thread(target=press)
    thread.start()
    said = run("sync", "brevo")
    thread.join()
    assert said.code == 130
    after = pairs(database)
    assert after == {"Complete/Complete": len(account.received), "Selected/Queued": 60 - len(account.received)}
    assert sql(database, "SELECT FROM crm_sync WHERE lease_id IS NOT NULL") == []


def test_the_status_counts_each_pair_and_lists_named_contacts(database: Database, run: Run) -> None:
    insert_many(database, 3)
    insert(database, "ann@example.com", "Error", "Error", brevo_processing_error="[b]no")
    counts = run("contacts", "status").out
    assert "Selected │ Queued │ 3" in counts
    assert "3 due now" in counts
    named = run("contacts", "status", "ann@example.com").out
    assert "[b]no" in named


def test_select_and_unselect_by_address_and_by_id(database: Database, run: Run) -> None:
    contact_id = insert(database, "ann@example.com", "New", None)
    assert "Selected 1 contact" in run("contacts", "select", "ann@EXAMPLE.com").out
    assert pair(database, contact_id) == ("Selected", "Queued")
    assert "Unselected 1 contact" in run("contacts", "unselect", str(contact_id)).out
    assert pair(database, contact_id) == ("New", None)


def test_an_unknown_address_ends_with_2_and_nothing_is_done_for_the_others(database: Database, run: Run) -> None:
    known = insert(database, "ann@example.com", "New", None)
    said = run("contacts", "select", "ann@example.com", "nobody@example.com")
    assert said.code == 2
    assert "nobody@example.com" in said.err
    assert pair(database, known) == ("New", None)


def test_a_missing_key_ends_with_2_and_names_the_variable(monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    monkeypatch.delenv("BREVO_API_KEY")
    said = run("sync", "brevo")
    assert said.code == 2
    assert "BREVO_API_KEY is not set" in said.err


def test_contacts_are_selected_without_a_key(database: Database, monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    monkeypatch.delenv("BREVO_API_KEY")
    contact_id = insert(database, "ann@example.com", "New", None)
    assert run("contacts", "select", "ann@example.com").code == 0
    assert contact(database, contact_id).brevo_sync_status == "Selected"


def test_an_unknown_crm_ends_with_2_and_lists_those_there_are(run: Run) -> None:
    said = run("sync", "nocrm")
    assert said.code == 2
    assert "'nocrm' is no CRM; there are: brevo" in said.err


def test_all_wrong_settings_are_named_at_once(monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    monkeypatch.setenv("BREVO_LIST_ID", "abc")
    monkeypatch.setenv("BREVO_SYNC_SCHEDULER_INTERVAL_MINUTES", "7")
    said = run("contacts", "status")
    assert said.code == 2
    assert "BREVO_LIST_ID is 'abc'" in said.err
    assert "BREVO_SYNC_SCHEDULER_INTERVAL_MINUTES must divide an hour" in said.err


def test_an_unreachable_database_ends_with_2_and_names_variable_host_and_port(
    monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://user:s3cret@127.0.0.1:1/app")
    said = run("contacts", "status")
    assert said.code == 2
    assert "DATABASE_URL (host 127.0.0.1, port 1, database app)" in said.err
    assert "s3cret" not in said.err


def test_a_sandbox_is_not_synced_from_a_database_of_ones_own_unless_allowed(
    database: Database, account: Account, monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    monkeypatch.delenv("CRM_PIPELINE_ALLOW_SANDBOX")
    insert_many(database, 2)
    said = run("sync", "brevo")
    assert said.code == 1
    assert "The server is a sandbox" in said.err
    assert account.received == []
    assert pairs(database) == {"Selected/Queued": 2}


def test_the_database_is_upgraded_and_checked(database: Database, run: Run) -> None:
    assert "is at version" in run("db", "upgrade").out
    assert run("db", "check").code == 0
    sql(database, "ALTER TABLE contacts DROP COLUMN brevo_processing_error")
    said = run("db", "check")
    assert said.code == 2
    assert "contacts.brevo_processing_error is missing" in said.err


def test_the_databases_address_is_printed_for_other_programs(database: Database, run: Run) -> None:
    assert run("db", "url").out == database.url.set(drivername="postgresql").render_as_string(hide_password=False)


@pytest.mark.parametrize("missing", ["DATABASE_URL", "DAGSTER_DATABASE_URL", "BREVO_API_KEY"])
def test_up_starts_nothing_and_names_what_is_missing(
    missing: str, database: Database, monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    monkeypatch.setenv(
        "DAGSTER_DATABASE_URL", database.url.set(database="postgres").render_as_string(hide_password=False)
    )
    monkeypatch.delenv(missing)
    said = run("up")
    assert said.code == 2
    assert f"{missing} is not set" in said.err
    assert said.err.count("is not set") == 1


def test_up_refuses_a_database_that_was_never_upgraded(
    database: Database, monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    monkeypatch.setenv(
        "DAGSTER_DATABASE_URL", database.url.set(database="postgres").render_as_string(hide_password=False)
    )
    sql(database, "DROP TABLE crm_pipeline_version")
    said = run("up")
    assert said.code == 2
    assert "crm-pipeline db upgrade" in said.err


def test_psql_gets_the_password_in_its_environment_and_not_among_its_arguments(
    database: Database, monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    started: list[tuple[list[str], dict[str, str]]] = []

    def start(_: str, arguments: list[str], environment: dict[str, str]) -> None:
        started.append((arguments, environment))

    monkeypatch.setenv("DATABASE_URL", database.url.set(password="s3cret").render_as_string(hide_password=False))
    monkeypatch.setattr(os, "execve", start)
    assert run("db", "shell").code == 0
    ((arguments, environment),) = started
    assert "s3cret" not in " ".join(arguments)
    assert environment["PGPASSWORD"] == "s3cret"


def test_up_refuses_one_database_for_contacts_and_dagster(
    database: Database, monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    monkeypatch.setenv("DAGSTER_DATABASE_URL", database.url.render_as_string(hide_password=False))
    said = run("up")
    assert said.code == 2
    assert "DAGSTER_DATABASE_URL is the database of DATABASE_URL" in said.err
    assert sql(database, "SELECT FROM pg_tables WHERE tablename = 'runs'") == []


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("postgresql://app:Xk9@s3cret#q@127.0.0.1/app", "write @ as %40"),
        ("postgresql://app@127.0.0.1/app?nonsense=1", "does not know: nonsense"),
        ("mysql://app@127.0.0.1/app", "only PostgreSQL is supported"),
    ],
)
@pytest.mark.parametrize("variable", ["DATABASE_URL", "DAGSTER_DATABASE_URL"])
def test_an_address_that_cannot_be_used_ends_with_2_and_a_sentence_without_its_password(
    monkeypatch: pytest.MonkeyPatch, run: Run, variable: str, url: str, sentence: str
) -> None:
    monkeypatch.setenv(variable, url)
    said = run("contacts", "status")
    assert said.code == 2
    assert variable in said.err
    assert sentence in said.err
    assert "s3cret" not in said.err


def test_options_of_other_clients_are_left_out(database: Database, monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    address = database.url.update_query_dict({"pgbouncer": "true", "statement_cache_size": "0"})
    monkeypatch.setenv("DATABASE_URL", address.render_as_string(hide_password=False))
    assert run("contacts", "status").code == 0


def test_a_named_file_of_settings_that_is_missing_or_no_text_ends_with_2(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, run: Run
) -> None:
    file = tmp_path / "prod.env"
    monkeypatch.setenv("CRM_PIPELINE_ENV_FILE", str(file))
    assert "there is no such file" in run("contacts", "status").err
    file.write_bytes("BREVO_API_KEY=cl\xe9".encode("latin-1"))
    said = run("contacts", "status")
    assert said.code == 2
    assert "cannot be read as UTF-8 text" in said.err


def test_the_upgrade_is_printed_for_the_tables_owner(run: Run) -> None:
    said = run("db", "upgrade", "--sql")
    assert said.code == 0
    assert "ON_ERROR_STOP" in said.out


def test_a_contact_that_another_run_is_pushing_is_not_pushed_again(
    database: Database, account: Account, run: Run
) -> None:
    contact_id = insert(database, "ann@example.com")
    sql(
        database,
        "INSERT INTO crm_sync (contact_id, crm, lease_id, leased_until) "
        "VALUES (:id, 'brevo', gen_random_uuid(), now() + interval '1 minute')",
        id=contact_id,
    )
    said = run("sync", "brevo", "--contact", "ann@example.com")
    assert "another run is pushing it" in said.out
    assert account.received == []


def test_the_ledger_lists_what_has_no_next_step_and_heals_it(database: Database, run: Run) -> None:
    insert(database, "ann@example.com", "Complete", "Complete")
    said = run("ledger")
    assert (said.code, said.out) == (0, "Every contact that somebody wants has a next step.")
    bob = insert(database, "bob@example.com", "Complete", "Error")
    insert(database, "cas@example.com", "New", "Queued")
    said = run("ledger")
    assert said.code == 1
    assert str(bob) in said.out
    assert "b***@example.com" in said.out
    assert "c***@example.com" in said.out, "a warning"
    assert "`crm-pipeline ledger heal`" in said.err
    assert run("ledger", "heal").out.startswith("1 queued,")
    assert run("ledger").code == 0
    assert pair(database, bob) == ("Selected", "Queued")
