"""Sentences in answers: what a contact's statuses mean and what can be done, which CRMs are meant, which are off."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from crm_pipeline.api.schemas import UNKNOWN
from crm_pipeline.contacts.failures import FailedContact
from crm_pipeline.contacts.next_step import after_failure, meaning_of, next_step
from crm_pipeline.crms.protocol import CrmSpec
from crm_pipeline.wiring import Pipeline


def state_of(sync: str | None, processing: str | None) -> str:
    """What the pair means; `unknown` for labels of the application's own."""
    return meaning_of(sync, processing) or UNKNOWN


def what_next(row: Any, pipeline: Pipeline) -> str:
    """For one row of `Contacts.statuses`."""
    return _begun(next_step(row, _spec(pipeline).title, select="queue-sync", retry="retry-sync"))


def what_to_do(failed: FailedContact) -> str:
    """For a contact whose last push failed."""
    return _begun(after_failure(failed.meaning, failed.next_retry_at, retry="retry-sync"))


def titles(pipelines: Sequence[Pipeline]) -> str:
    """`Brevo and HubSpot`."""
    return " and ".join(_spec(pipeline).title for pipeline in pipelines)


def without_key(pipelines: Sequence[Pipeline]) -> str:
    """What is to be said of CRMs that are off; empty when there is none."""
    off = [_spec(pipeline) for pipeline in pipelines if not pipeline.crm.enabled]
    return "".join(f" {spec.title} is off until {spec.key_variable} is set: contacts wait till then." for spec in off)


def _begun(sentence: str) -> str:
    return sentence[0].upper() + sentence[1:]


def _spec(pipeline: Pipeline) -> CrmSpec:
    spec: CrmSpec = pipeline.crm.spec
    return spec
