"""What any CRM's key and base URL must be like. Each check raises ValueError with a sentence without its subject."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from pydantic import SecretStr


def checked_key(key: SecretStr, page: str) -> SecretStr | None:
    """The key without blanks around it, None when nothing is left. `page`: where it can be copied again."""
    value = key.get_secret_value().strip(" ")
    if not fits_a_header(value):
        raise ValueError(
            f"has a line break, a control character or a foreign letter in it. Copy the key again from {page}"
        )
    return SecretStr(value) if value else None


def fits_a_header(value: str) -> bool:
    """No line break or other control character, and nothing outside Latin-1."""
    return value.isprintable() and all(ord(letter) < 256 for letter in value)


def checked_base_url(url: str, allow_http: bool, allow_variable: str = "") -> str:
    """The URL without its trailing slash.

    `http://` is for loopback, or for those who allow it: the key would travel in the clear. `allow_variable` is the
    variable that allows it, named in the sentence.
    """
    example = "such as https://api.example.com/v3"
    if not url.isascii() or not url.isprintable() or " " in url:
        raise ValueError(f"must be plain ASCII without blanks, {example}")
    try:
        parts = urlsplit(url)
        host, _valid_port = parts.hostname or "", parts.port
        host.encode("idna")
    except ValueError:
        raise ValueError(f"cannot be understood; expected one {example}") from None
    if parts.scheme not in ("http", "https") or not host:
        raise ValueError(f"is no http(s) URL; expected one {example}")
    if "@" in parts.netloc or "?" in url or "#" in url:
        raise ValueError("must not carry a user, a query or a fragment")
    if parts.scheme == "http" and not allow_http and not is_loopback(host):
        allow = f", or set {allow_variable}=true" if allow_variable else ""
        raise ValueError(f"is not encrypted: the key could be read on the way to {host}. Use https://{allow}")
    return url.rstrip("/")


def is_loopback(host: str) -> bool:
    """The host is this machine itself, by its name or its address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
