"""The answer table of a CRM that has no rows of its own, and answers to judge."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from requests.structures import CaseInsensitiveDict

from crm_pipeline.crms.answers import AnswerTable
from crm_pipeline.crms.brevo.spec import SPEC as BREVO
from crm_pipeline.crms.transport import FailureKind, Reply, TransportFailure
from crm_pipeline.model import News, Outcome

KEY = "acme-key-4711/+&é"
HOST = "api.acme.example"
SPEC = replace(BREVO, name="acme", title="Acme", key_variable="ACME_API_KEY", base_url_variable="ACME_API_BASE_URL")
HTML = b"<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>"


def error_of(body: Any) -> tuple[str | None, str | None]:
    """Code and message as Acme writes them."""
    return (body.get("code"), body.get("message")) if isinstance(body, dict) else (None, None)


def table(host: str = HOST) -> AnswerTable:
    """The shared rows alone."""
    return AnswerTable(
        SPEC, host, (KEY,), (), error_of, ("x-acme-reset",), ("x-acme-limit", "x-acme-reset"), "x-acme-request"
    )


def reply(status: int, body: bytes | dict[str, Any] = b"", **headers: str) -> Reply:
    """An answer; header names are written with `_` for `-`."""
    named = CaseInsensitiveDict({name.replace("_", "-"): value for name, value in headers.items()})
    return Reply(status, named, json.dumps(body).encode() if isinstance(body, dict) else body, 12)


def judged(status: int, body: bytes | dict[str, Any] = b"", **headers: str) -> tuple[Outcome, News]:
    return table().judge(reply(status, body, **headers))


def judged_failure(kind: FailureKind, detail: str = "no route") -> tuple[Outcome, News]:
    return table().judge(TransportFailure(kind, detail, 34))
