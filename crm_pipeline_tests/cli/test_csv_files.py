"""`contacts import` and `export`: every line is added, known already, or rejected with its reason."""

from __future__ import annotations

import csv
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
    assert "1 added, and selected; 1 were there already" in run("contacts", "import", str(file), "--select").out
    before = sql(database, "SELECT c.*, xmin::text FROM contacts c ORDER BY id")
    assert "0 added, and selected; 2 were there already" in run("contacts", "import", str(file), "--select").out
    assert sql(database, "SELECT c.*, xmin::text FROM contacts c ORDER BY id") == before
    assert pairs(database) == {"Selected/Queued": 2}, "the first was selected when it was inserted"


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
