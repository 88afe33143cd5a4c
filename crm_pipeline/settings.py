"""Which variables exist, what is their default, why is this value wrong?

Everything is read from the environment and from `.env` (the environment wins), and checked at once, before anything is
touched.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy.engine import URL

from crm_pipeline.alerts.urls import addressed, problem_with
from crm_pipeline.crms.protocol import CrmSpec
from crm_pipeline.crms.registry import CRMS
from crm_pipeline.database.engine import psycopg2_url, where
from crm_pipeline.errors import SettingsError
from crm_pipeline.redaction import mask

PROJECT_ROOT = Path(__file__).resolve().parent.parent
ENV_FILE_VARIABLE = "CRM_PIPELINE_ENV_FILE"
"""Names another file than `.env`; set and empty: no file at all."""
BATCHES_PER_RUN = 20
LONGEST_BATCH_SECONDS = 20
LARGEST_BATCH = 500
RUN_SECONDS = 240
SHORTEST_TOKEN = 16


def _default_data_dir() -> Path:
    """`.data` in a source checkout, else the platform's folder for user data."""
    if (PROJECT_ROOT / "pyproject.toml").exists():
        return PROJECT_ROOT / ".data"
    import platformdirs  # only an installed package needs it

    return platformdirs.user_data_path("crm-pipeline")


def env_file() -> str | None:
    """The file of settings beside the environment: `.env` of the checkout, or of the current folder; None: no file."""
    own = PROJECT_ROOT if (PROJECT_ROOT / "pyproject.toml").exists() else Path.cwd()
    return os.environ.get(ENV_FILE_VARIABLE, str(own / ".env")) or None


def _check_env_file() -> None:
    named = os.environ.get(ENV_FILE_VARIABLE)
    if named and not Path(named).is_file():
        raise SettingsError([f"{ENV_FILE_VARIABLE} names {named}, and there is no such file."])
    file = env_file()
    try:
        if file is not None and Path(file).is_file():
            Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError([f"{file} cannot be read as UTF-8 text: {error}."]) from None


