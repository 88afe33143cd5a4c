"""Change over HTTP what goes wrong, under a path that no CRM has: everything in a request is done, or nothing is.

curl --json '{"shares": {"throttled": 0.1}, "latency_seconds": 0.2}' http://127.0.0.1:8025/control/NAME
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from crm_pipeline.sandbox.account import Account
from crm_pipeline.sandbox.calls import Reply
from crm_pipeline.sandbox.faults import Hold
from crm_pipeline.sandbox.mishaps import Shares
from crm_pipeline.sandbox.protocol import SandboxSpec

EVERYONE = "*"
Count = Annotated[int, Field(ge=0, le=1_000_000_000)]
Number = Annotated[float, Field(ge=0, allow_inf_nan=False, strict=False)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class ChosenAnswer(_Strict):
    """In place of the CRM's own."""

    status: Annotated[int, Field(ge=200, le=599)]
    body: Any = None
    headers: dict[str, str] = {}


class QuotaChange(_Strict):
    """Limits; null: none."""

    per_second: Count | None = None
    per_hour: Count | None = None
    elsewhere_per_hour: Count | None = None
    used_by_others: Annotated[Number, Field(le=1_000_000)] = 0.0


class SharesChange(_Strict):
    """Each from 0 to 1."""

    throttled: Number = 0.0
    failed: Number = 0.0
    unanswered: Number = 0.0
    reset: Number = 0.0
    truncated: Number = 0.0
    invalid: Number = 0.0


class Change(_Strict):
    """One request, in the order in which it is done. What is not named stays as it is."""

    reset: Literal[True] | None = None
    """Nothing goes wrong any more, held answers go out; key, limits and switches are as at the start."""
    empty: Literal[True] | None = None
    """The account is as new: no contacts, the first lists and attributes."""
    switches: dict[str, Any] = {}
    quota: QuotaChange = QuotaChange()
    shares: SharesChange = SharesChange()
    latency_seconds: Annotated[Number, Field(le=600)] = 0.0
    api_key: Annotated[str, Field(min_length=1)] | None = None
    """The only key that is accepted; null: any."""
    unknown_ip: bool = False
    answers: dict[str, ChosenAnswer] = {}
    """By address, or for everyone by *; replaces those of before."""
    hold: list[str] = []
    """Addresses (* for everyone) whose next answers are held back after their contact was stored."""
    hold_before_storing: list[str] = []
    release: list[str] = []
    """Addresses whose answers go out; * for all that are held."""


