"""How a request leaves this network: what the environment says of a proxy and of certificate authorities, as for curl.

https_proxy, HTTPS_PROXY    http://user:password@proxy.example.com:3128; the first that is not empty counts
no_proxy, NO_PROXY          hosts, domains and networks that are asked directly; `*`: all
SSL_CERT_FILE               a bundle of certificate authorities in place of the one that comes with the pipeline
"""

from __future__ import annotations

import os
import re
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from urllib.parse import unquote, urlsplit

from crm_pipeline.crms.credentials import is_loopback

CERT_VARIABLE = "SSL_CERT_FILE"
_WITH_PORT = re.compile(r"(\[.*\]|[^:]+):([0-9]{1,5})")


@dataclass(frozen=True, slots=True)
class Proxy:
    """An http proxy, asked for a tunnel with CONNECT."""

    variable: str
    """The one that names it."""
    address: str
    """`proxy.example.com:3128`."""
    headers: Mapping[str, str] = field(repr=False)
    """Of a CONNECT: the password."""
    secrets: tuple[str, ...] = field(repr=False)
    """What no text may show."""


def proxy_for(host: str, port: int = 443) -> Proxy | None:
    """The proxy through which `host` (in lower case) is asked over TLS at `port`, or None; loopback never is.

    Raises ValueError with a sentence for a proxy that cannot be used; it does not show the value.
    """
    variable, url = _set("https_proxy")
    if not url or is_loopback(host) or _is_asked_directly(host, port, _set("no_proxy")[1]):
        return None
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        name, proxy_port = parts.hostname or "", parts.port
        name.encode("idna")
    except ValueError:
        parts, name, proxy_port = urlsplit(""), "", None
    if parts.scheme != "http" or not re.fullmatch(r"[\w.-]+|[0-9a-f:.]+", name, re.ASCII) or not proxy_port:
        raise ValueError(
            f"{variable} names no proxy that can be used; expected one such as http://proxy.example.com:3128, "
            "with @, / and # in a password written as %40, %2F and %23"
        )
    address = f"[{name}]:{proxy_port}" if ":" in name else f"{name}:{proxy_port}"
    if parts.username is None:
        return Proxy(variable, address, {}, ())
    user, password = unquote(parts.username), unquote(parts.password or "")
    token = b64encode(f"{user}:{password}".encode()).decode()
    return Proxy(variable, address, {"Proxy-Authorization": f"Basic {token}"}, (token, password))


def authorities() -> str | None:
    """The bundle that SSL_CERT_FILE names, if any."""
    return os.environ.get(CERT_VARIABLE) or None


def _set(name: str) -> tuple[str, str]:
    """The variable that is set, in lower case first, and its value. An empty one is as one that is not set."""
    for written in (name, name.upper()):
        if value := os.environ.get(written, "").strip():
            return written, value
    return name, ""


def _is_asked_directly(host: str, port: int, no_proxy: str) -> bool:
    for entry in no_proxy.lower().replace(",", " ").split():
        with_port = _WITH_PORT.fullmatch(entry)
        name, at = (with_port[1], int(with_port[2])) if with_port else (entry, port)
        bare = re.sub(r"[\[\]]", "", name).removeprefix("*").strip(".")
        if at == port and (name == "*" or host == bare or host.endswith(f".{bare}") or _is_within(host, bare)):
            return True
    return False


def _is_within(host: str, network: str) -> bool:
    try:
        return ip_address(host) in ip_network(network, strict=False)
    except ValueError:
        return False
