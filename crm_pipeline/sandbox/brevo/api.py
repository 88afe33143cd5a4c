"""Brevo's API v3: routes, the key, lists, attributes. https://developers.brevo.com/reference"""

from __future__ import annotations

from uuid import uuid4

from starlette.types import ASGIApp

from crm_pipeline.sandbox.account import Account
from crm_pipeline.sandbox.brevo.contacts import OWNER, Contacts, paging, pushed_address
from crm_pipeline.sandbox.brevo.errors import Refused, error
from crm_pipeline.sandbox.brevo.values import attribute, json_object, path_number
from crm_pipeline.sandbox.calls import Call, Reply
from crm_pipeline.sandbox.exchange import Answer, Exchange
from crm_pipeline.sandbox.protocol import SandboxSpec

LISTS = 50
TEXTS = ("FIRSTNAME", "LASTNAME", "SMS", "EMAIL_TYPE", "SOURCE_URL", "DOMAIN_ID", "PAGE_ID")


def seed(account: Account) -> None:
    """Lists 1 to 50, and the attributes that the pipeline sends."""
    for number in range(1, LISTS + 1):
        account.add_list(f"List {number}")
    for name in TEXTS:
        account.add_field(name, {"name": name, "category": "normal", "type": "text"})
    account.add_field("HAS_GMAIL", {"name": "HAS_GMAIL", "category": "normal", "type": "boolean"})


def app(account: Account) -> ASGIApp:
    """The API of one account, below /v3."""
    contacts, others = Contacts(account), _Others(account)
    exchange = Exchange(account, others.keyed, _unknown, lambda: {"sib-request-id": uuid4().hex})
    route = exchange.route
    return exchange.app(
        [
            route("POST", "/contacts", contacts.upsert, pushes=pushed_address),
            route("GET", "/contacts", contacts.page),
            route("GET", "/contacts/attributes", others.attributes),
            route("POST", "/contacts/attributes/{category}/{name}", others.new_attribute),
            route("GET", "/contacts/lists", others.lists),
            route("POST", "/contacts/lists", others.new_list),
            route("GET", "/contacts/lists/{number}", others.one_list),
            route("GET", "/contacts/{identifier:path}", contacts.read),
            route("PUT", "/contacts/{identifier:path}", contacts.update),
            route("DELETE", "/contacts/{identifier:path}", contacts.delete),
            route("GET", "/account", others.account),
        ]
    )


class _Others:
    """The key, lists, attributes and the account."""

    def __init__(self, account: Account) -> None:
        self._account = account

    def keyed(self, answer: Answer, call: Call) -> Reply:
        """The answer, or 401 without the right key."""
        key = call.header("api-key")
        if not key:
            return error(401, "unauthorized", "authentication not found in headers")
        if self._account.api_key is not None and key != self._account.api_key:
            return error(401, "unauthorized", "Key not found")
        try:
            return answer(call)
        except Refused as refused:
            return refused.reply

    def account(self, _: Call) -> Reply:
        """GET /account."""
        return Reply(
            200,
            {
                "companyName": "Sandbox",
                "email": OWNER,
                "firstName": "Sandy",
                "lastName": "Box",
                "plan": [{"type": "free", "credits": 300}],
            },
        )

    def attributes(self, _: Call) -> Reply:
        """GET /contacts/attributes."""
        return Reply(200, {"attributes": list(self._account.fields.values())})

    def new_attribute(self, call: Call) -> Reply:
        """POST /contacts/attributes/{category}/{name}: an empty 201."""
        category, name = call.path["category"], call.path["name"].upper()
        body = json_object(call) if call.body else {}
        if name in self._account.fields:
            raise Refused(400, "invalid_parameter", "Attribute name already exists")
        self._account.add_field(name, {"name": name, "category": category, **attribute(category, body)})
        return Reply(201)

    def lists(self, call: Call) -> Reply:
        """GET /contacts/lists."""
        limit, offset = paging(call, 10, 50)
        numbers = sorted(self._account.lists)
        return Reply(
            200, {"lists": [self._list(number) for number in numbers[offset : offset + limit]], "count": len(numbers)}
        )

    def new_list(self, call: Call) -> Reply:
        """POST /contacts/lists: 201 with the new number."""
        body = json_object(call)
        if not isinstance(body.get("name"), str):
            raise Refused(400, "missing_parameter", "name is missing")
        return Reply(201, {"id": self._account.add_list(body["name"])})

    def one_list(self, call: Call) -> Reply:
        """GET /contacts/lists/{number}."""
        text = call.path["number"]
        if not text.isdecimal():
            raise Refused(400, "invalid_parameter", "List id is invalid")
        if path_number(text) not in self._account.lists:
            raise Refused(404, "document_not_found", "List ID does not exist")
        return Reply(200, self._list(path_number(text)))

    def _list(self, number: int) -> dict[str, object]:
        return {
            "id": number,
            "name": self._account.lists[number],
            "folderId": 1,
            "uniqueSubscribers": sum(number in contact.lists for contact in self._account.contacts()),
            "totalBlacklisted": 0,
            "totalSubscribers": 0,
        }


def _unknown(status: int) -> Reply:
    if status == 405:
        return error(405, "method_not_allowed", "POST, GET, PUT or DELETE method is not allowed on this path")
    return error(404, "document_not_found", "Invalid route")


SPEC = SandboxSpec(name="brevo", title="Brevo", path="/v3", seed=seed, app=app)