class Control:
    """The control of one account."""

    def __init__(self, account: Account, spec: SandboxSpec) -> None:
        self._account = account
        self._spec = spec
        self._holds: dict[str, Hold] = {}
        self._answers: dict[str, ChosenAnswer] = {}
        self._key_at_start = account.api_key
        self._limits_at_start = account.quota.limits

    def state(self) -> dict[str, Any]:
        """What goes wrong now, in the form of a `Change`, and counts."""
        account = self._account
        return {
            "latency_seconds": account.faults.latency_seconds,
            "shares": asdict(account.faults.shares),
            "quota": {**asdict(account.quota.limits), "used_by_others": account.quota.used_by_others},
            "api_key": account.api_key,
            "unknown_ip": account.faults.unknown_ip,
            "answers": {address: answer.model_dump() for address, answer in self._answers.items()},
            "switches": asdict(account.switches),
            "held": {address: hold.held for address, hold in self._holds.items()},
            "counts": {
                "contacts": len(account.contacts()),
                "pushes_received": account.received_count,
                "refused_by_quota": account.quota.refused,
            },
        }

    def change(self, sent: Any) -> None:
        """Do all that a request says. Raises ValueError with a sentence, and nothing is changed then."""
        try:
            change = Change.model_validate(sent)
        except ValidationError as error:
            raise ValueError(_sentence(error)) from None
        given = change.model_fields_set
        before = Shares() if change.reset else self._account.faults.shares
        shares = Shares(**{**asdict(before), **change.shares.model_dump(exclude_unset=True)})
        switches = self._checked(change.switches, change.reset is True)
        if change.reset:
            self._reset()
        if change.empty:
            self._account.empty(self._spec.seed)
        if switches:
            with self._account.changing():
                for name, value in switches.items():
                    setattr(self._account.switches, name, value)
        for name, value in change.quota.model_dump(exclude_unset=True).items():
            if name == "used_by_others":
                self._account.quota.use_by_others(value)
            else:
                setattr(self._account.quota, name, value)
        if "shares" in given:
            self._account.faults.shares = shares
        for name in {"latency_seconds", "unknown_ip"} & given:
            setattr(self._account.faults, name, getattr(change, name))
        if "api_key" in given:
            self._account.api_key = change.api_key
        if "answers" in given:
            self._answer(change.answers)
        for address in change.hold + change.hold_before_storing:
            self._hold(address.lower(), before_storing=address in change.hold_before_storing)
        self._release([address.lower() for address in change.release])

    def _checked(self, sent: Mapping[str, Any], reset: bool) -> dict[str, Any]:
        """The switches to be set, of their types; raises ValueError."""
        kind = type(self._account.switches)
        before = asdict(self._spec.switches() if reset else self._account.switches)
        try:
            checked = kind(**{**before, **sent})
        except ValidationError as error:
            raise ValueError(_sentence(error, "switches.")) from None
        return asdict(checked) if sent or reset else {}

    def _reset(self) -> None:
        self._release([EVERYONE])
        self._account.faults.clear()
        self._answers = {}
        self._account.api_key = self._key_at_start
        self._account.quota.forget()
        self._account.quota.enforce(self._limits_at_start)

    def _answer(self, answers: Mapping[str, ChosenAnswer]) -> None:
        self._answers = {address.lower(): answer for address, answer in answers.items()}

        def chosen(address: str) -> Any:
            answer = self._answers.get(address.lower()) or self._answers.get(EVERYONE)
            return None if answer is None else (answer.status, answer.body, answer.headers)

        self._account.faults.answer = chosen if answers else None

    def _hold(self, address: str, *, before_storing: bool) -> None:
        self._release([address])
        self._holds[address] = self._account.faults.hold(
            lambda pushed: address in (EVERYONE, pushed.lower()), before_storing=before_storing
        )

    def _release(self, addresses: Sequence[str]) -> None:
        for address in list(self._holds) if EVERYONE in addresses else addresses:
            if hold := self._holds.pop(address, None):
                hold.release()


def control_routes(controls: Mapping[str, Control]) -> list[Route]:
    """GET /control/{crm}: what goes wrong now. POST with a `Change`: the same, changed, or 400 with a sentence."""

    async def control(request: Request) -> Response:
        found = controls.get(request.path_params["crm"])
        if found is None:
            return _refusal(404, f"There is no sandbox of that CRM; there are: {', '.join(sorted(controls))}.")
        if request.method == "POST":
            if request.headers.get("origin") not in (None, str(request.base_url).rstrip("/")):
                return _refusal(403, "A page of another site asked for this.")
            try:
                found.change(json.loads(await request.body()))
            except (json.JSONDecodeError, UnicodeDecodeError, RecursionError):
                return _refusal(400, "The body is no JSON; nothing was changed.")
            except ValueError as error:
                return _refusal(400, f"{error}; nothing was changed.")
        return Reply(200, found.state()).response({})

    return [Route("/control/{crm}", control, methods=["GET", "POST"])]


def _refusal(status: int, sentence: str) -> Response:
    return Reply(status, {"error": sentence}).response({})


def _sentence(error: ValidationError, within: str = "") -> str:
    """`quota.per_second: Input should be greater than or equal to 0`."""
    return "; ".join(
        f"{within}{'.'.join(str(part) for part in problem['loc']) or 'body'}: {problem['msg']}"
        for problem in error.errors(include_url=False, include_input=False)
    )
