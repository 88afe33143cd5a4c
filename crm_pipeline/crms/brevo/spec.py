"""Brevo, as the registry knows it."""

from __future__ import annotations

from crm_pipeline.crms.brevo.attributes import mapped
from crm_pipeline.crms.brevo.connector import Brevo
from crm_pipeline.crms.brevo.settings import BrevoSettings
from crm_pipeline.crms.protocol import CrmSpec


def _connect(settings: BrevoSettings, threads: int) -> Brevo:
    return Brevo(SPEC, settings, threads)


SPEC = CrmSpec(
    name="brevo",
    title="Brevo",
    settings=BrevoSettings,
    connect=_connect,
    key_variable="BREVO_API_KEY",
    account_requests_per_second=10,  # https://developers.brevo.com/docs/api-limits
    account_requests_per_hour=36_000,
    sandbox_path="/v3",
    base_url_variable="BREVO_API_BASE_URL",
    external_id_column="brevo_contact_id",
    mapped=mapped,
)
