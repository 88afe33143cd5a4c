"""Which CRM does a command mean?"""

from __future__ import annotations

from typing import Annotated

import typer

from crm_pipeline.errors import UsageError
from crm_pipeline.settings import Settings
from crm_pipeline.wiring import Pipeline

CrmOption = Annotated[
    str | None, typer.Option("--crm", help="The CRM. Unset: the only one that there is, or has a key.")
]


def chosen(settings: Settings, name: str | None) -> Pipeline:
    """The pipeline of the CRM named, or of the only one. Needs no key. Raises UsageError."""
    crms = settings.crms
    if name is None:
        only = list(crms) if len(crms) == 1 else [crm.name for crm in crms.values() if crm.enabled]
        if len(only) != 1:
            raise UsageError(f"Which CRM? Name it with --crm: {', '.join(sorted(crms))}.")
        (name,) = only
    if name not in crms:
        raise UsageError(f"{name!r} is no CRM; there are: {', '.join(sorted(crms))}.")
    return Pipeline(settings, crms[name])
