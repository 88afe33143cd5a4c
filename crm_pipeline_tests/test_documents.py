"""What stands in README, docs and .env.example is what the program does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from crm_pipeline.crms.registry import CRMS
from crm_pipeline.settings import ENV_FILE_VARIABLE, BackfillSettings, GeneralSettings, Settings, SyncSettings

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
ASSIGNMENT = re.compile(r"^#?([A-Z][A-Z0-9_]+)=(.*)$", re.MULTILINE)
LINK = re.compile(r"\]\((?!https?://|#|mailto:)([^)#]+)")


def variables() -> set[str]:
    names = {name.upper() for name in GeneralSettings.model_fields} | {ENV_FILE_VARIABLE}
    for spec in CRMS.values():
        prefix = spec.name.upper()
        names |= {f"{prefix}_SYNC_{name.upper()}" for name in SyncSettings.model_fields}
        names |= {f"{prefix}_BACKFILL_{name.upper()}" for name in BackfillSettings.model_fields}
        names |= {f"{prefix}_{name.upper()}" for name in spec.settings.model_fields}
    return names


def test_the_example_has_every_setting_once_and_no_other() -> None:
    names = [name for name, _ in ASSIGNMENT.findall((ROOT / ".env.example").read_text())]
    assert sorted(names) == sorted(variables())


def test_the_example_as_it_stands_is_the_same_as_no_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(ENV_FILE_VARIABLE, str(ROOT / ".env.example"))
    example = Settings.load()
    monkeypatch.setenv(ENV_FILE_VARIABLE, "")
    assert example.general == Settings.load().general
    assert example.crms == Settings.load().crms


def test_the_defaults_in_the_example_are_the_programs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    kept = re.sub(r"^#(?=[A-Z][A-Z0-9_]+=.)", "", (ROOT / ".env.example").read_text(), flags=re.MULTILINE)
    kept = re.sub(
        rf"^(DATABASE_URL|DAGSTER_DATABASE_URL|CRM_PIPELINE_DATA_DIR|{ENV_FILE_VARIABLE})=.*$",
        "",
        kept,
        flags=re.MULTILINE,
    )
    (tmp_path / "env").write_text(kept)
    monkeypatch.setenv(ENV_FILE_VARIABLE, str(tmp_path / "env"))
    shown = Settings.load()
    monkeypatch.setenv(ENV_FILE_VARIABLE, "")
    default = Settings.load()
    assert shown.general == default.general
    for name, crm in default.crms.items():
        assert shown.crms[name].rate_per_second == crm.rate_per_second
        assert shown.crms[name].credentials == crm.credentials
        rest = {"rate_per_second": None}
        assert shown.crms[name].sync.model_copy(update=rest) == crm.sync.model_copy(update=rest)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_within_the_project_leads_somewhere(document: Path) -> None:
    broken = [link for link in LINK.findall(document.read_text()) if not (document.parent / link).exists()]
    assert broken == []
