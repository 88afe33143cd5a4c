"""`check` names what is wrong with a database, and what is good to know, without touching it."""

from __future__ import annotations

import re

from crm_pipeline.database.check import check
from crm_pipeline.database.engine import Database
from crm_pipeline.database.present import read_present
from crm_pipeline.database.rights import grants
from crm_pipeline.database.upgrade import upgrade
from crm_pipeline_tests.database.application import PLAIN, leave_invalid
from crm_pipeline_tests.support.contacts import sql


def run_remedies(database: Database, messages: tuple[str, ...]) -> None:
    for statement in re.findall(r"^    (.*);$", "\n".join(messages), re.MULTILINE):
        with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql(statement)


def granted(database: Database, role: str) -> Database:
    """The database as a role sees it that may do what a run needs."""
    app = Database(database.url.set(username=role))
    for statement in app.run(lambda connection: grants(read_present(connection, {}))):
        sql(database, statement)
    return app


def test_an_upgraded_database_has_neither_problems_nor_warnings(database: Database) -> None:
    found = check(database)
    assert (found.problems, found.warnings) == ((), ())


def test_a_database_before_its_upgrade_is_told_to_be_upgraded(empty: Database) -> None:
    sql(empty, PLAIN)
    (problem,) = check(empty).problems
    assert "at version none; this program needs" in problem
    sql(empty, "ALTER TABLE contacts ADD COLUMN has_gmail text")
    assert "contacts.has_gmail is text, wanted: boolean." in check(empty).problems[0]


def test_missing_columns_labels_and_indexes_are_problems_that_their_statements_end(database: Database) -> None:
    sql(
        database,
        "DROP INDEX contacts_brevo_due, crm_sync_one_address_in_flight; ALTER TABLE contacts DROP COLUMN name; "
        "ALTER TYPE crm_processing_status RENAME VALUE 'Error' TO 'Failed'",
    )
    problems = check(database).problems
    assert [problem.split("\n")[0] for problem in problems if "enum" not in problem] == [
        "contacts.name is missing (wanted: text).",
        "The index crm_sync_one_address_in_flight is missing.",
        "The index contacts_brevo_due is missing.",
    ]
    run_remedies(database, problems)
    assert check(database).problems == ()


def test_an_invalid_index_is_a_problem_that_its_statements_end(database: Database) -> None:
    sql(database, "DROP INDEX contacts_brevo_due")
    leave_invalid(database, "contacts_brevo_due")
    problems = check(database).problems
    assert "The index contacts_brevo_due is invalid: building it was interrupted." in problems[0]
    run_remedies(database, problems)
    assert check(database).problems == ()


def test_each_missing_privilege_is_a_problem_that_its_grant_ends(role: str, database: Database) -> None:
    app = Database(database.url.set(username=role))
    problems = check(app).problems
    sentences = [problem.split("\n")[0] for problem in problems]
    assert f"The role {role} may not INSERT public.crm_attempts." in sentences
    assert f"The role {role} may not SELECT public.crm_pipeline_version." in sentences
    run_remedies(database, problems)
    assert check(app).problems == ()
    sql(database, f"REVOKE UPDATE ON contacts FROM {role}")
    sql(database, f"GRANT UPDATE (brevo_sync_status) ON contacts TO {role}")
    (problem,) = check(app).problems
    assert "may not UPDATE public.contacts (retry_count, last_retry_at," in problem
    assert "brevo_sync_status" not in problem
    app.dispose()


def test_a_role_that_may_not_insert_is_told_what_does_not_work(role: str, database: Database) -> None:
    app = granted(database, role)
    sql(database, f"REVOKE INSERT ON contacts FROM {role}")
    found = check(app)
    assert found.problems == ()
    assert "may not INSERT into public.contacts: `contacts add` does not work." in found.warnings[0]
    app.dispose()


def test_row_security_that_shows_nothing_is_a_problem_and_with_a_policy_a_warning(
    role: str, database: Database
) -> None:
    app = granted(database, role)
    sql(database, "ALTER TABLE contacts ENABLE ROW LEVEL SECURITY")
    (problem,) = check(app).problems
    assert f"Row security is active on public.contacts for the role {role}: no policy shows it a row." in problem
    sql(database, "CREATE POLICY part ON contacts FOR SELECT USING (email <> 'hidden')")
    found = check(app)
    assert found.problems == ()
    assert "only what a policy shows is seen" in found.warnings[0]
    sql(database, f"ALTER ROLE {role} BYPASSRLS")
    assert check(app).warnings == ()
    app.dispose()


def test_a_policy_for_another_role_shows_nothing(role: str, database: Database) -> None:
    app = granted(database, role)
    sql(
        database,
        "ALTER TABLE crm_sync ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON crm_sync TO pg_monitor USING (true)",
    )
    assert "Row security is active on public.crm_sync" in check(app).problems[0]
    app.dispose()


def test_a_short_error_column_a_trigger_and_required_columns_are_warnings(empty: Database) -> None:
    sql(
        empty,
        f"{PLAIN}; ALTER TABLE contacts ADD COLUMN tenant int NOT NULL, ADD COLUMN brevo_processing_error varchar(99); "
        "CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN NEW.updated_at = now(); RETURN NEW; END $$; "
        "CREATE TRIGGER touch BEFORE UPDATE ON contacts FOR EACH ROW EXECUTE FUNCTION touch(); "
        "CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$; "
        "CREATE TRIGGER other BEFORE UPDATE ON contacts FOR EACH ROW EXECUTE FUNCTION nothing()",
    )
    upgrade(empty)
    found = check(empty)
    assert found.problems == ()
    assert [warning.split("\n")[0][:60] for warning in found.warnings] == [
        "contacts.brevo_processing_error is character varying(99): er",
        "The trigger touch sets contacts.updated_at, also when the pi",
        "contacts.tenant must have a value and has no default: `conta",
    ]
    run_remedies(empty, found.warnings)
    assert not any("brevo_processing_error" in warning for warning in check(empty).warnings)


def test_a_database_of_a_newer_version_is_worked_with_and_said(database: Database) -> None:
    sql(database, "UPDATE crm_pipeline_version SET version_num = '9999'")
    found = check(database)
    assert found.problems == ()
    (warning,) = found.warnings
    assert "at version 9999, of a newer crm_pipeline" in warning
    sql(database, "ALTER TABLE crm_gate DROP COLUMN cause CASCADE")
    assert "cause" in check(database).problems[0]


def test_a_database_of_an_older_version_is_told_to_be_upgraded(database: Database) -> None:
    sql(database, "UPDATE crm_pipeline_version SET version_num = '0001'")
    (problem,) = check(database).problems
    assert "at version 0001; this program needs" in problem
