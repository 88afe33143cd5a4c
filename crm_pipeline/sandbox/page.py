"""The page for people: the contacts of each account, searchable."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from importlib import resources
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from crm_pipeline.sandbox.account import Account, StoredContact
from crm_pipeline.sandbox.calls import Reply

SHOWN = 100


@cache
def _html() -> str:
    return resources.files(__package__).joinpath("page.html").read_text(encoding="utf-8")


def page_routes(accounts: Sequence[Account]) -> list[Route]:
    """`/` is the page, which asks `/contacts.json?q=` again and again."""

    async def page(_: Request) -> HTMLResponse:
        return HTMLResponse(_html(), headers={"Content-Security-Policy": "default-src 'self' 'unsafe-inline'"})

    async def contacts(request: Request) -> Response:
        words = request.query_params.get("q", "").lower().split()
        return Reply(200, {"accounts": [_account(account, words) for account in accounts]}).response({})

    return [Route("/", page), Route("/contacts.json", contacts)]


def _account(account: Account, words: Sequence[str]) -> dict[str, Any]:
    """What the page shows of one account: the last changed contacts that have all the words somewhere."""
    contacts = account.contacts()
    found = [contact for contact in contacts if _has(account, contact, words)] if words else contacts
    return {
        "title": account.title,
        "api": account.url,
        "received": account.received_count,
        "contacts": len(contacts),
        "found": len(found),
        "shown": [_contact(account, contact) for contact in found[:SHOWN]],
    }


def _has(account: Account, contact: StoredContact, words: Sequence[str]) -> bool:
    values = [contact.email, *map(_text, contact.attributes.values()), *_lists(account, contact)]
    text = "\n".join(values).lower()
    return all(word in text for word in words)


def _contact(account: Account, contact: StoredContact) -> dict[str, Any]:
    return {
        "id": contact.id,
        "email": contact.email,
        "attributes": {name: _text(value) for name, value in contact.attributes.items()},
        "lists": _lists(account, contact),
        "created": contact.created_at.isoformat(timespec="seconds"),
        "modified": contact.modified_at.isoformat(timespec="seconds"),
    }


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _lists(account: Account, contact: StoredContact) -> list[str]:
    return [account.lists.get(number, str(number)) for number in contact.lists]
