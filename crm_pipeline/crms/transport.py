"""One bounded request: the only module that knows `requests`.

    request(method, path, json)
    |-- Reply              a status came; for 2xx the whole body too, at most 1 MiB of it decoded
    `-- TransportFailure   no usable answer; its kind says at which border it failed

Nothing is redirected, retried, remembered (cookies) or read from the environment (`.netrc`), but what network.py names.
There is no `requests.Session`: even with `allow_redirects=False` one reads a redirect's body whole, however long it is.
"""

from __future__ import annotations

import copy
import http.client
import re
import ssl
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from functools import cached_property
from json import JSONEncoder, loads
from socket import EAI_AGAIN, gaierror
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3.exceptions
from requests import exceptions
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict
from requests.utils import DEFAULT_CA_BUNDLE_PATH
from urllib3 import HTTPConnectionPool, ProxyManager

from crm_pipeline.crms.connection import BoundedPool, BoundedTlsPool, Exchange, taking_part
from crm_pipeline.crms.credentials import checked_base_url, fits_a_header
from crm_pipeline.crms.network import CERT_VARIABLE, Proxy, authorities, proxy_for
from crm_pipeline.model import SANDBOX_HEADER
from crm_pipeline.redaction import redact

LONGEST_BODY = 1024 * 1024
PROXY_OUTAGES = (500, 502, 503, 504)
"""Statuses with which a proxy says that it gives no tunnel now."""
_encode = JSONEncoder(ensure_ascii=False, allow_nan=False).encode


class FailureKind(StrEnum):
    """Where a request failed that brought no usable answer. The value is the journal's code."""

    CONNECTION = "connection"
    TIMEOUT = "timeout"
    DNS = "dns"
    TLS = "tls"
    PROXY = "proxy"
    """The proxy of the environment gives no tunnel before a person acts. Its outages are as those of the CRM."""
    TRUNCATED = "truncated"
    """The answer ended before its body did: what the CRM did with the request is unknown."""
    OVERSIZE = "oversize"
    UNREADABLE = "unreadable"
    """Not HTTP, or a body that cannot be decoded."""


@dataclass(frozen=True)
class Reply:
    """An answer with a status. The body of a redirect is not read; that of an error may have been cut."""

    status: int
    headers: Mapping[str, str]
    """Looked up without regard to case."""
    body: bytes
    duration_ms: int

    @cached_property
    def json(self) -> Any:
        """The body as JSON; None when it is none."""
        try:
            return loads(self.body)
        except (ValueError, RecursionError):
            return None

    @property
    def sandbox(self) -> bool:
        """The server named itself a sandbox."""
        return SANDBOX_HEADER in self.headers


@dataclass(frozen=True, slots=True)
class TransportFailure:
    """No usable answer."""

    kind: FailureKind
    detail: str
    """The cause in its own words, redacted."""
    duration_ms: int
    sent: bool = True
    """The request, or a part of it, may have left this machine."""


FOREIGN: dict[type[Exception], FailureKind] = {
    OSError: FailureKind.CONNECTION,
    TimeoutError: FailureKind.TIMEOUT,
    gaierror: FailureKind.DNS,
    ssl.SSLError: FailureKind.TLS,
    # The peer went away on a TLS connection: no fault of certificates or versions.
    ssl.SSLEOFError: FailureKind.CONNECTION,
    ssl.SSLZeroReturnError: FailureKind.CONNECTION,
    ssl.SSLSyscallError: FailureKind.CONNECTION,
    http.client.HTTPException: FailureKind.UNREADABLE,
    http.client.RemoteDisconnected: FailureKind.CONNECTION,
    http.client.IncompleteRead: FailureKind.TRUNCATED,
    urllib3.exceptions.HTTPError: FailureKind.CONNECTION,
    urllib3.exceptions.TimeoutError: FailureKind.TIMEOUT,
    urllib3.exceptions.EmptyPoolError: FailureKind.TIMEOUT,
    urllib3.exceptions.NewConnectionError: FailureKind.CONNECTION,
    urllib3.exceptions.NameResolutionError: FailureKind.DNS,
    urllib3.exceptions.SSLError: FailureKind.TLS,
    urllib3.exceptions.IncompleteRead: FailureKind.TRUNCATED,
    urllib3.exceptions.InvalidChunkLength: FailureKind.TRUNCATED,
    urllib3.exceptions.DecodeError: FailureKind.UNREADABLE,
    exceptions.RequestException: FailureKind.CONNECTION,
    exceptions.Timeout: FailureKind.TIMEOUT,
    exceptions.SSLError: FailureKind.TLS,
    exceptions.ChunkedEncodingError: FailureKind.TRUNCATED,
    exceptions.ContentDecodingError: FailureKind.UNREADABLE,
}
"""What an exception of somebody else's means. The innermost cause decides, by its most specific class."""

