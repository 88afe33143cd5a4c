"""What the server must know to run the sandbox of a CRM."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from starlette.types import ASGIApp

from crm_pipeline.sandbox.account import Account
from crm_pipeline.sandbox.quota import Limits


@dataclass(frozen=True)
class SandboxSpec:
    """One line in the registry each."""

    name: str
    """As in the CRM's own spec, e.g. `brevo`."""
    title: str
    """As people write it, e.g. `Brevo`."""
    path: str
    """Under which its API stands, e.g. `/v3`."""
    limits: Limits
    """What the CRM documents."""
    switches: Callable[[], Any]
    """A dataclass with a default for each thing that the CRM's documentation leaves open."""
    seed: Callable[[Account], None]
    """Puts into a new account what each has: lists, attributes."""
    app: Callable[[Account], ASGIApp]
    """The API, below `path`."""
