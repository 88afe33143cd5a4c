"""From a request to its answer: recorded on arrival, then whatever goes wrong on purpose, then the CRM's own rules."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Mapping, Sequence

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from crm_pipeline.redaction import mask
from crm_pipeline.sandbox.account import Account
from crm_pipeline.sandbox.calls import Call, Reply

logger = logging.getLogger(__name__)
Answer = Callable[[Call], Reply]


class Exchange:
    """Makes an HTTP API of one account's rules, which are plain functions and wait for nothing.

    `rules` stand around each answer (key, refusals); `unknown` answers a path (404) or method (405) that is none;
    `headers` makes those that the CRM adds to each answer.
    """

    def __init__(
        self,
        account: Account,
        rules: Callable[[Answer, Call], Reply],
        unknown: Callable[[int], Reply],
        headers: Callable[[], Mapping[str, str]],
    ) -> None:
        self._account = account
        self._rules = rules
        self._unknown = unknown
        self._headers = headers

    def app(self, routes: Sequence[Route]) -> ASGIApp:
        """The routes, and the CRM's own answer to any other."""

        async def unknown(_: Request, refused: Exception) -> Response:
            assert isinstance(refused, HTTPException)
            return self._unknown(refused.status_code).response({**self._headers(), **(refused.headers or {})})

        app = Starlette(routes=routes, exception_handlers={404: unknown, 405: unknown})
        app.router.redirect_slashes = False
        return app

    def route(
        self, method: str, path: str, answer: Answer, pushes: Callable[[Call], Sequence[str]] | None = None
    ) -> Route:
        """`pushes`: the addresses in a call, when it is one that pushes contacts."""

        async def respond(request: Request) -> Response:
            call = Call(request, await request.body())
            try:
                addresses = pushes(call) if pushes else ()
                self._account.note(addresses)
                reply = await self._account.faults.applied(addresses, lambda: self._rules(answer, call))
            except Exception:  # noqa: BLE001 (a bug of the sandbox: logged without the contact's data)
                logger.error("A bug in the sandbox:\n%s", mask(traceback.format_exc()))
                reply = Reply(500, "A bug in the sandbox: see its log")
            return reply.response(self._headers())

        return Route(path, respond, methods=[method])
