"""The page for people: calls and answers, and the contacts of each account, searchable."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from crm_pipeline.sandbox.account import Account
from crm_pipeline.sandbox.calls import Reply
from crm_pipeline.sandbox.record import SECONDS_KEPT, Exchanged
from crm_pipeline.sandbox.stored import StoredContact
from crm_pipeline.sandbox.troubles import limits, troubles

SHOWN = 100
REQUESTS_SHOWN = 50
POLICY = "default-src 'self' 'unsafe-inline'; img-src data:"


@cache
def _html() -> str:
    return resources.files(__package__).joinpath("page.html").read_text(encoding="utf-8")


def page_routes(accounts: Mapping[str, Account]) -> list[Route]:
    """`/` is the page, which asks for the others again and again.

    `/contacts.json?q=` the contacts that have all the words, `/activity.json` calls and answers, and
    `/history.json?crm=&address=` what pushed one contact.
    """

    async def page(_: Request) -> HTMLResponse:
        return HTMLResponse(
            _html(), headers={"Content-Security-Policy": "default-src 'self' 'unsafe-inline'; img-src data:"}
        )

    async def contacts(request: Request) -> Response:
        words = request.query_params.get("q", "").lower().split()
        return _json({"accounts": [_account(account, words) for account in accounts.values()]})

    async def activity(_: Request) -> Response:
        return _json({"accounts": [_activity(account) for account in accounts.values()]})

    async def history(request: Request) -> Response:
        account = accounts.get(request.query_params.get("crm", ""))
        address = request.query_params.get("address", "")
        pushes = account.record.of(address) if account is not None and address else []
        return _json({"pushes": [_exchanged(push) | {"answer": push.answer} for push in pushes[:SHOWN]]})

    return [
        Route("/", page),
        Route("/contacts.json", contacts),
        Route("/activity.json", activity),
        Route("/history.json", history),
    ]


def _json(body: Any) -> Response:
    return Reply(200, body).response({})


def _activity(account: Account) -> dict[str, Any]:
    """Calls by second as [seconds ago, answers, 429 among them, other refusals], and the last of them."""
    now = time.time()
    return {
        "name": account.name,
        "span": SECONDS_KEPT,
        "seconds": [[int(now) - at, *counts] for at, *counts in account.record.by_second()],
        "limit": account.quota.per_second,
        "limits": limits(account),
        "refused": account.quota.refused,
        "troubles": troubles(account),
        "requests": [_exchanged(one) for one in account.record.last(REQUESTS_SHOWN)],
    }


def _exchanged(one: Exchanged) -> dict[str, Any]:
    return {
        "at": one.at.isoformat(timespec="milliseconds"),
        "method": one.method,
        "path": one.path,
        "whom": _whom(one),
        "status": one.status,
        "note": one.note,
        "ms": round(one.milliseconds, 1),
    }


def _whom(one: Exchanged) -> str:
    """Whom a call pushes, unless its path says so."""
    named = [address for address in one.addresses if address and address not in one.path]
    return ", ".join(named[:3]) + (f" and {len(named) - 3} more" if len(named) > 3 else "")


def _account(account: Account, words: Sequence[str]) -> dict[str, Any]:
    """What the page shows of one account: the last changed contacts that have all the words somewhere."""
    contacts = account.contacts()
    found = [contact for contact in contacts if _has(account, contact, words)] if words else contacts
    return {
        "name": account.name,
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
        "identifiers": {kind: value for kind, value in contact.identifiers.items() if kind not in contact.attributes},
        "extra": {name: _text(value) for name, value in contact.extra.items() if value},
        "lists": _lists(account, contact),
        "created": contact.created_at.isoformat(timespec="seconds"),
        "modified": contact.modified_at.isoformat(timespec="seconds"),
    }


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _lists(account: Account, contact: StoredContact) -> list[str]:
    return [account.lists.get(number, str(number)) for number in contact.lists]
