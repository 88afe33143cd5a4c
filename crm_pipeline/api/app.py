"""All routes in one application, with its OpenAPI document."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

import anyio.to_thread
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from crm_pipeline.api import contacts, crms, failures, health, metrics
from crm_pipeline.api.access_log import AccessLog
from crm_pipeline.api.auth import TokenRequired
from crm_pipeline.api.parts import Parts
from crm_pipeline.api.problems import MEDIA_TYPE, add_problems

THREADS = 16
"""Requests worked on at once. Each takes one connection to the database at most."""
LARGEST_BODY = 1024 * 1024
OPENAPI_PATH = "/api/v3/openapi.json"
DESCRIPTION = """Select contacts for a CRM, and ask what became of them.

A selection only writes what somebody wants; the pipeline's runs push it. Errors are problem JSON (RFC 9457) with a
sentence in `detail`. Every path but `/health` and `/ready` needs `Authorization: Bearer TOKEN`."""


class Api(FastAPI):
    """The application: its OpenAPI document has every path with the token, and problems under their own media type."""

    def openapi(self) -> dict[str, Any]:
        """The document, made once."""
        if not self.openapi_schema:
            self.openapi_schema = _document(self)
        return self.openapi_schema


def make_app(parts: Parts, token: str | None) -> Api:
    """The application. `token` None: nobody is asked for one."""
    app = Api(
        title="crm_pipeline",
        version=version("crm-pipeline"),
        description=DESCRIPTION,
        openapi_url=None,  # served below, behind the token
        docs_url=None,  # they load their scripts from another host
        redoc_url=None,
        lifespan=_lifespan,
        max_body_size=LARGEST_BODY,
    )
    app.state.parts = parts
    add_problems(app)
    for module in (contacts, failures, crms, health, metrics):
        app.include_router(module.router)

    @app.get(OPENAPI_PATH, include_in_schema=False)
    async def openapi() -> dict[str, Any]:
        """This API's own description."""
        return app.openapi()

    if token is not None:
        app.add_middleware(TokenRequired, token=token)
    app.add_middleware(AccessLog)  # the outermost: refused requests are logged too
    return app


@asynccontextmanager
async def _lifespan(_: FastAPI) -> AsyncIterator[None]:
    anyio.to_thread.current_default_thread_limiter().total_tokens = THREADS
    yield


def _document(app: FastAPI) -> dict[str, Any]:
    document = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=app.routes, tags=None
    )
    document["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    document["security"] = [{"token": []}]
    too_large = {"description": "The body is larger than 1 MiB", "content": {"text/plain": {}}}
    for operations in document["paths"].values():
        for operation in operations.values():
            if "requestBody" in operation:
                operation["responses"]["413"] = too_large
            for answer in operation["responses"].values():
                for media_type, body in list(answer.get("content", {}).items()):
                    if body.get("schema", {}).get("$ref", "").endswith("/Problem"):
                        answer["content"][MEDIA_TYPE] = answer["content"].pop(media_type)
    return document
