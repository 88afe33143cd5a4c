"""Brevo's variables: `BREVO_...`."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from crm_pipeline.crms.brevo.phone import regions
from crm_pipeline.crms.credentials import checked_base_url, checked_key

KEYS_PAGE = "https://app.brevo.com/settings/keys/api"
LISTS_PAGE = "https://app.brevo.com/contact/list-listing"
NOT_SENT = "none"
_NAME = re.compile(r"[A-Z][A-Z0-9_]{0,99}")
_COLUMN = re.compile(r"[a-z_][a-z0-9_]{0,62}")
ATTRIBUTES = (*("first_name", "last_name", "phone", "email_type", "has_gmail", "source_url", "domain_id", "page_id"),)
_OWN_NAMES = ("EMAIL", "EXT_ID")


def _name(name: str) -> str:
    """An attribute's name in capitals, or `none`."""
    name = name.strip()
    if name.lower() == NOT_SENT:
        return NOT_SENT
    if not _NAME.fullmatch(name.upper()):
        raise ValueError(f"must be an attribute's name (letters, digits and _), or {NOT_SENT}: then it is not sent")
    if name.upper() in _OWN_NAMES:
        raise ValueError(f"cannot be {name.upper()}, which is no attribute that a sync may write")
    return name.upper()


AttributeName = Annotated[str, AfterValidator(_name)]


class BrevoSettings(BaseSettings):
    """Credentials and options of Brevo."""

    model_config = SettingsConfigDict(env_ignore_empty=True, extra="ignore", hide_input_in_errors=True)

    api_key: SecretStr | None = Field(None, description=f"The key, from {KEYS_PAGE}. Unset: Brevo is disabled.")
    list_id: int | None = Field(
        None, gt=0, description=f"The list that synced contacts are added to, from {LISTS_PAGE}; it must exist."
    )
    api_allow_http: bool = Field(False, description="true: an unencrypted base URL beyond this machine is used.")
    api_base_url: str = Field("https://api.brevo.com/v3", description="Where Brevo's API is, `/v3` included.")

    attribute_first_name: AttributeName = Field("FIRSTNAME", description="Brevo's attribute for `name` to its blank.")
    attribute_last_name: AttributeName = Field("LASTNAME", description="For the rest of `name`.")
    attribute_phone: AttributeName = Field("SMS", description="For `phone_number`, in its international form.")
    attribute_email_type: AttributeName = Field("EMAIL_TYPE", description="For `email_type`.")
    attribute_has_gmail: AttributeName = Field("HAS_GMAIL", description="For `has_gmail`.")
    attribute_source_url: AttributeName = Field("SOURCE_URL", description="For `source_url`.")
    attribute_domain_id: AttributeName = Field("DOMAIN_ID", description="For `domain_id`.")
    attribute_page_id: AttributeName = Field("PAGE_ID", description="For `page_id`.")
    attributes: str = Field(
        "", description="Further columns of `contacts`, as NAME=column, separated by commas: COMPANY=enriched_company."
    )
    phone_region: str | None = Field(
        None, description="Two-letter country of phone numbers without a country code, such as FR. Unset: not sent."
    )

    @field_validator("api_key")
    @classmethod
    def _key(cls, key: SecretStr | None) -> SecretStr | None:
        return None if key is None else checked_key(key, KEYS_PAGE)

    @field_validator("api_base_url")
    @classmethod
    def _base_url(cls, url: str, info: ValidationInfo) -> str:
        return checked_base_url(url, bool(info.data.get("api_allow_http")), "BREVO_API_ALLOW_HTTP")

    @field_validator(*(f"attribute_{what}" for what in ATTRIBUTES))
    @classmethod
    def _one_value_each(cls, name: str, info: ValidationInfo) -> str:
        taken = [value for field, value in info.data.items() if field.startswith("attribute_")]
        if name != NOT_SENT and name in taken:
            raise ValueError(f"names {name}, which another value goes to already")
        return name

    @field_validator("phone_region")
    @classmethod
    def _region(cls, region: str | None) -> str | None:
        if region is None:
            return None
        if region.upper() not in regions():
            raise ValueError("must be a country's two-letter code, such as FR")
        return region.upper()

    @field_validator("attributes")
    @classmethod
    def _further(cls, pairs: str, info: ValidationInfo) -> str:
        taken = {value for field, value in info.data.items() if field.startswith("attribute_")}
        for pair in filter(None, (part.strip() for part in pairs.split(","))):
            name, equals, column = (part.strip() for part in pair.partition("="))
            name = _name(name) if equals and name else ""
            if not name or name == NOT_SENT or not _COLUMN.fullmatch(column):
                raise ValueError("must be NAME=column pairs, separated by commas, such as COMPANY=enriched_company")
            if name in taken:
                raise ValueError(f"names the attribute {name}, which another value goes to already")
            taken.add(name)
        return pairs

    @property
    def further(self) -> dict[str, str]:
        """`attributes` as attribute -> column."""
        pairs = [part.partition("=") for part in self.attributes.split(",") if part.strip()]
        return {name.strip().upper(): column.strip() for name, _, column in pairs}
