"""From a request to its answer: recorded on arrival, the quota, whatever goes wrong on purpose, the CRM's own rules."""

from __future__ import annotations

import logging
import time
import traceback
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Protocol
from urllib.parse import unquote_plus

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from crm_pipeline.redaction import mask
from crm_pipeline.sandbox.account import Account
from crm_pipeline.sandbox.calls import Call, Reply
from crm_pipeline.sandbox.connection import Reset, Truncated, Unanswered
from crm_pipeline.sandbox.quota import Standing
from crm_pipeline.sandbox.record import Exchanged

logger = logging.getLogger(__name__)
Answer = Callable[[Call], Reply]
Pushes = Callable[[Call], Sequence[str]]
FAILURES = (500, 502, 503, 504)
ANSWER_SHOWN = 300
PAGE = "<html><head><title>Welcome</title></head><body><h1>It works!</h1></body></html>"


class Rules(Protocol):
    """How one CRM answers, whatever the request."""

    def refusal(self, call: Call) -> Reply | None:
        """Why this caller gets nothing at all (no or a wrong key), or None."""

    def answered(self, answer: Answer, call: Call) -> Reply:
        """The answer, or the error that ended it."""

    def unknown(self, status: int) -> Reply:
        """No such path (404), or not with this method (405)."""

    def throttled(self, standing: Standing | None) -> Reply:
        """429."""

    def failed(self, status: int) -> Reply:
        """A 5xx."""

    def headers(self, standing: Standing | None) -> Mapping[str, str]:
        """Those of every answer; `standing` with the limit that the request came under, if there is any."""

    def counts_elsewhere(self, path: str) -> bool:
        """Whether a path below the API's own is limited apart from contacts."""


class Exchange:
    """Makes an HTTP API of one account's rules and answers, which are plain functions and wait for nothing."""

    def __init__(self, account: Account, rules: Rules) -> None:
        self._account = account
        self._rules = rules
        self._being_written: Counter[str] = Counter()
        self._failures = 0

    def app(self, routes: Sequence[Route]) -> ASGIApp:
        """The routes, and the CRM's own answer to any other."""

        async def unknown(request: Request, refused: Exception) -> Response:
            assert isinstance(refused, HTTPException)
            status = refused.status_code
            response = await self._respond(request, lambda _: self._rules.unknown(status), None)
            response.headers.update(refused.headers or {})
            return response

        app = Starlette(routes=routes, exception_handlers={404: unknown, 405: unknown})
        app.router.redirect_slashes = False
        return app

    def route(self, method: str, path: str, answer: Answer, pushes: Pushes | None = None) -> Route:
        """`pushes`: the addresses in a call, when it is one that writes contacts."""

        async def respond(request: Request) -> Response:
            return await self._respond(request, answer, pushes)

        return Route(path, respond, methods=[method])

    async def _respond(self, request: Request, answer: Answer, pushes: Pushes | None) -> Response:
        try:
            call = Call(request, await request.body())
        except ClientDisconnect:
            return Response(status_code=400)
        at, started = datetime.now(UTC), time.perf_counter()
        addresses: Sequence[str] = ()
        mishap: str | None = None
        standing: Standing | None = None
        try:
            addresses = pushes(call) if pushes else ()
            self._account.note(addresses)
            reply, mishap, standing = await self._reply(request, call, answer, addresses)
        except Exception:  # noqa: BLE001 (a bug of the sandbox: logged without the contact's data)
            logger.error("A bug in the sandbox:\n%s", mask(traceback.format_exc()))
            reply = Reply(500, "A bug in the sandbox: see its log")
        response = self._as_it_goes_out(reply, standing, mishap)
        path = request.url.path + (f"?{unquote_plus(request.url.query)}" if request.url.query else "")
        silent = isinstance(response, Reset | Unanswered)
        took = 1000 * (time.perf_counter() - started)
        shown = b"" if silent else bytes(response.body)[:ANSWER_SHOWN]
        self._account.record.note(
            Exchanged(
                at, call.method, path, addresses, 0 if silent else response.status_code, mishap or "", took,
                shown.decode(errors="replace"),
            )
        )  # fmt: skip
        return response

    async def _reply(
        self, request: Request, call: Call, answer: Answer, addresses: Sequence[str]
    ) -> tuple[Reply, str | None, Standing | None]:
        """The answer, the mishap that it meets on its way, and how the account stands with its quota."""
        account, rules = self._account, self._rules
        standing = None
        if rules.refusal(call) is None:  # a caller without a key has no account whose quota it could use
            path = request.url.path.removeprefix(request.scope.get("root_path", ""))
            standing = account.quota.take(elsewhere=rules.counts_elsewhere(path))
            if standing is not None and standing.refused:
                await account.faults.delay()
                return rules.throttled(standing), None, standing
        mishap = account.faults.mishap(pushes=bool(addresses))
        if mishap == "throttled":
            standing = account.quota.as_if_refused(standing)

        def store() -> Reply:
            match mishap:
                case "throttled":
                    return rules.throttled(standing)
                case "failed":
                    self._failures += 1
                    return rules.failed(FAILURES[(self._failures - 1) % len(FAILURES)])
                case "reset":
                    return Reply(500)
            return rules.refusal(call) or rules.answered(answer, call)

        written = [address.lower() for address in addresses if address]
        call.overlaps = any(self._being_written[address] for address in written)
        self._being_written.update(written)
        try:
            return await account.faults.applied(addresses, store), mishap, standing
        finally:
            self._being_written.subtract(written)
            self._being_written += Counter()  # without what is at 0

    def _as_it_goes_out(self, reply: Reply, standing: Standing | None, mishap: str | None) -> Response:
        headers = self._rules.headers(standing)
        match mishap:
            case "invalid":
                return Response(PAGE, 200 if reply.status == 204 else reply.status, dict(headers), "text/html")
            case "truncated":
                return Truncated(reply.response(headers))
            case "reset":
                return Reset()
            case "unanswered":
                return Unanswered(self._account.faults.ended)
        return reply.response(headers)
