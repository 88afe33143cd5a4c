"""`crm-pipeline config`: which settings there are, what they are now, and where each comes from."""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, get_args

import typer
from dotenv import dotenv_values
from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, DotEnvSettingsSource, EnvSettingsSource
from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from crm_pipeline.crms.registry import CRMS
from crm_pipeline.database.engine import psycopg2_url, where
from crm_pipeline.errors import SettingsError, UsageError
from crm_pipeline.redaction import mask
from crm_pipeline.settings import (
    ENV_FILE_VARIABLE,
    PROJECT_ROOT,
    BackfillSettings,
    GeneralSettings,
    Settings,
    SyncSettings,
    env_file,
)

ENVIRONMENT, DEFAULT = "environment", "default"
OURS = "CRM_PIPELINE_"
ENV_FILE_TEXT = "Another file of settings than `.env`; set and empty: none. Read from the environment alone."
console = Console()


def config(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document (docs/cli.md).")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="The reference that docs/settings.md is.")] = False,
) -> None:
    """Every setting: its value, where it comes from, what it does. Secrets are set or not set, and never shown.

    Exit code 2: some are wrong; what can be shown is, and every problem with it.
    """
    if as_json and markdown:
        raise UsageError("--json shows this machine's settings and --markdown the reference: give one of them.")
    if markdown:
        print(reference(), end="")
        return
    found, problems = list(settings()), _problems()
    if as_json:
        document = {
            "env_file": env_file(),
            "settings": [asdict(one) for one in found],
            "unknown": [asdict(one) for one in unknown()],
            "problems": problems,
        }
        print(json.dumps(document, indent=2))
        if problems:
            raise typer.Exit(2)
        return
    _show(found)
    if problems:
        raise SettingsError(problems)


@dataclass(frozen=True, slots=True)
class Setting:
    """One variable as it is on this machine."""

    variable: str
    value: str | None
    """For people, as it was written; None: it has none. A secret's is `set`, a database's its host, port and name."""
    source: str
    """`environment`, `default`, or the path of the file of settings."""
    secret: bool
    description: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """A variable that looks like one of ours and is none: nobody reads it."""

    variable: str
    source: str
    did_you_mean: str | None

    def __str__(self) -> str:
        if self.variable.upper() == ENV_FILE_VARIABLE:
            return f"{self.variable} ({self.source}): this one is read from the environment alone."
        meant = f"; did you mean {self.did_you_mean}?" if self.did_you_mean else "."
        return f"{self.variable} ({self.source}): no such setting{meant}"


def settings() -> Iterator[Setting]:
    """All there are, also while some are wrong."""
    file = _readable_file()
    named = os.environ.get(ENV_FILE_VARIABLE)
    for _, prefix, model in _models():
        from_environment = EnvSettingsSource(model, env_prefix=prefix)()
        from_file = DotEnvSettingsSource(model, env_file=file, env_prefix=prefix)() if file else {}
        for name, field in model.model_fields.items():
            secret = _is_secret(field.annotation)
            if name in from_environment:
                value, source = _shown(from_environment[name], name, field), ENVIRONMENT
            elif name in from_file:
                value, source = _shown(from_file[name], name, field), str(file)
            else:
                value, source = _default(field), DEFAULT
            yield Setting((prefix + name).upper(), value, source, secret, field.description or "")
        if model is GeneralSettings:
            yield Setting(
                ENV_FILE_VARIABLE, env_file(), DEFAULT if named is None else ENVIRONMENT, False, ENV_FILE_TEXT
            )


def unknown() -> Iterator[Unknown]:
    """Variables of the environment and the file that begin as ours do."""
    known = sorted((prefix + name).upper() for _, prefix, model in _models() for name in model.model_fields)
    prefixes = (OURS, *(f"{name.upper()}_" for name in CRMS))
    file = _readable_file()
    from_file = dotenv_values(file) if file else {}
    for source, names in ((ENVIRONMENT, os.environ.keys()), (str(file), from_file.keys())):
        read = {*known, *([ENV_FILE_VARIABLE] if source == ENVIRONMENT else [])}
        for name in sorted(name for name in names if name.upper() not in read):
            for prefix in prefixes:
                if name.upper().startswith(prefix):
                    yield Unknown(name, source, _closest(name.upper(), prefix, known))


def _closest(name: str, prefix: str, known: Sequence[str]) -> str | None:
    """Compared without the prefix, which alone makes all of them alike."""
    rest = [other.removeprefix(prefix) for other in known if other.startswith(prefix)]
    close = difflib.get_close_matches(name.removeprefix(prefix), rest, 1)
    return prefix + close[0] if close else None


