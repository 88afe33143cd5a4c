"""Which CRMs exist: one line each."""

from __future__ import annotations

from crm_pipeline.crms import brevo
from crm_pipeline.crms.protocol import CrmSpec

CRMS: dict[str, CrmSpec] = {spec.name: spec for spec in (brevo.SPEC,)}
