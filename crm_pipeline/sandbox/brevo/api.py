"""Brevo's API v3: its routes, and what every new account has. https://developers.brevo.com/reference"""

from __future__ import annotations

from starlette.routing import Route
from starlette.types import ASGIApp

from crm_pipeline.sandbox.account import Account
from crm_pipeline.sandbox.brevo.attributes import Attributes
from crm_pipeline.sandbox.brevo.contacts import OWNER, Contacts, named_address, pushed_address, pushed_addresses
from crm_pipeline.sandbox.brevo.imports import Imports
from crm_pipeline.sandbox.brevo.lists import Lists
from crm_pipeline.sandbox.brevo.members import Members
from crm_pipeline.sandbox.brevo.processes import Processes
from crm_pipeline.sandbox.brevo.rules import BrevoRules
from crm_pipeline.sandbox.brevo.switches import Switches
from crm_pipeline.sandbox.calls import Call, Reply
from crm_pipeline.sandbox.exchange import Exchange
from crm_pipeline.sandbox.protocol import SandboxSpec
from crm_pipeline.sandbox.quota import Limits

LISTS = 50
TEXTS = (
    "FIRSTNAME", "LASTNAME", "SMS", "WHATSAPP", "LANDLINE_NUMBER", "EMAIL_TYPE", "SOURCE_URL", "DOMAIN_ID", "PAGE_ID",
)  # fmt: skip
# https://developers.brevo.com/docs/api-limits
LIMITS = Limits(per_second=10, per_hour=36_000, elsewhere_per_hour=100)


def seed(account: Account) -> None:
    """Lists 1 to 50, and the attributes that the pipeline sends."""
    for number in range(1, LISTS + 1):
        account.add_list(f"List {number}")
    for name in TEXTS:
        account.add_field(name, {"name": name, "category": "normal", "type": "text"})
    account.add_field("HAS_GMAIL", {"name": "HAS_GMAIL", "category": "normal", "type": "boolean"})


def app(account: Account) -> ASGIApp:
    """The API of one account, below /v3."""
    exchange, contacts, processes = Exchange(account, BrevoRules(account)), Contacts(account), Processes(account)
    lists, attributes = Lists(account), Attributes(account)
    members, imports = Members(account, lists, contacts, processes), Imports(account, lists, processes)
    route, one = exchange.route, "/contacts/{identifier:path}"
    attribute = "/contacts/attributes/{category}/{name}"
    a_list, a_folder = "/contacts/lists/{number}", "/contacts/folders/{number}"
    return exchange.app(
        [
            route("GET", "/account", _account),
            route("GET", "/processes", processes.all),
            route("GET", "/processes/{number}", processes.one),
            Route("/reports/{number}/{name}.csv", processes.download),
            route("GET", "/contacts/attributes", attributes.all),
            route("DELETE", "/contacts/attributes/multiple-choice/{name}/{option}", attributes.delete_option),
            route("POST", attribute, attributes.create),
            route("PUT", attribute, attributes.update),
            route("DELETE", attribute, attributes.delete),
            route("GET", "/contacts/lists", lists.all),
            route("POST", "/contacts/lists", lists.create),
            route("GET", a_list, lists.one),
            route("PUT", a_list, lists.update),
            route("DELETE", a_list, lists.delete),
            route("GET", a_list + "/contacts", members.all),
            route("POST", a_list + "/contacts/add", members.add, pushes=pushed_addresses),
            route("POST", a_list + "/contacts/remove", members.remove, pushes=pushed_addresses),
            route("GET", "/contacts/folders", lists.folders),
            route("POST", "/contacts/folders", lists.create_folder),
            route("GET", a_folder, lists.one_folder),
            route("PUT", a_folder, lists.update_folder),
            route("DELETE", a_folder, lists.delete_folder),
            route("GET", a_folder + "/lists", lists.of_folder),
            route("GET", "/contacts/segments", _no_segments),
            route("POST", "/contacts/import", imports.start, pushes=pushed_addresses),
            route("POST", "/contacts/batch", contacts.batch, pushes=pushed_addresses),
            route("POST", "/contacts", contacts.upsert, pushes=pushed_address),
            route("GET", "/contacts", contacts.page),
            route("GET", one, contacts.read),
            route("PUT", one, contacts.update, pushes=named_address),
            route("DELETE", one, contacts.delete, pushes=named_address),
        ]
    )


def _account(_: Call) -> Reply:
    """GET /account."""
    plan = {"type": "free", "credits": 300, "creditsType": "sendLimit"}
    relay = {"enabled": True, "data": {"userName": OWNER, "relay": "smtp.example.com", "port": 587}}
    return Reply(
        200,
        {
            "organization_id": "sandbox",
            "user_id": 1,
            "enterprise": False,
            "companyName": "Sandbox",
            "email": OWNER,
            "firstName": "Sandy",
            "lastName": "Box",
            "plan": [plan],
            "relay": relay,
        },
    )


def _no_segments(_: Call) -> Reply:
    """GET /contacts/segments."""
    return Reply(200, {"segments": [], "count": 0})


SPEC = SandboxSpec(name="brevo", title="Brevo", path="/v3", limits=LIMITS, switches=Switches, seed=seed, app=app)
