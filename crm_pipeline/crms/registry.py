"""Which CRMs exist: one line each."""

from __future__ import annotations

from crm_pipeline.crms.brevo.spec import SPEC as BREVO
from crm_pipeline.crms.protocol import CrmSpec

CRMS: dict[str, CrmSpec] = {spec.name: spec for spec in (BREVO,)}
