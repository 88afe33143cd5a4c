"""What the routes work with: the pipelines of all CRMs over one database, and answers that are kept."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated

from fastapi import Depends, Path, Query, Request

from crm_pipeline.api.kept import Kept
from crm_pipeline.api.problems import UnknownCrm
from crm_pipeline.api.schemas import Checked, CrmName, OfCrm, Pair
from crm_pipeline.settings import Settings
from crm_pipeline.wiring import Pipeline

CHECK_SECONDS = 10.0
COUNT_SECONDS = 60.0
READY_SECONDS = 2.0


@dataclass(frozen=True)
class KeptAnswers:
    """What costs much of one CRM."""

    checked: Kept[Checked] = field(default_factory=lambda: Kept(CHECK_SECONDS, patience_seconds=0))
    """Two requests to the CRM, which wait for their slots."""
    pairs: Kept[tuple[datetime, list[Pair]]] = field(default_factory=lambda: Kept(COUNT_SECONDS))
    """A scan of the table."""


@dataclass(frozen=True)
class Parts:
    """All that the API works with."""

    settings: Settings
    pipelines: dict[str, Pipeline]
    """By CRM, over one database that has a connection for each thread."""
    stop: threading.Event = field(default_factory=threading.Event)
    """Set when the process is to end: what waits for the CRM gives up."""
    kept: dict[str, KeptAnswers] = field(init=False)
    readiness: Kept[str | None] = field(default_factory=lambda: Kept(READY_SECONDS))
    """Why the API cannot do its work, or None."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "kept", {name: KeptAnswers() for name in self.pipelines})

    def named(self, crms: Sequence[str]) -> list[Pipeline]:
        """The pipelines of these CRMs, each once. Raises UnknownCrm."""
        if not all(name in self.pipelines for name in crms):
            raise UnknownCrm
        return [self.pipelines[name] for name in dict.fromkeys(crms)]


async def _parts(request: Request) -> Parts:
    parts: Parts = request.app.state.parts
    return parts


TheParts = Annotated[Parts, Depends(_parts)]


async def _named_in_query(parts: TheParts, query: Annotated[OfCrm, Query()]) -> Pipeline:
    return parts.named([query.crm])[0]


async def _named_in_path(parts: TheParts, crm: Annotated[CrmName, Path(description="The CRM.")]) -> Pipeline:
    return parts.named([crm])[0]


PipelineOfQuery = Annotated[Pipeline, Depends(_named_in_query)]
PipelineOfPath = Annotated[Pipeline, Depends(_named_in_path)]
