"""A request as a CRM's sandbox sees it, and what it answers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

_encode = json.JSONEncoder(separators=(",", ":")).encode  # all but ASCII is escaped, lone surrogates too


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


class Call:
    """One request, its body read."""

    def __init__(self, request: Request, body: bytes) -> None:
        self.body = body
        self.overlaps = False
        """Another write to the same contact was still being answered when this one arrived."""
        self._request = request

    @property
    def method(self) -> str:
        """In capitals."""
        return self._request.method

    @property
    def client(self) -> str:
        """The caller's IP address."""
        return self._request.client.host if self._request.client else "unknown"

    @property
    def path(self) -> Mapping[str, Any]:
        """What the route's placeholders stand for, percent-decoded."""
        return self._request.path_params

    @property
    def query(self) -> Mapping[str, str]:
        """Query parameters, percent-decoded."""
        return self._request.query_params

    def query_all(self, name: str) -> list[str]:
        """All values of a query parameter that may be repeated."""
        return self._request.query_params.getlist(name)

    def header(self, name: str) -> str:
        """A header's value without blanks around it; empty when it is absent."""
        return self._request.headers.get(name, "").strip()

    @cached_property
    def json(self) -> Any:
        """The body as JSON; raises ValueError when it is none."""
        try:
            return json.loads(self.body, parse_constant=_refuse)
        except RecursionError:
            raise ValueError("nested too deeply") from None

    def json_or_none(self) -> Any:
        """The body as JSON, or None when it is none."""
        try:
            return self.json
        except ValueError:
            return None


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer. `body`: bytes and text go out as they are, None is an empty body, all else is sent as JSON."""

    status: int
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def response(self, headers: Mapping[str, str]) -> Response:
        """As HTTP; `headers` are those that the CRM adds to each of its answers."""
        body, media_type = self.body, None
        if not isinstance(body, bytes | str | None):
            body, media_type = _encode(body), "application/json"
        return Response(body, self.status, {**headers, **self.headers}, media_type=media_type)
