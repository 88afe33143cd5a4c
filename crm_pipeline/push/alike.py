"""Are contacts refused one after another, and none is taken? Then it is hardly theirs: a wrong list, a key's rights."""

from __future__ import annotations

import threading
from collections.abc import Collection
from dataclasses import replace

from crm_pipeline.gate.gate import REFUSALS_BEFORE_CLOSED
from crm_pipeline.model import News, NewsKind, Outcome, OutcomeKind


class Alike:
    """Bounds what such a fault can cost: until a contact is taken no more are in flight than the row has room for.

    `in_a_row`: refusals at the batch's beginning, of all runs. From the twentieth on a single contact is risked.
    """

    def __init__(self, in_a_row: int) -> None:
        self._changed = threading.Condition()
        self._in_a_row = in_a_row
        self._in_flight = 0
        self._well = False

    def may_send(self, contacts: int, halt: threading.Event) -> bool:
        """Wait until so many more may be sent in one request; False: `halt` was set. `ended` must follow."""
        with self._changed:
            while not (self._has_room_for(contacts) or halt.is_set()):
                self._changed.wait(0.1)
            if halt.is_set():
                return False
            self._in_flight += contacts
            return True

    def _has_room_for(self, contacts: int) -> bool:
        room = REFUSALS_BEFORE_CLOSED - self._in_a_row - self._in_flight
        return self._well or self._in_flight == 0 or contacts <= room

    def ended(self, contacts: int) -> None:
        """Their request has ended, whatever came of it."""
        with self._changed:
            self._in_flight -= contacts
            self._changed.notify_all()

    def told(self, news: News, in_a_row: int) -> bool:
        """What their answer taught, and how many are refused in a row now; True: that has closed the gate."""
        with self._changed:
            if news.kind is NewsKind.REFUSED:
                self._in_a_row, self._well = in_a_row, False
            elif news.accepted:
                self._in_a_row, self._well = 0, True
            return news.kind is NewsKind.REFUSED and in_a_row >= REFUSALS_BEFORE_CLOSED


def taught(answered: News, outcomes: Collection[Outcome]) -> News:
    """The news of an answer after which the CRM is well, with what its contacts' outcomes teach of the account."""
    if any(outcome.kind is OutcomeKind.SYNCED for outcome in outcomes):
        return replace(answered, accepted=True)
    refused = [outcome for outcome in outcomes if _is_refusal(outcome)]
    if not refused:
        return answered  # an opt-out, a contact's own refusal: they say nothing about the others
    sentence = _sentence(refused[-1].error or "")
    return replace(answered, kind=NewsKind.REFUSED, sentence=sentence, contacts=len(refused))


def blocked(outcome: Outcome, sentence: str | None) -> Outcome:
    """The outcome of a contact whose refusal closed the gate: no attempt is counted."""
    return replace(outcome, kind=OutcomeKind.BLOCKED, error=sentence)


def _is_refusal(outcome: Outcome) -> bool:
    """By a 4xx, and not surely the contact's own."""
    return outcome.kind is OutcomeKind.FAILED and 400 <= (outcome.http_status or 0) < 500 and not outcome.own


def _sentence(error: str) -> str:
    return (
        f"{REFUSALS_BEFORE_CLOSED} contacts in a row were refused alike, or more, the last with: {error[:200]}. "
        "That is hardly theirs. Look at the account's lists and attributes and at what the key may do; if these "
        "contacts are to blame, correct or unselect them and run `check`, which opens at once."
    )
