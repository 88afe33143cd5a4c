"""Notices on their way: by Apprise, never longer than a caller can wait, and without a secret in what goes wrong."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence

from crm_pipeline.alerts.notices import Notice
from crm_pipeline.alerts.recipients import Recipient
from crm_pipeline.redaction import mask

ANSWER_SECONDS = 5.0
"""For one recipient to be reached, and again for its answer."""
ALL_SECONDS = 25.0
"""For all together: a tick of Dagster's has 60 s."""
LONGEST_REASON = 300


def deliver(parcels: Sequence[tuple[Recipient, Notice]], seconds: float = ALL_SECONDS) -> dict[str, str | None]:
    """Send each notice; by the recipient's name, why it was not taken, or None. Raises nothing.

    A recipient that takes its time may have got a notice that counts as not taken, and gets it once more.
    """
    results: dict[str, str | None] = {}

    def work() -> None:
        for recipient, notice in parcels:
            results[recipient.name] = send(recipient, notice.title, notice.text)

    sender = threading.Thread(target=work, name="alerts", daemon=True)
    sender.start()
    sender.join(seconds)
    late = f"no answer within {seconds:g} s"
    taken = dict(results)  # what comes later is too late
    return {recipient.name: taken.get(recipient.name, late) for recipient, _ in parcels}


def send(recipient: Recipient, title: str, text: str) -> str | None:
    """Send one notice; None when it was taken, else the reason in words. Raises nothing."""
    import apprise  # slow to import, and most processes tell nobody

    url = recipient.url.get_secret_value()
    plugin = apprise.Apprise.instantiate(url)
    if plugin is None:
        return "its URL is not complete"
    plugin.socket_connect_timeout = plugin.socket_read_timeout = ANSWER_SECONDS
    apprise.logger.propagate = False  # it names addresses
    with apprise.LogCapture(level=logging.WARNING, fmt="%(message)s") as said:  # type: ignore[no-untyped-call]
        try:
            taken = bool(plugin.notify(body=text, title=title))
        except Exception as error:  # noqa: BLE001 (a notifier's fault must not become ours)
            return f"its notifier failed: {type(error).__name__}"
        reason = " ".join(said.getvalue().split())
    if taken:
        return None
    return mask(reason, _secrets(plugin, url))[:LONGEST_REASON] or "it was not taken"


def _secrets(plugin: object, url: str) -> list[str]:
    """What may stand in a URL and be nobody's business: all of its parts but the host."""
    parts = [getattr(plugin, "password", None), getattr(plugin, "user", None), url, url.partition("://")[2]]
    host = getattr(plugin, "host", None)
    parts += [part for part in url.partition("://")[2].replace("?", "/").replace("@", "/").split("/") if part != host]
    return [part for part in parts if part]