BUGS = (
    exceptions.InvalidHeader,
    exceptions.InvalidJSONError,
    exceptions.InvalidSchema,
    exceptions.InvalidURL,
    exceptions.MissingSchema,
    exceptions.StreamConsumedError,
    exceptions.UnrewindableBodyError,
    exceptions.URLRequired,
    urllib3.exceptions.BodyNotHttplibCompatible,
    urllib3.exceptions.HostChangedError,
    urllib3.exceptions.InvalidHeader,
    urllib3.exceptions.LocationValueError,
    urllib3.exceptions.TimeoutStateError,
    urllib3.exceptions.UnrewindableBodyError,
)
"""Wrong use of the libraries: propagated."""


def encode(value: Any) -> str:
    """JSON as it is sent; a Decimal is a number with all its digits, for which the standard library has no place.

    Raises ValueError for NaN and infinity. Lone surrogates in a text cannot be sent as UTF-8.
    """
    match value:
        case dict():
            return "{" + ",".join(f"{_encode(str(name))}:{encode(item)}" for name, item in value.items()) + "}"
        case list() | tuple():
            return "[" + ",".join(map(encode, value)) + "]"
        case Decimal():
            return f"{value:f}" if value.is_finite() else _encode(float(value))
        case _:
            return _encode(value)


class Transport:
    """Requests to one base URL from up to `threads` threads. Raises ValueError for an unfit URL or header."""

    def __init__(
        self,
        base_url: str,
        headers: Mapping[str, str],
        threads: int,
        secrets: Iterable[str],
        *,
        allow_http: bool = False,
        tls: ssl.SSLContext | None = None,
        total_seconds: float = 30.0,
        connect_seconds: float = 3.05,
        read_seconds: float = 10.0,
    ) -> None:
        self.base_url = checked_base_url(base_url, allow_http)
        self._secrets = tuple(secrets)
        self.total_seconds = total_seconds
        self._connect_seconds = connect_seconds
        self._read_seconds = read_seconds
        self._unusable: TransportFailure | None = None
        """Why no request can be made as the environment is."""
        self._proxy: Proxy | None = None
        self._pool = self._made_pool(threads, tls)
        self._adapter = _Adapter(self._pool)
        if not all(fits_a_header(value) for value in headers.values()):
            raise ValueError("a header's value has a character in it that no header can carry")
        # Prepared once: parsing the URL and the headers costs more than the rest of a request.
        self._blank = requests.Request("GET", self.base_url, headers=dict(headers)).prepare()
        self._headers_with_body = {**self._blank.headers, "Content-Type": "application/json"}

    def request(self, method: str, path: str, json: Any = None) -> Reply | TransportFailure:
        """Send one request and wait for its answer, at most `total_seconds`. `path` is already percent-encoded.

        It goes out twice only when an idle connection turns out to be closed and no byte of an answer came.
        """
        if self._unusable is not None:
            return self._unusable
        request = self._prepared(method, path, json)
        started = time.monotonic()
        exchange = Exchange(self.total_seconds, self._read_seconds)
        try:
            with taking_part(exchange):
                response = self._sent(request, exchange)
                body = _body(response)
        except tuple(FOREIGN) as error:
            if isinstance(error, BUGS):
                raise
            cause = _innermost(error)
            detail = redact(str(cause), self._secrets) or type(cause).__name__
            # A name server that does not answer now is an outage; a name that does not exist is a person's mistake.
            is_outage = isinstance(cause, gaierror) and cause.errno == EAI_AGAIN
            kind = FailureKind.CONNECTION if is_outage else failure_kind(type(cause))
            if self._proxy is not None and exchange.at_proxy:
                detail = f"the proxy {self._proxy.address} that {self._proxy.variable} names: {detail}"
                if kind not in (FailureKind.CONNECTION, FailureKind.TIMEOUT) or _is_refused_a_tunnel(cause):
                    kind = FailureKind.PROXY
            return TransportFailure(kind, detail, _milliseconds_since(started), exchange.sent)
        if len(body) > LONGEST_BODY and 200 <= response.status_code < 300:
            return TransportFailure(
                FailureKind.OVERSIZE, "the answer is longer than 1 MiB", _milliseconds_since(started)
            )
        return Reply(response.status_code, response.headers, body, _milliseconds_since(started))

    def close(self) -> None:
        """Close pooled connections."""
        self._pool.close()

    def _made_pool(self, threads: int, tls: ssl.SSLContext | None) -> HTTPConnectionPool:
        parts = urlsplit(self.base_url)
        host = parts.hostname or ""
        if parts.scheme == "http":
            return BoundedPool(host, parts.port, maxsize=threads, block=True)
        try:
            self._proxy = proxy_for(host, parts.port or 443)
        except ValueError as error:
            self._unusable = TransportFailure(FailureKind.PROXY, str(error), 0, sent=False)
        try:
            tls = tls or tls_context()
        except OSError as error:
            detail = f"{CERT_VARIABLE} names no bundle of certificate authorities that can be read ({error})"
            self._unusable = TransportFailure(FailureKind.TLS, detail, 0, sent=False)
        if self._proxy is None:
            return BoundedTlsPool(host, parts.port, maxsize=threads, block=True, ssl_context=tls)
        self._secrets += self._proxy.secrets
        manager = ProxyManager(
            f"http://{self._proxy.address}",
            proxy_headers=self._proxy.headers,
            maxsize=threads,
            block=True,
            ssl_context=tls,
        )
        manager.pool_classes_by_scheme = {"https": BoundedTlsPool}
        return manager.connection_from_host(host, parts.port, "https")

    def _prepared(self, method: str, path: str, json: Any) -> requests.PreparedRequest:
        request = copy.copy(self._blank)
        request.method = method
        request.url = self.base_url + path
        if json is not None:
            body = encode(json).encode()
            request.body = body
            request.headers = CaseInsensitiveDict({**self._headers_with_body, "Content-Length": str(len(body))})
        return request

    def _sent(self, request: requests.PreparedRequest, exchange: Exchange) -> requests.Response:
        try:
            return self._sent_once(request, exchange)
        except requests.ConnectionError as error:
            lost = isinstance(_innermost(error), ConnectionError)
            if not lost or exchange.answered or not exchange.on_idle_connection:
                raise
        return self._sent_once(request, exchange)

    def _sent_once(self, request: requests.PreparedRequest, exchange: Exchange) -> requests.Response:
        timeout = (exchange.left(self._connect_seconds), exchange.left(self._read_seconds))
        return self._adapter.send(request, stream=True, timeout=timeout)


