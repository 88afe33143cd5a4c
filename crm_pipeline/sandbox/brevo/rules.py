"""What stands around each of Brevo's answers: the key, refusals and their bodies, the headers of every answer.

https://developers.brevo.com/docs/how-it-works, https://developers.brevo.com/docs/limit-headers
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from uuid import uuid4

from crm_pipeline.sandbox.account import Account
from crm_pipeline.sandbox.brevo.errors import Refused, error
from crm_pipeline.sandbox.brevo.switches import BodyForm, Switches
from crm_pipeline.sandbox.calls import Call, Reply
from crm_pipeline.sandbox.exchange import Answer
from crm_pipeline.sandbox.quota import Standing

IP_PAGE = "https://app.brevo.com/security/authorised_ips"
FORBIDDEN = {
    "all": (),
    "read and write": ("DELETE",),
    "read": ("DELETE", "POST", "PUT"),
    "none": ("DELETE", "POST", "PUT", "GET", "HEAD"),
}


class BrevoRules:
    """The rules of one account."""

    def __init__(self, account: Account) -> None:
        self._account = account

    @property
    def _switches(self) -> Switches:
        switches: Switches = self._account.switches
        return switches

    def refusal(self, call: Call) -> Reply | None:
        """Why this caller gets nothing at all, or None."""
        key = call.header("api-key")
        if not key:
            return self._dressed(error(401, "unauthorized", "authentication not found in headers"))
        if self._account.api_key is not None and key != self._account.api_key:
            return self._dressed(error(401, "unauthorized", "Key not found"))
        if self._account.faults.unknown_ip:
            said = f"We have detected you are using an unrecognised IP address {call.client}. "
            advice = f"If you performed this action make sure to add the new IP address in this link: {IP_PAGE}"
            return self._dressed(error(401, "unauthorized", said + advice))
        if call.method in FORBIDDEN[self._switches.key_rights]:
            said = "The API key has no permission for this action"
            return self._dressed(error(self._switches.restricted_key_status, "permission_denied", said))
        return None

    def answered(self, answer: Answer, call: Call) -> Reply:
        """The answer, or the error that ended it."""
        try:
            return answer(call)
        except Refused as refused:
            return self._dressed(refused.reply)

    def unknown(self, status: int) -> Reply:
        """No such path (404), or not with this method (405)."""
        if status == 405:
            return self._dressed(
                error(405, "method_not_allowed", "POST, GET, PUT or DELETE method is not allowed on this path")
            )
        return self._dressed(error(404, "document_not_found", "Invalid route"))

    def throttled(self, standing: Standing | None) -> Reply:
        """429. Its body is known to nobody; neither is a Retry-After."""
        reply = error(429, "too_many_requests", "Rate limit exceeded")
        reply = _in_form(reply, self._switches.throttled_body)
        if self._switches.retry_after == "absent":
            return reply
        return replace(reply, headers={**reply.headers, "Retry-After": str(_seconds(standing))})

    def failed(self, status: int) -> Reply:
        """An error of the server's own."""
        return _in_form(error(status, "internal_error", "Internal server error"), self._switches.server_error_body)

    def headers(self, standing: Standing | None) -> Mapping[str, str]:
        """Those of every answer; `standing` with the limit that the request came under, if there is any."""
        headers = {"sib-request-id": uuid4().hex}
        if standing is None:
            return headers
        headers["x-sib-ratelimit-limit"] = str(standing.limit)
        headers["x-sib-ratelimit-remaining"] = str(standing.remaining)
        if self._switches.reset_header == "seconds":
            headers["x-sib-ratelimit-reset"] = str(_seconds(standing))
        elif self._switches.reset_header == "milliseconds":
            headers["x-sib-ratelimit-reset"] = str(math.ceil(1000 * standing.reset_seconds))
        return headers

    def counts_elsewhere(self, path: str) -> bool:
        """/contacts and all below it share one limit, everything else another: .../docs/api-limits."""
        return path != "/contacts" and not path.startswith("/contacts/")

    def _dressed(self, reply: Reply) -> Reply:
        return _in_form(reply, self._switches.client_error_body)


def _in_form(reply: Reply, form: BodyForm) -> Reply:
    if form == "model":
        return reply
    if form == "empty":
        return replace(reply, body=None)
    page = f"<html><head><title>{reply.status}</title></head><body><h1>{reply.status}</h1></body></html>"
    return replace(reply, body=page, headers={**reply.headers, "Content-Type": "text/html"})


def _seconds(standing: Standing | None) -> int:
    return max(1, math.ceil(standing.reset_seconds)) if standing else 1
