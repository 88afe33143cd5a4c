"""Who is told."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import SecretStr

from crm_pipeline.alerts.urls import addressed
from crm_pipeline.settings import Settings


@dataclass(frozen=True, slots=True)
class Recipient:
    """One address that notices go to."""

    name: str
    """As people know it from their settings; shows no secret."""
    url: SecretStr
    crm: str | None = None
    """Told of this CRM alone; None: of everything."""


def recipients(settings: Settings) -> list[Recipient]:
    """Everybody that the settings name, in their order."""
    general = settings.general
    found = []
    if general.crm_pipeline_alert_urls is not None:
        for number, url in enumerate(general.crm_pipeline_alert_urls.get_secret_value().split(), 1):
            name = f"CRM_PIPELINE_ALERT_URLS, number {number} ({url.partition('://')[0]})"
            found.append(Recipient(name, SecretStr(url)))
    if general.crm_pipeline_smtp_url is not None:
        for name, crm in settings.crms.items():
            if addresses := crm.sync.failure_notification_email:
                for number, address in enumerate(addresses.split(","), 1):
                    url = addressed(general.crm_pipeline_smtp_url.get_secret_value(), address)
                    variable = f"{name.upper()}_SYNC_FAILURE_NOTIFICATION_EMAIL"
                    found.append(Recipient(f"{variable}, number {number}", SecretStr(url), name))
    return found
