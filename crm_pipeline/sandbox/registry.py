"""Of which CRMs there is a sandbox: one line each."""

from __future__ import annotations

from crm_pipeline.sandbox.brevo import api
from crm_pipeline.sandbox.protocol import SandboxSpec

SANDBOXES: dict[str, SandboxSpec] = {spec.name: spec for spec in (api.SPEC,)}