def _interval(minutes: int) -> int:
    if minutes > 0 and (60 % minutes == 0 or (minutes % 60 == 0 and 24 % (minutes // 60) == 0)):
        return minutes
    raise ValueError(
        "must divide an hour (1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30, 60) or be whole hours that divide a day "
        "(120, 180, 240, 360, 480, 720, 1440), so that ticks are evenly spaced"
    )


def _database_url(secret: SecretStr) -> SecretStr:
    psycopg2_url(secret.get_secret_value())
    return secret


def _api_token(secret: SecretStr) -> SecretStr:
    token = secret.get_secret_value()
    if len(token) < SHORTEST_TOKEN:
        raise ValueError(f"must have at least {SHORTEST_TOKEN} characters; `openssl rand -hex 32` makes a good one")
    if not (token.isascii() and token.isprintable()) or " " in token:
        raise ValueError("must be made of letters, digits and punctuation, without blanks: it is sent in a header")
    return secret


def _page(address: str) -> str:
    if not re.fullmatch(r"https?://[^\s/@?#]+[^\s@?#]*", address):
        raise ValueError(
            "must be an address such as https://dagster.example.com, without a user, a password or a query"
        )
    return address.rstrip("/")


def _alert_urls(secret: SecretStr) -> SecretStr:
    for number, url in enumerate(secret.get_secret_value().split(), 1):
        if problem := problem_with(url):
            raise ValueError(f"number {number} {problem}")
    return secret


def _addresses(text: str) -> str:
    addresses = [address.strip() for address in text.split(",") if address.strip()]
    for number, address in enumerate(addresses, 1):
        if not re.fullmatch(r"[^\s@,;<>]+@[^\s@,;<>]+", address):
            raise ValueError(f"number {number} is no address; several are separated by commas")
    return ",".join(addresses)


def _smtp_url(secret: SecretStr) -> SecretStr:
    url = secret.get_secret_value()
    if not url.startswith(("mailto://", "mailtos://")):
        raise ValueError("must begin with mailtos:// (or mailto:// for a server without encryption)")
    if problem := problem_with(addressed(url, "someone@example.com")):
        raise ValueError(problem)
    return secret


class GeneralSettings(BaseSettings):
    """What all CRMs share."""

    model_config = SettingsConfigDict(env_ignore_empty=True, extra="ignore")

    database_url: Annotated[SecretStr, AfterValidator(_database_url)] | None = Field(
        None, description="The PostgreSQL database with the table contacts. Unset: the embedded one, for demo contacts."
    )
    dagster_database_url: Annotated[SecretStr, AfterValidator(_database_url)] | None = Field(
        None, description="Dagster's own database. Unset: a database `dagster` beside the embedded one."
    )
    crm_pipeline_schema: str | None = Field(None, description="Schema of `contacts`, when the search path has not it.")
    crm_pipeline_data_dir: Path = Field(
        default_factory=_default_data_dir,
        description="Folder of the embedded database, the sandbox and Dagster's files.",
    )
    crm_pipeline_allow_sandbox: bool = Field(
        False, description="true: a sandbox may be synced from a database of your own (for trials)."
    )
    crm_pipeline_keep_runs_days: int = Field(
        30, ge=1, le=3650, description="Days for which Dagster keeps finished runs, their logs and points in plots."
    )
    crm_pipeline_keep_attempts_days: int = Field(
        180, ge=1, le=3650, description="Days for which rows of crm_attempts are kept."
    )
    crm_pipeline_api_token: Annotated[SecretStr, AfterValidator(_api_token)] | None = Field(
        None, description="What callers of the HTTP API must send. Unset: it serves this machine alone, in a trial."
    )
    crm_pipeline_api_host: str = Field("127.0.0.1", description="Address that the HTTP API listens on.")
    crm_pipeline_api_port: int = Field(8000, ge=1, le=65535, description="Port of the HTTP API.")
    crm_pipeline_dagster_url: Annotated[str, AfterValidator(_page)] | None = Field(
        None, description="Where people open the Dagster UI, for links to runs, such as https://dagster.example.com."
    )
    crm_pipeline_alert_urls: Annotated[SecretStr, AfterValidator(_alert_urls)] | None = Field(
        None, description="Whom to tell when something turns bad or well again: Apprise URLs, separated by blanks."
    )
    crm_pipeline_smtp_url: Annotated[SecretStr, AfterValidator(_smtp_url)] | None = Field(
        None, description="The mail server for notification addresses: mailtos://user:password@host?from=address."
    )
    crm_pipeline_alert_digest_hour: int | None = Field(
        None, ge=0, le=23, description="Hour of the day (UTC) at which a daily digest is sent. Unset: none."
    )

    def run_url(self, run_id: str) -> str | None:
        """A run's page in the Dagster UI; None: nobody has said where that is."""
        return f"{self.crm_pipeline_dagster_url}/runs/{run_id}" if self.crm_pipeline_dagster_url else None

    @field_validator("crm_pipeline_data_dir")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return value.expanduser().resolve()


class SyncSettings(BaseSettings):
    """How one CRM's sync runs: `{CRM}_SYNC_...`."""

    model_config = SettingsConfigDict(env_ignore_empty=True, extra="ignore")

    scheduler_interval_minutes: Annotated[int, AfterValidator(_interval)] = Field(
        5, description="Minutes between scheduled runs."
    )
    scheduler_batch_size: int = Field(10, ge=1, le=LARGEST_BATCH, description="The smallest batch: one push step.")
    max_contacts_per_run: int | None = Field(
        None, ge=1, le=100_000, description="Most contacts a run takes. Unset: what the rate allows in 4 minutes."
    )
    scheduler_max_instances: int = Field(1, ge=1, le=20, description="Runs of this sync at the same time.")
    max_retries: int = Field(3, ge=0, le=20, description="Retries after the first try.")
    retry_delay_minutes: float = Field(5, gt=0, le=1440, description="Wait before the first retry.")
    retry_exponential: bool = Field(True, description="true: each wait is twice the one before; false: all the same.")
    retry_rejected: bool = Field(
        True, description="false: a clear validation refusal goes straight to Error, without retries."
    )
    rate_per_second: float | None = Field(
        None, ge=0.1, le=2000, description="Requests per second, of all processes together."
    )
    requests_per_hour: int | None = Field(
        None, ge=1, le=10_000_000, description="Requests per hour, of all processes. Unset: what the account allows."
    )
    refusals_warn_percent: float = Field(
        5, ge=0, le=100, description="Share of failed and rejected pushes of 24 hours from which the check warns."
    )
    refusals_error_percent: float = Field(20, ge=0, le=100, description="The same, from which it is red.")
    concurrency: int = Field(16, ge=1, le=64, description="Threads that push at once.")
    failure_notification_email: Annotated[str, AfterValidator(_addresses)] | None = Field(
        None, description="Addresses, separated by commas, that are told when something turns bad or well again."
    )

    @property
    def every(self) -> str:
        """`every 5 minutes`, for people."""
        minutes = self.scheduler_interval_minutes
        return "every minute" if minutes == 1 else f"every {minutes} minutes"


class BackfillSettings(BaseSettings):
    """How one CRM's backfills run: `{CRM}_BACKFILL_...`."""

    model_config = SettingsConfigDict(env_ignore_empty=True, extra="ignore")

    start_date: date | None = Field(
        None, description="First day that can be chosen. Unset: the oldest contact's, at most 3 years back."
    )


class CrmSettings(BaseModel):
    """One CRM's settings: the sync's, and the CRM's own credentials."""

    model_config = {"arbitrary_types_allowed": True}

    spec: Any
    sync: SyncSettings
    credentials: Any
    backfill: BackfillSettings = Field(default_factory=BackfillSettings)

    @property
    def name(self) -> str:
        """The CRM's name, e.g. `brevo`."""
        return str(self.spec.name)

    @property
    def enabled(self) -> bool:
        """Is the key set?"""
        field = self.spec.key_variable.removeprefix(f"{self.name.upper()}_").lower()
        return getattr(self.credentials, field) is not None

    @property
    def rate_per_second(self) -> float:
        """The configured rate, or 80 % of what the account allows: other tools share it."""
        return self.sync.rate_per_second or 0.8 * float(self.spec.account_requests_per_second)

    @property
    def requests_per_hour(self) -> int:
        """The configured quota, or what the account allows."""
        return self.sync.requests_per_hour or int(self.spec.account_requests_per_hour)

    @property
    def max_contacts_per_run(self) -> int:
        """The configured cap, or what the rate allows in 4 minutes."""
        return self.sync.max_contacts_per_run or max(1, int(self.rate_per_second * RUN_SECONDS))

    def batch_size(self, listed: int) -> int:
        """Contacts per batch, for a run of `listed`: about 20 batches, none over 20 s at the rate, none over 500."""
        longest = max(1, int(self.rate_per_second * LONGEST_BATCH_SECONDS))
        backlog = -(-listed // BATCHES_PER_RUN)
        return min(max(self.sync.scheduler_batch_size, backlog), longest, LARGEST_BATCH)


class Settings:
    """All settings of one process. `load()` raises SettingsError with every problem at once."""

    def __init__(self, general: GeneralSettings, crms: Mapping[str, CrmSettings]) -> None:
        self.general = general
        self.crms = dict(crms)

    @classmethod
    def load(cls) -> Settings:
        """Read the environment and the file of settings."""
        _check_env_file()
        problems: list[str] = []
        general = _read(GeneralSettings, "", problems)
        crms: dict[str, CrmSettings] = {}
        for spec in CRMS.values():
            prefix = spec.name.upper() + "_"
            sync = _read(SyncSettings, prefix + "SYNC_", problems)
            backfill = _read(BackfillSettings, prefix + "BACKFILL_", problems)
            credentials = _read(spec.settings, prefix, problems)
            if sync is not None and backfill is not None and credentials is not None:
                crms[spec.name] = CrmSettings(spec=spec, sync=sync, credentials=credentials, backfill=backfill)
        if general is not None and general.crm_pipeline_smtp_url is None:
            problems += [
                f"{name.upper()}_SYNC_FAILURE_NOTIFICATION_EMAIL needs a mail server: set CRM_PIPELINE_SMTP_URL, "
                "such as mailtos://user:password@smtp.example.com?from=pipeline@example.com."
                for name, crm in crms.items()
                if crm.sync.failure_notification_email
            ]
        if problems or general is None:
            raise SettingsError(problems)
        return cls(general, crms)

    @property
    def embedded(self) -> bool:
        """No DATABASE_URL: the embedded PostgreSQL, which holds demo contacts."""
        return self.general.database_url is None

    @property
    def same_database_for_dagster(self) -> bool:
        """Do DATABASE_URL and DAGSTER_DATABASE_URL name one database?"""
        ours, dagsters = self.database_url, self.general.dagster_database_url
        if ours is None or dagsters is None:
            return False
        theirs = psycopg2_url(dagsters.get_secret_value())
        return where(ours) == where(theirs)

    @cached_property
    def database_url(self) -> URL | None:
        """DATABASE_URL in the form that psycopg2 takes, or None for the embedded database."""
        secret = self.general.database_url
        return None if secret is None else psycopg2_url(secret.get_secret_value())

    def crm(self, name: str) -> CrmSettings:
        """The settings of one CRM; raises SettingsError for an unknown name or a missing key."""
        if name not in self.crms:
            raise SettingsError([f"{name!r} is no CRM; there are: {', '.join(sorted(self.crms))}."])
        crm = self.crms[name]
        if not crm.enabled:
            spec: CrmSpec = crm.spec
            raise SettingsError(
                [f"{spec.key_variable} is not set: {spec.title} is disabled. Set it in .env or the environment."]
            )
        return crm


def _read(
    model: type[BaseSettings], prefix: str, problems: list[str]
) -> Any:  # an instance of `model`, or None when it has problems
    try:
        return model(_env_prefix=prefix, _env_file=env_file())
    except ValidationError as error:
        for problem in error.errors(include_url=False):
            variable = prefix + "_".join(str(part) for part in problem["loc"][:1]).upper()
            problems.append(_sentence(variable, problem))
        return None


def _sentence(variable: str, problem: Any) -> str:
    """`BREVO_LIST_ID is 'abc': input should be a valid integer, ...`; values of secret fields are not shown."""
    reason = problem["msg"].removeprefix("Value error, ")
    shown = problem["input"]
    if problem["type"] == "value_error" or isinstance(shown, SecretStr):
        return f"{variable} {reason}."
    if any(word in variable for word in ("KEY", "TOKEN", "SECRET", "PASSWORD", "URL")):
        return f"{variable}: {reason[0].lower()}{reason[1:]}."
    return f"{variable} is {mask(repr(shown))}: {reason[0].lower()}{reason[1:]}."
