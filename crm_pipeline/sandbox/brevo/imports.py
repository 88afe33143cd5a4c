"""POST /contacts/import: many contacts at once, later. https://developers.brevo.com/reference/import-contacts"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from typing import Any

from crm_pipeline.sandbox.account import Account
from crm_pipeline.sandbox.brevo import values
from crm_pipeline.sandbox.brevo.errors import Refused
from crm_pipeline.sandbox.brevo.identifiers import EMAIL, EXT_ID, PHONES, Identifiers
from crm_pipeline.sandbox.brevo.lists import Lists
from crm_pipeline.sandbox.brevo.processes import Processes
from crm_pipeline.sandbox.brevo.writing import Writing
from crm_pipeline.sandbox.calls import Call, Reply

LARGEST_BODY = 10 * 1024 * 1024
SOURCES = ("fileBody", "jsonBody", "fileUrl")
REPORTS = {
    EXT_ID: "duplicate_ext_id",
    EMAIL: "duplicate_email_id",
    "SMS": "duplicate_phone_id",
    "WHATSAPP": "duplicate_whatsapp_id",
    "LANDLINE_NUMBER": "duplicate_landline_number_id",
}
"""Of identifiers that are another contact's."""
INVALID, SAME_CONTACT = "invalid_emails", "duplicate_contact_id"
Row = Mapping[str, Any]
"""{"email": ..., "attributes": {...}}"""


class Imports:
    """Of one account. There is no answer per row: only reports of what was wrong."""

    def __init__(self, account: Account, lists: Lists, processes: Processes) -> None:
        self._account = account
        self._lists = lists
        self._processes = processes
        self._writing = Writing(account)
        self._identifiers = Identifiers(account)

    def start(self, call: Call) -> Reply:
        """202 with the process's number; GET /processes/{number} says when it is over."""
        if len(call.body) > LARGEST_BODY:
            raise Refused(400, "out_of_range", "The body is larger than 10 MB")
        body = values.json_object(call)
        given = [name for name in SOURCES if body.get(name)]
        if len(given) != 1:
            raise Refused(400, "missing_parameter", "Exactly one of fileBody, jsonBody and fileUrl should be passed")
        lists = self._writing.lists(body.get("listIds"))
        new_list = body.get("newList")
        if not lists and not isinstance(new_list, dict):
            raise Refused(400, "missing_parameter", "Either listIds or newList should be passed")
        rows = self._rows(given[0], body[given[0]])
        flags = {
            name: values.flag(body, name)
            for name in ("emailBlacklist", "smsBlacklist", "updateExistingContacts", "emptyContactsAttributes")
        }
        if isinstance(new_list, dict):
            if not isinstance(new_list.get("listName"), str) or not new_list["listName"]:
                raise Refused(400, "missing_parameter", "listName is missing")
            lists = (*lists, self._lists.add(new_list["listName"], new_list.get("folderId")))
        number = self._processes.start("IMPORTUSER", lambda: self._work(number, rows, lists, flags))
        return Reply(202, {"processId": number})

    def _rows(self, source: str, given: Any) -> list[Row]:
        if source == "fileUrl":
            raise Refused(400, "invalid_parameter", "The sandbox reaches nobody: fileUrl cannot be read")
        if source == "jsonBody":
            if not isinstance(given, list) or not all(isinstance(row, dict) for row in given):
                raise Refused(400, "invalid_parameter", "jsonBody should be a list of objects")
            return given
        if not isinstance(given, str):
            raise Refused(400, "invalid_parameter", "fileBody should be a text")
        lines = csv.DictReader(io.StringIO(given), delimiter=";")
        if "EMAIL" not in [str(name).strip().upper() for name in lines.fieldnames or ()]:
            raise Refused(400, "invalid_parameter", "fileBody needs a column EMAIL")
        rows: list[Row] = []
        try:
            every = list(lines)
        except csv.Error:
            raise Refused(400, "invalid_parameter", "fileBody is no CSV") from None
        for line in every:
            named = {str(name).strip().upper(): value for name, value in line.items() if isinstance(value, str)}
            rows.append({"email": named.pop("EMAIL", ""), "attributes": self._typed(named)})
        return rows

    def _typed(self, texts: Mapping[str, str]) -> dict[str, Any]:
        """A file's texts in their attributes' types; what is not in a type stays a text, and is dropped later."""
        typed: dict[str, Any] = {}
        for name, text in texts.items():
            match self._account.fields.get(name, {}).get("type"):
                case "float":
                    try:
                        typed[name] = float(text)
                    except ValueError:
                        typed[name] = text
                case "boolean":
                    typed[name] = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}.get(
                        text.strip().lower(), text
                    )
                case "multiple-choice":
                    typed[name] = [part.strip() for part in text.split(",") if part.strip()] or ""
                case _:
                    typed[name] = text
        return typed

    def _work(
        self, number: int, rows: list[Row], lists: tuple[int, ...], flags: Mapping[str, bool | None]
    ) -> dict[str, Any]:
        """Keep the contacts; returns the process's `info`."""
        wrong: dict[str, list[str]] = {name: [] for name in (INVALID, SAME_CONTACT, *REPORTS.values())}
        seen: set[str] = set()
        for row in rows:
            email = str(row.get("email") or "")
            try:
                key = self._identifiers.email(email)
            except Refused:
                wrong[INVALID].append(email)
                continue
            if key in seen:
                wrong[SAME_CONTACT].append(email)
            seen.add(key)
            for kind in self._keep(key, row.get("attributes"), lists, flags):
                wrong[REPORTS[kind]].append(email)
        reports = {name: self._processes.report(number, name, emails) for name, emails in wrong.items()}
        return {"import": reports}

    def _keep(self, email: str, attributes: Any, lists: tuple[int, ...], flags: Mapping[str, bool | None]) -> list[str]:
        """Keep one row; returns the identifiers that are another contact's, which are left out."""
        known = self._account.find(EMAIL, email)
        body: dict[str, Any] = {}
        if known is None or flags["updateExistingContacts"] is not False:
            body["attributes"] = self._without_wrong_phones(attributes if isinstance(attributes, dict) else {})
            for name, whole in (("emailBlacklisted", "emailBlacklist"), ("smsBlacklisted", "smsBlacklist")):
                body |= {name: True} if flags[whole] else {}
        clears = flags["emptyContactsAttributes"] is True
        sent = self._writing.checked(body, email, clears=clears, refuse_unknown=False)
        taken = list(self._writing.taken(known, sent))
        self._writing.keep(known, sent.without(taken, joining=lists))
        return taken

    def _without_wrong_phones(self, attributes: Mapping[str, Any]) -> dict[str, Any]:
        return {
            name: value
            for name, value in attributes.items()
            if str(name).upper() not in PHONES or value in ("", None) or values.phone(value)
        }
