"""How much of a CRM's hourly quota is used."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from importlib import resources

from sqlalchemy import text

from crm_pipeline.gate.gate import Gate

_STATEMENT = text(resources.files(__package__).joinpath("hour.sql").read_text(encoding="utf-8"))


@dataclass(frozen=True, slots=True)
class Hour:
    """Requests of the current hour."""

    used: int
    allowed: int
    ends_at: datetime | None
    """When the count begins anew; None: with the next request."""


def hour(gate: Gate) -> Hour | None:
    """As all processes count it; None: no run has begun with this key and URL, or there is no quota."""
    values = {"crm": gate.crm, "identity": gate.identity}
    row = gate.database.run(lambda connection: connection.execute(_STATEMENT, values).first())
    return None if row is None else Hour(row.used, row.requests_per_hour, row.ends_at)