class _Adapter(HTTPAdapter):
    """Sends over the one pool of connections; nothing is tried again."""

    def __init__(self, pool: HTTPConnectionPool) -> None:
        super().__init__(max_retries=0)
        self._pool = pool

    def get_connection_with_tls_context(self, *_: Any, **__: Any) -> HTTPConnectionPool:
        """All requests go to one host."""
        return self._pool

    def cert_verify(self, *_: Any, **__: Any) -> None:
        """The pool's TLS context verifies. Loading the authorities again for each connection would cost 20 ms."""


def tls_context() -> ssl.SSLContext:
    """TLS 1.2 or newer, host name and certificate verified: by SSL_CERT_FILE, or the authorities that `requests` has.

    Raises OSError for a file that cannot be read.
    """
    context = ssl.create_default_context(cafile=authorities() or DEFAULT_CA_BUNDLE_PATH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def failure_kind(foreign: type[BaseException]) -> FailureKind:
    """What an exception class of FOREIGN, or a subclass, means; KeyError for any other."""
    for ancestor in foreign.__mro__:
        if ancestor in FOREIGN:
            return FOREIGN[ancestor]
    raise KeyError(foreign)


def _innermost(error: BaseException) -> BaseException:
    """The deepest cause that FOREIGN knows: the libraries wrap what happened several times."""
    deepest, inner = error, _within(error)
    while inner is not None:
        if isinstance(inner, tuple(FOREIGN)):
            deepest = inner
        inner = _within(inner)
    return deepest


def _within(error: BaseException) -> BaseException | None:
    # The failure of a handshake through a proxy is an argument of its wrapper, and not chained to it.
    wrapped = (argument for argument in error.args if isinstance(argument, BaseException))
    return error.__cause__ or error.__context__ or next(wrapped, None)


def _is_refused_a_tunnel(cause: BaseException) -> bool:
    """By a status of the proxy's that a person must see to: urllib3 hands it over in words alone."""
    refused = re.match(r"Tunnel connection failed: (\d+)", str(cause))
    return refused is not None and int(refused[1]) not in PROXY_OUTAGES


def _body(response: requests.Response) -> bytes:
    """The decoded body, up to one byte more than is allowed. A redirect's is not read, an error's may end early."""
    body = bytearray()
    try:
        while not 300 <= response.status_code < 400 and len(body) <= LONGEST_BODY:
            piece = response.raw.read(LONGEST_BODY + 1 - len(body), decode_content=True)
            if not piece:
                break
            body += piece
    except tuple(FOREIGN):
        if 200 <= response.status_code < 300:
            raise
    finally:
        response.close()  # also gives the connection's place in the pool back
    return bytes(body)


def _milliseconds_since(started: float) -> int:
    return round((time.monotonic() - started) * 1000)
