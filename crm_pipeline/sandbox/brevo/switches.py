"""What Brevo's documentation leaves open: the first value of each is the default, and can be changed at any time.

account.switches.throttled_body = "html"       pydantic.ValidationError for a value that is none
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

BodyForm = Literal["model", "empty", "html"]
"""Brevo's error model, nothing, or a web page."""


@dataclass(config=ConfigDict(validate_assignment=True, extra="forbid", strict=True, hide_input_in_errors=True))
class Switches:
    """How Brevo may behave where nobody has said so for certain."""

    unknown_attribute: Literal["drop", "refuse"] = "drop"
    """An attribute that the account lacks: dropped behind a success, or 400."""
    empty_clears: bool = False
    """An empty text or null as an attribute's value clears it."""
    email_match: Literal["case-insensitive", "exact"] = "case-insensitive"
    """Whether Ann@example.com is ann@example.com."""
    duplicate_code: Literal["duplicate_parameter", "invalid_parameter"] = "duplicate_parameter"
    duplicate_metadata: bool = True
    """`metadata.duplicate_identifiers` names what another contact has; without it the text alone does."""
    phone_error: Annotated[str, Field(min_length=1)] = "Invalid phone number"
    """The message about a phone number that is none."""
    throttled_body: BodyForm = "model"
    """What a 429 carries."""
    reset_header: Literal["seconds", "milliseconds", "absent"] = "seconds"
    """x-sib-ratelimit-reset."""
    retry_after: Literal["absent", "present"] = "absent"
    """Retry-After beside a 429."""
    client_error_body: BodyForm = "model"
    """What any other 4xx carries."""
    server_error_body: BodyForm = "model"
    """What a 5xx carries."""
    key_rights: Literal["all", "read and write", "read", "none"] = "all"
    """What the key may do: DELETE only with all, POST and PUT also with read and write, GET also with read."""
    restricted_key_status: Literal[403, 401] = 403
    """The answer to what the key may not do."""
    read_delay_seconds: Annotated[float, Field(ge=0, le=3600, strict=False)] = 0.0
    """So much later a change is seen by those who read."""
    too_early: Literal["off", "on"] = "off"
    """on: 425 for a write to a contact while another to the same address is still being answered."""
    batch: Literal[404, 410, "alive"] = 404
    """POST /contacts/batch, which is deprecated."""
    failed_list_change: Literal[400, 404] = 400
    """The answer when none of the contacts can be added to a list, or removed from it."""
    ext_id_in_attributes: bool = False
    """A contact's ext_id is shown as its attribute EXT_ID."""
    import_seconds: Annotated[float, Field(ge=0, le=3600, strict=False)] = 1.0
    """How long an import takes."""
