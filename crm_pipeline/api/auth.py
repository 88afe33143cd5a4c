"""Who may ask: whoever sends the token of CRM_PIPELINE_API_TOKEN."""

from __future__ import annotations

import ipaddress
import secrets

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from crm_pipeline.api.health import OPEN_PATHS
from crm_pipeline.api.problems import problem
from crm_pipeline.errors import SettingsError
from crm_pipeline.settings import Settings


class TokenRequired:
    """Answers 401 before anything of a request is read, whatever its path, but for those that anybody may ask."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._token = token.encode("ascii")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI has it."""
        if scope["type"] != "http" or scope["path"] in OPEN_PATHS or self._has_token(scope):
            await self._app(scope, receive, send)
            return
        detail = "Send the token of CRM_PIPELINE_API_TOKEN: `Authorization: Bearer TOKEN`."
        await problem(401, detail, {"WWW-Authenticate": "Bearer"})(scope, receive, send)

    def _has_token(self, scope: Scope) -> bool:
        scheme, _, given = Headers(scope=scope).get("authorization", "").partition(" ")
        return scheme.lower() == "bearer" and secrets.compare_digest(given.strip().encode("latin-1"), self._token)


def token_of(settings: Settings, host: str) -> str | None:
    """The token that is asked for; None: a trial on this machine. Raises SettingsError when there must be one."""
    if settings.general.crm_pipeline_api_token is not None:
        return settings.general.crm_pipeline_api_token.get_secret_value()
    if settings.embedded and _is_loopback(host):
        return None
    raise SettingsError(
        [
            "CRM_PIPELINE_API_TOKEN is not set: without it the API serves this machine's demo contacts alone. "
            "`openssl rand -hex 32` makes a good one; set it in .env or the environment."
        ]
    )


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
