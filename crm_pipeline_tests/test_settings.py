"""Which variables exist, what is their default, and why is this value wrong?"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import BaseModel

from crm_pipeline import settings as module
from crm_pipeline.crms.brevo.settings import KEYS_PAGE
from crm_pipeline.crms.registry import CRMS
from crm_pipeline.errors import SettingsError
from crm_pipeline.settings import BackfillSettings, GeneralSettings, Settings, SyncSettings

Load = Callable[..., Settings]
KEY = "xkeysib-0123456789abcdef"


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Load:
    """Settings from these variables alone."""

    def loaded(**variables: str) -> Settings:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        return Settings.load()

    return loaded


def problems(load: Load, **variables: str) -> list[str]:
    with pytest.raises(SettingsError) as refused:
        load(**variables)
    assert refused.value.exit_code == 2
    assert str(refused.value) == "\n".join(refused.value.problems)
    return list(refused.value.problems)


def problem(load: Load, **variables: str) -> str:
    (only,) = problems(load, **variables)
    return only


# --- defaults


def test_every_variable_has_its_documented_default(load: Load) -> None:
    settings = load()
    assert settings.general.model_dump() == {
        "database_url": None,
        "dagster_database_url": None,
        "crm_pipeline_schema": None,
        "crm_pipeline_data_dir": module.PROJECT_ROOT / ".data",
        "crm_pipeline_allow_sandbox": False,
        "crm_pipeline_keep_runs_days": 30,
        "crm_pipeline_keep_attempts_days": 180,
        "crm_pipeline_api_token": None,
        "crm_pipeline_api_host": "127.0.0.1",
        "crm_pipeline_api_port": 8000,
        "crm_pipeline_dagster_url": None,
        "crm_pipeline_alert_urls": None,
        "crm_pipeline_smtp_url": None,
        "crm_pipeline_alert_digest_hour": None,
    }
    for crm in settings.crms.values():
        assert crm.sync.model_dump() == {
            "scheduler_interval_minutes": 5,
            "scheduler_batch_size": 10,
            "max_contacts_per_run": None,
            "scheduler_max_instances": 1,
            "max_retries": 3,
            "retry_delay_minutes": 5,
            "retry_exponential": True,
            "retry_rejected": True,
            "rate_per_second": None,
            "requests_per_hour": None,
            "refusals_warn_percent": 5,
            "refusals_error_percent": 20,
            "concurrency": 16,
            "failure_notification_email": None,
        }
    assert settings.crms["brevo"].credentials.model_dump() == {
        "api_key": None,
        "list_id": None,
        "api_allow_http": False,
        "api_base_url": "https://api.brevo.com/v3",
        "attribute_first_name": "FIRSTNAME",
        "attribute_last_name": "LASTNAME",
        "attribute_phone": "SMS",
        "attribute_email_type": "EMAIL_TYPE",
        "attribute_has_gmail": "HAS_GMAIL",
        "attribute_source_url": "SOURCE_URL",
        "attribute_domain_id": "DOMAIN_ID",
        "attribute_page_id": "PAGE_ID",
        "attributes": "",
        "phone_region": None,
    }


def test_without_any_variable_the_embedded_database_is_used_and_every_crm_is_disabled(load: Load) -> None:
    settings = load()
    assert (settings.embedded, settings.database_url) == (True, None)
    assert set(settings.crms) == set(CRMS)
    assert [crm.enabled for crm in settings.crms.values()] == [False] * len(CRMS)


def test_every_variable_says_what_it_is_for() -> None:
    models: list[type[BaseModel]] = [
        GeneralSettings,
        SyncSettings,
        BackfillSettings,
        *(spec.settings for spec in CRMS.values()),
    ]
    fields = [(model.__name__, name, field) for model in models for name, field in model.model_fields.items()]
    assert [(model, name) for model, name, field in fields if not (field.description or "").endswith(".")] == []


def test_every_variable_is_read_under_its_crms_name(load: Load) -> None:
    settings = load(
        DATABASE_URL="postgresql://ann@db.example/crm",
        DAGSTER_DATABASE_URL="postgresql://ann@db.example/dagster",
        CRM_PIPELINE_SCHEMA="app",
        CRM_PIPELINE_DATA_DIR="/srv/data",
        CRM_PIPELINE_ALLOW_SANDBOX="true",
        BREVO_API_KEY=f"  {KEY} ",
        BREVO_LIST_ID="12",
        BREVO_API_BASE_URL="http://127.0.0.1:8025/v3/",
        BREVO_SYNC_SCHEDULER_INTERVAL_MINUTES="15",
        BREVO_SYNC_SCHEDULER_BATCH_SIZE="25",
        BREVO_SYNC_MAX_CONTACTS_PER_RUN="1000",
        BREVO_SYNC_SCHEDULER_MAX_INSTANCES="2",
        BREVO_SYNC_MAX_RETRIES="0",
        BREVO_SYNC_RETRY_DELAY_MINUTES="0.5",
        BREVO_SYNC_RETRY_EXPONENTIAL="false",
        BREVO_SYNC_RETRY_REJECTED="false",
        BREVO_SYNC_RATE_PER_SECOND="50",
        BREVO_SYNC_REQUESTS_PER_HOUR="30000",
        BREVO_SYNC_REFUSALS_WARN_PERCENT="1",
        BREVO_SYNC_REFUSALS_ERROR_PERCENT="2",
        BREVO_SYNC_CONCURRENCY="4",
        BREVO_SYNC_FAILURE_NOTIFICATION_EMAIL="ann@example.com",
        CRM_PIPELINE_SMTP_URL="mailtos://u:p@smtp.example.com?from=pipeline@example.com",
    )
    brevo = settings.crm("brevo")
    assert not settings.embedded
    assert settings.general.crm_pipeline_schema == "app"
    assert settings.general.crm_pipeline_data_dir == Path("/srv/data")
    assert settings.general.crm_pipeline_allow_sandbox
    assert settings.general.dagster_database_url is not None
    assert brevo.credentials.api_key.get_secret_value() == KEY, "without the blanks around it"
    assert (brevo.credentials.list_id, brevo.credentials.api_base_url) == (12, "http://127.0.0.1:8025/v3")
    assert brevo.sync.failure_notification_email == "ann@example.com"
    numbers = [value for value in brevo.sync.model_dump().values() if not isinstance(value, str)]
    assert numbers == [15, 25, 1000, 2, 0, 0.5, False, False, 50, 30_000, 1, 2, 4]
    assert (brevo.enabled, brevo.rate_per_second, brevo.max_contacts_per_run) == (True, 50, 1000)
    assert brevo.requests_per_hour == 30_000


def test_a_key_that_was_pasted_into_another_variable_is_not_shown(load: Load) -> None:
    with pytest.raises(SettingsError, match=r"BREVO_LIST_ID is '\*\*\*'"):
        load(BREVO_LIST_ID="xkeysib-0123456789abcdef")


@pytest.mark.parametrize("blank", ["", "  "])
def test_an_empty_key_is_no_key(load: Load, blank: str) -> None:
    assert not load(BREVO_API_KEY=blank).crms["brevo"].enabled


def test_a_path_of_data_is_absolute_wherever_the_process_runs(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ann")
    assert load(CRM_PIPELINE_DATA_DIR="~/x/../data").general.crm_pipeline_data_dir == Path("/home/ann/data")
    assert load(CRM_PIPELINE_DATA_DIR="here").general.crm_pipeline_data_dir == Path.cwd() / "here"


def test_an_installed_package_keeps_its_data_in_the_users_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, load: Load
) -> None:
    monkeypatch.setattr(module, "PROJECT_ROOT", tmp_path)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))
    assert load().general.crm_pipeline_data_dir == tmp_path / "share" / "crm-pipeline"


# --- where they are read from


def test_a_file_is_read_and_the_environment_wins(load: Load, tmp_path: Path) -> None:
    file = tmp_path / "settings"
    file.write_text(
        f'# comment\nBREVO_API_KEY="{KEY}"\nBREVO_LIST_ID=7\nBREVO_SYNC_MAX_RETRIES=1\nUNKNOWN=x\nexport OTHER=y\n'
    )
    brevo = load(CRM_PIPELINE_ENV_FILE=str(file), BREVO_LIST_ID="8").crm("brevo")
    assert brevo.credentials.api_key.get_secret_value() == KEY
    assert (brevo.credentials.list_id, brevo.sync.max_retries) == (8, 1)


def test_a_mistake_in_the_file_is_named_like_one_in_the_environment(load: Load, tmp_path: Path) -> None:
    (tmp_path / "settings").write_text("BREVO_LIST_ID=abc\n")
    assert problem(load, CRM_PIPELINE_ENV_FILE=str(tmp_path / "settings")).startswith("BREVO_LIST_ID is 'abc': ")


@pytest.mark.parametrize("checkout", [True, False], ids=["checkout", "installed"])
def test_the_file_is_dot_env_of_the_checkout_or_of_the_current_folder_unless_another_is_named(
    load: Load, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, checkout: bool
) -> None:
    project, current = tmp_path / "project", tmp_path / "current"
    for folder, list_id in ((project, 7), (current, 8)):
        folder.mkdir()
        (folder / ".env").write_text(f"BREVO_LIST_ID={list_id}\n")
    if checkout:
        (project / "pyproject.toml").touch()
    monkeypatch.setattr(module, "PROJECT_ROOT", project)
    monkeypatch.chdir(current)
    assert load(CRM_PIPELINE_ENV_FILE="").crms["brevo"].credentials.list_id is None, "an empty name: no file"
    (tmp_path / "another").touch()
    assert load(CRM_PIPELINE_ENV_FILE=str(tmp_path / "another")).crms["brevo"].credentials.list_id is None
    monkeypatch.delenv("CRM_PIPELINE_ENV_FILE")
    assert load().crms["brevo"].credentials.list_id == (7 if checkout else 8)


# --- what is wrong


WRONG = {
    "DATABASE_URL": ["mysql://h/db", "nonsense", "postgresql://host", "postgresql://h:port/db", "sqlite:///x.db"],
    "CRM_PIPELINE_ALLOW_SANDBOX": ["perhaps"],
    "CRM_PIPELINE_API_TOKEN": ["0123456789abcde", "0123456789 abcdef", "0123456789abcdéf", "0123456789abcdef\x7f"],
    "CRM_PIPELINE_API_PORT": ["0", "65536", "http"],
    "BREVO_API_KEY": [f"{KEY}\n{KEY}", f"{KEY}\t", f"{KEY}…", f"\x7f{KEY}"],
    "BREVO_LIST_ID": ["abc", "0", "-1", "1.5", "12,13"],
    "BREVO_API_ALLOW_HTTP": ["perhaps"],
    "BREVO_API_BASE_URL": [
        "http://api.example.com/v3", "ftp://api.example.com", "api.brevo.com/v3", "https://", "https://u:p@h.example",
        "https://h.example/v3?x=1", "https://h.example/#x", "https://h.example/a b", "https://müller.example",
        "https://h.example:99999", "http://10.0.0.1/v3", "http://127.0.0.1.evil.example/v3", "https://[::1/v3",
    ],
    "BREVO_SYNC_SCHEDULER_INTERVAL_MINUTES": ["0", "-5", "7", "45", "90", "300", "2880", "five"],
    "BREVO_SYNC_SCHEDULER_BATCH_SIZE": ["0", "501", "many"],
    "BREVO_SYNC_MAX_CONTACTS_PER_RUN": ["0", "100001", "all"],
    "BREVO_SYNC_SCHEDULER_MAX_INSTANCES": ["0", "21"],
    "BREVO_SYNC_MAX_RETRIES": ["-1", "21"],
    "BREVO_SYNC_RETRY_DELAY_MINUTES": ["0", "-1", "1441", "inf", "nan"],
    "BREVO_SYNC_RETRY_EXPONENTIAL": ["sometimes"],
    "BREVO_SYNC_RETRY_REJECTED": ["sometimes"],
    "BREVO_SYNC_RATE_PER_SECOND": ["0", "0.05", "-8", "2001", "nan", "inf", "fast"],
    "BREVO_SYNC_REQUESTS_PER_HOUR": ["0", "-1", "10000001", "1.5", "many"],
    "BREVO_SYNC_REFUSALS_WARN_PERCENT": ["-1", "101", "some"],
    "BREVO_SYNC_REFUSALS_ERROR_PERCENT": ["-1", "101", "some"],
    "BREVO_SYNC_CONCURRENCY": ["0", "65"],
}  # fmt: skip


@pytest.mark.parametrize(("variable", "value"), [(name, value) for name, values in WRONG.items() for value in values])
def test_a_wrong_value_is_refused_in_a_sentence_that_begins_with_its_variable(
    load: Load, variable: str, value: str
) -> None:
    said = problem(load, **{variable: value})
    assert said.startswith((f"{variable} ", f"{variable}: "))
    assert said.endswith(".")
    assert "Value error" not in said
    assert "\n" not in said


def test_all_mistakes_are_told_at_once(load: Load) -> None:
    wrong = {name: values[0] for name, values in WRONG.items() if name != "BREVO_API_BASE_URL"}
    assert sorted(said.split(" ")[0].rstrip(":") for said in problems(load, **wrong)) == sorted(wrong)


@pytest.mark.parametrize(
    ("variable", "value", "must_say"),
    [
        (
            "DATABASE_URL",
            "mysql://h/db",
            "DATABASE_URL names 'mysql'; only PostgreSQL is supported (postgresql://...).",
        ),
        ("DATABASE_URL", "postgresql://h", "expected postgresql://user:password@host:5432/database"),
        (
            "BREVO_API_KEY",
            f"{KEY}\n",
            "BREVO_API_KEY has a line break, a control character or a foreign letter in it. ",
        ),
        ("BREVO_API_KEY", f"{KEY}\n", f"Copy the key again from {KEYS_PAGE}"),
        ("BREVO_LIST_ID", "abc", "is 'abc': input should be a valid integer"),
        ("BREVO_API_BASE_URL", "http://api.example.com/v3", "Use https://, or set BREVO_API_ALLOW_HTTP=true"),
        ("BREVO_API_BASE_URL", "api.brevo.com/v3", "expected one such as https://api.example.com/v3"),
        (
            "BREVO_SYNC_SCHEDULER_INTERVAL_MINUTES",
            "7",
            "must divide an hour (1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30, 60)",
        ),
        ("BREVO_SYNC_MAX_RETRIES", "21", "is '21': input should be less than or equal to 20"),
        ("BREVO_SYNC_RETRY_REJECTED", "sometimes", "is 'sometimes': input should be a valid boolean"),
    ],
)
def test_a_refusal_says_what_to_do(load: Load, variable: str, value: str, must_say: str) -> None:
    assert must_say in problem(load, **{variable: value})


SECRET = "hunter2-hunter2"


@pytest.mark.parametrize(
    "variables",
    [
        {"BREVO_API_KEY": f"{SECRET}\n"},
        {"DATABASE_URL": f"mysql://ann:{SECRET}@db.example/x"},
        {"DATABASE_URL": f"postgresql://ann:{SECRET}@db.example:port/x"},
        {"DATABASE_URL": f"postgresql://ann:{SECRET}@db.example"},
        {"BREVO_API_BASE_URL": f"https://ann:{SECRET}@h.example/v3"},
        {"BREVO_API_BASE_URL": f"https://h.example/v3?key={SECRET}"},
    ],
)
def test_a_refused_secret_is_not_shown(load: Load, variables: dict[str, str]) -> None:
    assert SECRET not in str(problems(load, **variables))


def test_nothing_secret_is_shown_when_settings_are_printed(load: Load) -> None:
    settings = load(
        BREVO_API_KEY=SECRET,
        DATABASE_URL=f"postgresql://ann:{SECRET}@db.example/x",
        DAGSTER_DATABASE_URL=f"postgresql://ann:{SECRET}@db.example/dagster",
    )
    shown = (
        f"{settings.general!r} {settings.general} {settings.crms!r} {settings.crm('brevo')} {settings.database_url!r}"
    )
    assert SECRET not in shown
    assert SECRET not in str(settings.general.model_dump()) + str(settings.crm("brevo").credentials.model_dump())


# --- values


@pytest.mark.parametrize(
    ("given_url", "url"),
    [
        ("postgres://ann:pw@db.example:5433/crm", "postgresql+psycopg2://ann:pw@db.example:5433/crm"),
        ("postgresql://ann:pw@db.example/crm", "postgresql+psycopg2://ann:pw@db.example/crm"),
        ("postgresql+psycopg://ann@db.example/crm", "postgresql+psycopg2://ann@db.example/crm"),
        ("postgresql+psycopg2://ann@db.example/crm", "postgresql+psycopg2://ann@db.example/crm"),
        ("postgresql+asyncpg://a@h/crm?ssl=require", "postgresql+psycopg2://a@h/crm?sslmode=require"),
        ("postgresql+asyncpg://a@h/crm?ssl=true", "postgresql+psycopg2://a@h/crm?sslmode=require"),
        ("postgresql+asyncpg://a@h/crm?ssl=false", "postgresql+psycopg2://a@h/crm?sslmode=disable"),
        ("postgresql+asyncpg://a@h/crm?ssl=verify-full", "postgresql+psycopg2://a@h/crm?sslmode=verify-full"),
        ("postgresql://a@/crm?host=/var/run/postgresql", "postgresql+psycopg2://a@/crm?host=%2Fvar%2Frun%2Fpostgresql"),
        ("postgresql://a:p%40ss%2F@h/crm", "postgresql+psycopg2://a:p%40ss%2F@h/crm"),
    ],
)
def test_every_usual_form_of_a_database_url_is_taken(load: Load, given_url: str, url: str) -> None:
    found = load(DATABASE_URL=given_url).database_url
    assert found is not None
    assert found.render_as_string(hide_password=False) == url


@pytest.mark.parametrize("minutes", [1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30, 60, 120, 180, 240, 360, 480, 720, 1440])
def test_an_interval_may_divide_an_hour_or_be_hours_that_divide_a_day(load: Load, minutes: int) -> None:
    brevo = load(BREVO_SYNC_SCHEDULER_INTERVAL_MINUTES=str(minutes)).crms["brevo"]
    assert brevo.sync.scheduler_interval_minutes == minutes


@pytest.mark.parametrize(
    "url", ["http://localhost:8025/v3", "http://127.0.0.1/v3", "http://127.8.9.1/v3", "http://[::1]:80/v3"]
)
def test_a_base_url_on_this_machine_needs_no_encryption(load: Load, url: str) -> None:
    assert load(BREVO_API_BASE_URL=url).crms["brevo"].credentials.api_base_url == url


def test_an_unencrypted_base_url_elsewhere_must_be_allowed(load: Load) -> None:
    url = "http://crm.internal/v3"
    credentials = load(BREVO_API_BASE_URL=url, BREVO_API_ALLOW_HTTP="true").crms["brevo"].credentials
    assert credentials.api_base_url == url


def test_a_crm_is_enabled_by_its_key_alone(load: Load) -> None:
    assert load(BREVO_LIST_ID="7").crms["brevo"].enabled is False
    assert load(BREVO_API_KEY=KEY).crms["brevo"].enabled is True


@pytest.mark.parametrize("name", ["", "brevoo", "BREVO", "DATABASE_URL"])
def test_an_unknown_crm_is_refused_and_the_known_are_named(load: Load, name: str) -> None:
    with pytest.raises(SettingsError, match=f"{name!r} is no CRM; there are: brevo"):
        load().crm(name)


def test_a_crm_without_its_key_is_refused_and_the_variable_named(load: Load) -> None:
    settings = load()
    with pytest.raises(SettingsError) as refused:
        settings.crm("brevo")
    assert str(refused.value) == "BREVO_API_KEY is not set: Brevo is disabled. Set it in .env or the environment."
    assert load(BREVO_API_KEY=KEY).crm("brevo").name == "brevo"
