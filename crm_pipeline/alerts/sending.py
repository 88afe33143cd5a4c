"""Notices on their way: by Apprise, never longer than a caller can wait, and without a secret in what goes wrong."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from crm_pipeline.alerts.notices import Notice
from crm_pipeline.alerts.recipients import Recipient
from crm_pipeline.redaction import mask

ANSWER_SECONDS = 5.0
"""For one recipient to be reached, and again for its answer."""
ALL_SECONDS = 25.0
"""For all together: a tick of Dagster's has 60 s."""
LONGEST_REASON = 300


def deliver(parcels: Sequence[tuple[Recipient, Notice]], seconds: float = ALL_SECONDS) -> dict[str, str | None]:
    """Send all notices at once; by the recipient's name, why it was not taken, or None. Raises nothing.

    One who takes longer than `seconds` keeps no other waiting. It may have got a notice that counts as not taken, and
    gets it once more.
    """
    results: dict[str, str | None] = {}

    def work(recipient: Recipient, notice: Notice) -> None:
        results[recipient.name] = send(recipient, notice.title, notice.text, notice.kind)

    senders = [threading.Thread(target=work, args=parcel, name="alert", daemon=True) for parcel in parcels]
    for sender in senders:
        sender.start()
    end = time.monotonic() + seconds
    for sender in senders:
        sender.join(max(end - time.monotonic(), 0))
    late = f"no answer within {seconds:g} s"
    taken = dict(results)  # what comes later is too late
    return {recipient.name: taken.get(recipient.name, late) for recipient, _ in parcels}


def send(recipient: Recipient, title: str, text: str, kind: str = "info") -> str | None:
    """Send one notice of a kind of Apprise's; None when it was taken, else the reason in words. Raises nothing."""
    import apprise  # slow to import, and most processes tell nobody

    url = recipient.url.get_secret_value()
    plugin = apprise.Apprise.instantiate(url)
    if plugin is None:
        return "its URL is not complete"
    plugin.socket_connect_timeout = plugin.socket_read_timeout = ANSWER_SECONDS
    with _said_here(apprise.logger) as said:
        try:
            taken = bool(plugin.notify(body=text, title=title, notify_type=apprise.NotifyType(kind)))
        except Exception as error:  # noqa: BLE001 (a notifier's fault must not become ours)
            return f"its notifier failed: {type(error).__name__}"
    if taken:
        return None
    return mask(" ".join(said), _secrets(plugin, url))[:LONGEST_REASON] or "it was not taken"


@contextmanager
def _said_here(logger: logging.Logger) -> Iterator[list[str]]:
    """What the library warns of in this thread. It goes nowhere else: it names addresses."""
    said: list[str] = []
    own = threading.get_ident()

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.thread == own:
                said.append(record.getMessage())

    listener = Listener(logging.WARNING)
    logger.propagate = False
    logger.addHandler(listener)
    try:
        yield said
    finally:
        logger.removeHandler(listener)


def _secrets(plugin: object, url: str) -> list[str]:
    """What may stand in a URL and be nobody's business: all of its parts but the host."""
    parts = [getattr(plugin, "password", None), getattr(plugin, "user", None), url, url.partition("://")[2]]
    host = getattr(plugin, "host", None)
    parts += [part for part in url.partition("://")[2].replace("?", "/").replace("@", "/").split("/") if part != host]
    return [part for part in parts if part]
