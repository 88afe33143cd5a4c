"""Are a run's first contacts all refused alike? Then it is hardly theirs: a wrong list, a changed attribute."""

from __future__ import annotations

import threading

from crm_pipeline.model import News, NewsKind, Outcome, OutcomeKind

FIRST_CONTACTS = 20


class Beginning:
    """Watches the answers that a run's first 20 contacts get, over all its batches.

    Until one of them is answered otherwise no more than 20 are sent: that is what a fault of the account's can cost.
    After a run that ended so (`suspicion`) a single contact refused for the same reason is enough.
    """

    def __init__(self, suspicion: str | None = None) -> None:
        self._changed = threading.Condition()
        self._reason = suspicion
        self._most = FIRST_CONTACTS if suspicion is None else 1
        self._sent = 0
        self._refused = 0
        self._is_over = False

    def may_send(self, contacts: int, halt: threading.Event) -> bool:
        """Wait until so many more may be sent in one request; False: `halt` was set."""
        with self._changed:
            while not (self._is_over or self._sent == 0 or self._sent + contacts <= self._most or halt.is_set()):
                self._changed.wait(0.1)
            if halt.is_set():
                return False
            self._sent += contacts
            return True

    def not_sent(self, contacts: int = 1) -> None:
        """Contacts that were let through have had no answer: others may go in their place."""
        with self._changed:
            self._sent -= contacts
            self._changed.notify_all()

    def told(self, outcome: Outcome, is_retry: bool = False) -> News | None:
        """One contact's outcome; news when it is the one that makes up the number.

        A retry's refusal is no sign: contacts that were refused once come again together, for a reason of their own.
        """
        if is_retry and self._most > 1 and _refusal(outcome) is not None:
            self.not_sent()
            return None
        if outcome.kind in (OutcomeKind.BLOCKED, OutcomeKind.SKIPPED) or not 200 <= (outcome.http_status or 0) < 500:
            self.not_sent()  # an outage, a closed account or an opt-out says nothing about the others
            return None
        with self._changed:
            if self._is_over:
                return None
            reason = _refusal(outcome)
            if reason is None or reason != (self._reason or reason):
                self._is_over = True
                self._changed.notify_all()
                return None
            self._reason = reason
            self._refused += 1
            if self._refused < self._most:
                return None
        return News(NewsKind.CLOSED, _sentence(self._refused, outcome), suspicion=reason)


def _refusal(outcome: Outcome) -> str | None:
    """`HTTP 400, invalid_parameter`; None for any other outcome."""
    status = outcome.http_status or 0
    refused = outcome.kind in (OutcomeKind.FAILED, OutcomeKind.REJECTED) and 400 <= status < 500
    return ", ".join(filter(None, (f"HTTP {status}", outcome.code))) if refused else None


def _sentence(refused: int, outcome: Outcome) -> str:
    who = f"The first {refused} contacts of this run were" if refused > 1 else "Another contact was"
    return (
        f"{who} refused alike: {(outcome.error or '')[:200]}. That is hardly theirs. Look at the account's lists and "
        "attributes; if these contacts are to blame, correct or unselect them and run `check`, which opens at once."
    )
