"""Requests to Brevo's account at a sandbox, as a client sends them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import requests

from crm_pipeline.sandbox.account import Account
from crm_pipeline_tests.support.sandbox import KEY

Ask = Callable[..., requests.Response]


def asking(account: Account) -> Ask:
    """`ask(method, path, json)`; `key=None` sends none."""

    def ask(method: str, path: str, json: Any = None, key: str | None = KEY, **more: Any) -> requests.Response:
        headers = {"api-key": key} if key is not None else {}
        return requests.request(method, account.url + path, json=json, headers=headers, timeout=10, **more)

    return ask


def upsert(ask: Ask, email: Any, **attributes: Any) -> requests.Response:
    """POST /contacts."""
    return ask("POST", "/contacts", {"email": email, "updateEnabled": True, "attributes": attributes})


def refusal(answer: requests.Response) -> tuple[int, str, str]:
    """Status, code and message."""
    body = answer.json()
    return answer.status_code, body["code"], body["message"]
