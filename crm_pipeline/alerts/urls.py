"""Addresses of people and their tools, as Apprise understands them: https://appriseit.com/services/."""

from __future__ import annotations

from urllib.parse import urlencode


def problem_with(url: str) -> str | None:
    """Why no notice can be sent there, without showing the URL, which may hold a password; None: it is complete."""
    from apprise import Apprise  # slow to import, and most processes tell nobody

    scheme, separator, _ = url.partition("://")
    if not separator or not scheme.isalnum():
        return "is no Apprise URL, such as slack://... or mailtos://...: https://appriseit.com/services/ lists them"
    if Apprise.instantiate(url) is None:
        return (
            f"({scheme}://...) is no complete Apprise URL: https://appriseit.com/services/ says what each service needs"
        )
    return None


def addressed(smtp_url: str, address: str) -> str:
    """The mail server's URL with the recipient in it."""
    return f"{smtp_url}{'&' if '?' in smtp_url else '?'}{urlencode({'to': address})}"