def reference() -> str:
    """All settings in Markdown: docs/settings.md, written by `crm-pipeline config --markdown`."""
    lines = [
        "# Settings",
        "",
        "Read from the environment and from `.env` (the environment wins), and checked all at once, before anything",
        "is touched. `crm-pipeline config` shows those of this machine, and where each comes from; `.env.example` is a",
        "file to start from.",
        "",
        "Written by `crm-pipeline config --markdown`.",
    ]
    heading = ""
    for group, prefix, model in _models():
        if group != heading:
            heading = group
            lines += ["", f"## {heading}", "", "| variable | default | values | what it is |", "|---|---|---|---|"]
        properties = model.model_json_schema()["properties"]
        for name, field in model.model_fields.items():
            default = _default(field)
            cells = (
                f"`{(prefix + name).upper()}`",
                "" if default in (None, "") else f"`{_for_everybody(str(default))}`",
                _values(properties[name], _is_secret(field.annotation)),
                (field.description or "").replace("|", "\\|"),
            )
            lines.append(f"| {' | '.join(cells)} |")
        if model is GeneralSettings:
            lines.append(f"| `{ENV_FILE_VARIABLE}` | `.env` | path | {ENV_FILE_TEXT} |")
    return "\n".join(lines) + "\n"


def _models() -> Iterator[tuple[str, str, type[BaseSettings]]]:
    """(heading, prefix of the variables, model) of all settings, as `Settings.load` reads them."""
    yield "General", "", GeneralSettings
    for spec in CRMS.values():
        prefix = f"{spec.name.upper()}_"
        yield spec.title, prefix, spec.settings
        yield spec.title, f"{prefix}SYNC_", SyncSettings
        yield spec.title, f"{prefix}BACKFILL_", BackfillSettings


def _problems() -> list[str]:
    try:
        Settings.load()
    except SettingsError as error:
        return list(error.problems)
    return []


def _readable_file() -> str | None:
    """The file of settings, when there is one that can be read; why it cannot is among the problems."""
    file = env_file()
    try:
        if file is None or not Path(file).is_file():
            return None
        Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    return file


def _is_secret(annotation: Any) -> bool:
    return annotation is SecretStr or any(_is_secret(part) for part in get_args(annotation))


def _shown(value: Any, name: str, field: FieldInfo) -> str | None:
    """What may be read by whoever looks over a shoulder."""
    text = str(value)
    if _is_secret(field.annotation):
        return _database(text) if name.endswith("database_url") else "set"
    plain = field.annotation is Path or text.replace(".", "", 1).isdigit()
    return text if plain else mask(text)


def _database(url: str) -> str:
    """Host, port and database; just `set` for what cannot be told from a password."""
    try:
        parsed = psycopg2_url(url)
    except ValueError:
        return "set"
    return "set" if "@" in f"{parsed.host}{parsed.database}" else where(parsed)


def _default(field: FieldInfo) -> str | None:
    value = field.get_default(call_default_factory=True)
    return str(value).lower() if isinstance(value, bool) else None if value is None else str(value)


def _for_everybody(default: str) -> str:
    """A path within the project as people elsewhere know it."""
    return default.removeprefix(f"{PROJECT_ROOT}{os.sep}")


def _values(schema: Mapping[str, Any], secret: bool) -> str:
    """Which values are taken: `1 to 500`, `true or false`."""
    (schema,) = [part for part in schema.get("anyOf", [schema]) if part.get("type") != "null"]
    kind, least, most = schema["type"], schema.get("minimum"), schema.get("maximum")
    above = schema.get("exclusiveMinimum")
    if secret:
        return "secret"
    if kind == "boolean":
        return "true or false"
    if kind in ("integer", "number"):
        low = f"above {above:g}" if above is not None else f"{least:,}" if least is not None else ""
        number = "whole number" if kind == "integer" else "number"
        return number if not low else f"{low} to {most:,}" if most is not None else f"{number} {low}"
    return {"path": "path", "date": "date"}.get(schema.get("format", ""), "text")


def _show(found: list[Setting]) -> None:
    by_variable = {one.variable: one for one in found}
    file = _readable_file()
    beside = f", and from {file}, which it goes before" if file else "; no file of settings is read"
    console.print(f"From the environment{beside}.", soft_wrap=True, markup=False, highlight=False)
    heading = ""
    for group, prefix, model in _models():
        if group != heading:
            heading = group
            console.print(Text(f"\n{heading}", "bold"))
        names = [(prefix + name).upper() for name in model.model_fields]
        for one in (by_variable[name] for name in names + ([ENV_FILE_VARIABLE] if model is GeneralSettings else [])):
            line = Text(f"  {one.variable} = {one.value or 'not set'}", "" if one.source == DEFAULT else "bold green")
            console.print(line, Text(f"  ({Path(one.source).name})", "dim"), sep="", soft_wrap=True)
            console.print(Padding(Text(one.description, "dim"), (0, 0, 0, 6), expand=False))
    for stray in unknown():
        console.print(Text(f"\n{stray}", "yellow"), soft_wrap=True)
