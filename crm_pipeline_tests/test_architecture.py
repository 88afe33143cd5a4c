"""The house rules that no linter knows."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from crm_pipeline.contacts.statements import Statements, transition_names
from crm_pipeline.crms.registry import CRMS
from crm_pipeline_tests.conftest import BREVO

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "crm_pipeline"
SOURCES = sorted(PACKAGE.rglob("*.py"))
LONGEST_FILE = 400
CRM_NAMES = re.compile(r"brevo|hubspot|mautic|\bn8n\b", re.IGNORECASE)
MAY_NAME_A_CRM = ("crms/", "sandbox/", "database/migrations/")


@pytest.mark.parametrize("path", [*SOURCES, *sorted((ROOT / "crm_pipeline_tests").rglob("*.py"))], ids=str)
def test_no_file_is_longer_than_400_lines(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= LONGEST_FILE


def test_no_module_has_a_name_that_says_nothing() -> None:
    bad = {"utils", "util", "common", "core", "helpers", "helper", "misc", "base"}
    assert [path for path in SOURCES if path.stem in bad or path.parent.name in bad] == []


def test_no_class_has_a_name_that_says_nothing() -> None:
    bad = re.compile(r"(Manager|Service|Helper|Handler|Base|Util)$")
    classes = [
        (path.name, node.name)
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef) and bad.search(node.name)
    ]
    assert classes == []


def _code_without_docstrings(path: Path) -> str:
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            node.value.value = ""
    return ast.unparse(tree)


def test_a_crms_name_stands_only_where_a_crm_is_added() -> None:
    found = [
        str(path.relative_to(PACKAGE))
        for path in SOURCES
        if not str(path.relative_to(PACKAGE)).startswith(MAY_NAME_A_CRM)
        and CRM_NAMES.search(_code_without_docstrings(path))
    ]
    assert found == []


def test_no_sql_file_names_a_crm() -> None:
    assert [path.name for path in PACKAGE.rglob("*.sql") if CRM_NAMES.search(path.read_text())] == []


@pytest.mark.parametrize("name", transition_names())
def test_every_event_is_used_by_the_queue_and_says_what_it_does(name: str) -> None:
    assert any(f'"{name}"' in (PACKAGE / "contacts" / file).read_text() for file in ("queue.py", "answers.py"))
    sql = Statements(BREVO).sql(name)
    assert sql.startswith("-- "), "the first line says from -> to"
    assert "{" not in sql


def test_every_write_of_a_lease_holders_status_carries_its_lease() -> None:
    statements = Statements(BREVO)
    for name in ("overruled", "edited", "synced", "failed", "given_up", "blocked", "rejected", "skipped"):
        assert "s.lease_id IS NOT DISTINCT FROM a.lease_id" in statements.sql(name), name
    for name in ("released", "crashed", "poisoned"):
        assert "locked.lease_id = s.lease_id" in statements.sql(name), name


def test_every_crm_has_its_columns_and_its_gate_in_the_migrations() -> None:
    migrations = "".join(path.read_text() for path in (PACKAGE / "database" / "migrations").rglob("*.py"))
    for spec in CRMS.values():
        assert f'"{spec.name}": "{spec.external_id_column}"' in migrations
