"""`/health` and `/ready`: for whatever watches the process. Without a token, and without a detail for strangers."""

from __future__ import annotations

import logging
from typing import Any

from fastapi import APIRouter

from crm_pipeline.api.kept import RETRY_SECONDS, Busy
from crm_pipeline.api.parts import Parts, TheParts
from crm_pipeline.api.problems import answers
from crm_pipeline.api.schemas import Health
from crm_pipeline.errors import PipelineError

logger = logging.getLogger(__name__)
OPEN_PATHS = ("/health", "/ready")
router = APIRouter(tags=["health"])
_NO_TOKEN: dict[str, Any] = {"security": []}


@router.get("/health", openapi_extra=_NO_TOKEN, operation_id="health")
async def health() -> Health:
    """Is the process alive? Asks nobody."""
    return Health(status="ok")


@router.get("/ready", openapi_extra=_NO_TOKEN, responses={503: answers(503)[503]}, operation_id="ready")
def ready(parts: TheParts) -> Health:
    """Can it do its work: is the database there, with the schema that is needed? Asked at most every 2 seconds."""
    reason = parts.readiness.get(lambda: _why_not(parts))
    if reason is not None:
        raise Busy(reason, RETRY_SECONDS)
    return Health(status="ok")


def _why_not(parts: Parts) -> str | None:
    pipeline = next(iter(parts.pipelines.values()))
    try:
        problems = pipeline.schema_findings().problems
    except PipelineError as error:
        logger.error("%s", error)
        return "The database cannot be reached. The API's log says why."
    if problems:
        logger.error("The database is not as it must be: %s", " ".join(problems))
        return "The database is not as it must be. `crm-pipeline db check` says what is wrong."
    return None
