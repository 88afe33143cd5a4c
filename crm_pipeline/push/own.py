"""Is it this contact's own trouble? Then it says nothing about the account, nor about the CRM."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from crm_pipeline.gate.gate import Gate
from crm_pipeline.model import Answer, Contact, OutcomeKind


def mark_own(answer: Answer, contacts: Sequence[Contact], gate: Gate) -> Answer:
    """The answer, with the outcomes marked of those that have failed so before, while others were taken since."""
    retried = {contact.id for contact in contacts if contact.attempt > 1}
    errors = {
        contact_id: outcome.error
        for contact_id, outcome in answer.outcomes.items()
        if contact_id in retried and outcome.kind is OutcomeKind.FAILED and outcome.error
    }
    known = gate.known(errors) if errors else set()
    outcomes = {
        contact_id: replace(outcome, own=outcome.own or contact_id in known)
        for contact_id, outcome in answer.outcomes.items()
    }
    return replace(answer, outcomes=outcomes)


def is_own(answer: Answer) -> bool:
    """All of it is. (But a 503 that names a time speaks of the CRM.)"""
    own = [outcome.own for outcome in answer.outcomes.values()]
    return bool(own) and all(own) and answer.news.pause_seconds is None
