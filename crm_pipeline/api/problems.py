"""Errors as answers: problem JSON (RFC 9457) with the status that fits. Nothing of a request is repeated in them."""

from __future__ import annotations

import logging
import math
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.routing import compile_path

from crm_pipeline.api.kept import RETRY_SECONDS, Busy
from crm_pipeline.api.schemas import CRM_NAMES, Problem, ValidationProblem
from crm_pipeline.errors import (
    ActionNeeded,
    DatabaseFailure,
    DatabaseUnreachable,
    PipelineError,
    SchemaError,
    UnknownContact,
    UsageError,
)

logger = logging.getLogger(__name__)
MEDIA_TYPE = "application/problem+json"
MOST_DETAILS = 20
STATUSES: list[tuple[type[PipelineError], int]] = [
    (UnknownContact, 404),
    (DatabaseUnreachable, 503),
    (DatabaseFailure, 503),
    (SchemaError, 503),
    (Busy, 503),
    (ActionNeeded, 409),
    (UsageError, 400),
]
"""The first that fits."""


class UnknownCrm(UsageError):
    """No CRM has this name."""

    def __init__(self) -> None:
        super().__init__(f"Unknown CRM. There are: {', '.join(CRM_NAMES)}.")


class NotNow(UsageError):
    """The request is understood, and does not fit what is: 409."""


def problem(
    status: int,
    detail: str,
    headers: dict[str, str] | None = None,
    retry_after: float | None = None,
    valid_crms: list[str] | None = None,
) -> JSONResponse:
    """The answer to a request that failed."""
    headers = dict(headers or {})
    seconds = None if retry_after is None else max(1, math.ceil(retry_after))
    if seconds is not None:
        headers["Retry-After"] = str(seconds)
    body = Problem(
        title=HTTPStatus(status).phrase,
        status=status,
        detail=detail,
        valid_crms=valid_crms,
        retry_after_seconds=seconds,
    )
    return JSONResponse(body.model_dump(), status, headers, MEDIA_TYPE)


def add_problems(app: FastAPI) -> None:
    """Answer every error in this form."""

    @app.exception_handler(PipelineError)
    async def pipeline_error(_: Request, error: PipelineError) -> JSONResponse:
        if isinstance(error, UnknownCrm):
            return problem(400, str(error), valid_crms=CRM_NAMES)
        status = 409 if isinstance(error, NotNow) else _status(error)
        if status != 503:
            return problem(status, str(error))
        if not isinstance(error, Busy):
            logger.error("%s", error)
        return problem(status, str(error), retry_after=error.seconds if isinstance(error, Busy) else RETRY_SECONDS)

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> JSONResponse:
        headers = dict(error.headers or {})
        if error.status_code == 405 and (methods := _methods(request)):
            headers["Allow"] = ", ".join(sorted(methods))
        return problem(error.status_code, str(error.detail), headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        parts = [{name: part[name] for name in ("loc", "msg", "type")} for part in error.errors()[:MOST_DETAILS]]
        return JSONResponse({"detail": parts}, 422)

    @app.exception_handler(Exception)
    async def unexpected(_: Request, __: Exception) -> JSONResponse:
        return problem(500, "The API failed. Its log says how.")


def answers(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """For the OpenAPI document: the problems that a route may answer with."""
    texts = {
        400: "An unknown CRM; the answer has those there are",
        401: "The token is missing or wrong",
        404: "No contact has this id",
        409: "It does not fit what is; the sentence says why",
        503: "The database or the CRM cannot be asked now",
    }
    found: dict[int | str, dict[str, Any]] = {
        status: {"model": Problem, "description": texts[status]} for status in sorted(statuses)
    }
    return found | {422: {"model": ValidationProblem, "description": "The request does not fit the schema"}}


def _methods(request: Request) -> set[str]:
    """What the path takes: the router names the methods of its first route alone."""
    return {
        method.upper()
        for path, operations in request.app.openapi()["paths"].items()
        if compile_path(path)[0].match(request.url.path)
        for method in operations
    }


def _status(error: PipelineError) -> int:
    return next((status for kind, status in STATUSES if isinstance(error, kind)), 500)
