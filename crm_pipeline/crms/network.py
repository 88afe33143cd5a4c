"""How a request leaves this network: what the environment says of a proxy and of certificate authorities, as for curl.

https_proxy, HTTPS_PROXY    http://user:password@proxy.example.com:3128; the first that is set counts, empty: none
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


def proxy_for(host: str) -> Proxy | None:
    """The proxy through which `host` (in lower case) is asked over TLS, or None; loopback never is.

    Raises ValueError with a sentence for a proxy that cannot be used; it does not show the value.
    """
    variable, url = _set("https_proxy")
    if not url or is_loopback(host) or _is_asked_directly(host, _set("no_proxy")[1]):
        return None
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        name, port = parts.hostname or "", parts.port
        name.encode("idna")
    except ValueError:
        parts, name, port = urlsplit(""), "", None
    if parts.scheme != "http" or not re.fullmatch(r"[\w.-]+|[0-9a-f:.]+", name, re.ASCII) or not port:
        raise ValueError(
            f"{variable} names no proxy that can be used; expected one such as http://proxy.example.com:3128, "
            "with @, / and # in a password written as %40, %2F and %23"
        )
    address = f"[{name}]:{port}" if ":" in name else f"{name}:{port}"
    if parts.username is None:
        return Proxy(variable, address, {}, ())
    user, password = unquote(parts.username), unquote(parts.password or "")
    token = b64encode(f"{user}:{password}".encode()).decode()
    return Proxy(variable, address, {"Proxy-Authorization": f"Basic {token}"}, (token, password))


def authorities() -> str | None:
    """The bundle that SSL_CERT_FILE names, if any."""
    return os.environ.get(CERT_VARIABLE) or None


def _set(name: str) -> tuple[str, str]:
    """The variable that is set, in lower case first, and its value."""
    for written in (name, name.upper()):
        if written in os.environ:
            return written, os.environ[written].strip()
    return name, ""


def _is_asked_directly(host: str, no_proxy: str) -> bool:
    for entry in no_proxy.lower().replace(",", " ").split():
        name = entry.strip(".[]")
        if entry == "*" or host == name or host.endswith(f".{name}") or _is_within(host, name):
            return True
    return False


def _is_within(host: str, network: str) -> bool:
    try:
        return ip_address(host) in ip_network(network, strict=False)
    except ValueError:
        return False
