"""Lists, and the folders they are in. https://developers.brevo.com/reference/create-list"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from crm_pipeline.sandbox.account import Account
from crm_pipeline.sandbox.brevo import values
from crm_pipeline.sandbox.brevo.errors import Refused
from crm_pipeline.sandbox.calls import Call, Reply

PAGE, LARGEST_PAGE = 10, 50
FIRST_FOLDER = {"1": "Your First Folder"}
SEEDED_AT = "2026-01-01T00:00:00.000Z"


class Lists:
    """Of one account."""

    def __init__(self, account: Account) -> None:
        self._account = account

    @property
    def _folders(self) -> dict[str, str]:
        """Names by number, which is a text in JSON."""
        folders: dict[str, str] = self._account.extra.setdefault("folders", dict(FIRST_FOLDER))
        return folders

    @property
    def _details(self) -> dict[str, dict[str, Any]]:
        """Folder and time of the lists that were made here, by number."""
        details: dict[str, dict[str, Any]] = self._account.extra.setdefault("list_details", {})
        return details

    def all(self, call: Call) -> Reply:
        """GET /contacts/lists."""
        return self._paged(call, "lists", self._account.lists, self._shown)

    def of_folder(self, call: Call) -> Reply:
        """GET /contacts/folders/{number}/lists."""
        folder = self._folder(call)
        inside = [number for number in self._account.lists if self._detail(number)["folderId"] == folder]
        return self._paged(call, "lists", inside, self._shown)

    def one(self, call: Call) -> Reply:
        """GET /contacts/lists/{number}."""
        number = self.named(call)
        return Reply(200, self._shown(number) | {"createdAt": self._detail(number)["createdAt"], "dynamicList": False})

    def create(self, call: Call) -> Reply:
        """POST /contacts/lists: 201 with the new number."""
        body = values.json_object(call)
        if not isinstance(body.get("name"), str) or not body["name"]:
            raise Refused(400, "missing_parameter", "name is missing")
        return Reply(201, {"id": self.add(body["name"], body.get("folderId"))})

    def add(self, name: str, folder: Any) -> int:
        """A new list in a folder that must exist; its number. Raises Refused."""
        self._known_folder(folder)
        with self._account.changing():
            number = self._account.add_list(name)
            self._details[str(number)] = {"folderId": folder, "createdAt": values.shown_time(datetime.now(UTC))}
        return number

    def update(self, call: Call) -> Reply:
        """PUT /contacts/lists/{number}: an empty 204."""
        number, body = self.named(call), values.json_object(call)
        name, folder = body.get("name"), body.get("folderId")
        if (name is None) == (folder is None):
            raise Refused(400, "invalid_parameter", "Either name or folderId can be updated at a time")
        if folder is not None:
            self._known_folder(folder)
        elif not isinstance(name, str) or not name:
            raise Refused(400, "invalid_parameter", "name is invalid")
        with self._account.changing():
            if isinstance(name, str):
                self._account.lists[number] = name
            else:
                self._details[str(number)] = self._detail(number) | {"folderId": folder}
        return Reply(204)

    def delete(self, call: Call) -> Reply:
        """DELETE /contacts/lists/{number}: an empty 204. Its contacts stay."""
        self._delete(self.named(call))
        return Reply(204)

    def folders(self, call: Call) -> Reply:
        """GET /contacts/folders."""
        return self._paged(call, "folders", map(int, self._folders), self._shown_folder)

    def one_folder(self, call: Call) -> Reply:
        """GET /contacts/folders/{number}."""
        return Reply(200, self._shown_folder(self._folder(call)))

    def create_folder(self, call: Call) -> Reply:
        """POST /contacts/folders: 201 with the new number."""
        number = max([self._account.extra.get("last_folder", 0), *map(int, self._folders)]) + 1
        name = self._folder_name(call)
        with self._account.changing():
            self._account.extra["last_folder"] = number
            self._folders[str(number)] = name
        return Reply(201, {"id": number})

    def update_folder(self, call: Call) -> Reply:
        """PUT /contacts/folders/{number}: an empty 204."""
        number, name = self._folder(call), self._folder_name(call)
        with self._account.changing():
            self._folders[str(number)] = name
        return Reply(204)

    def delete_folder(self, call: Call) -> Reply:
        """DELETE /contacts/folders/{number}: an empty 204. Its lists go too, their contacts stay."""
        folder = self._folder(call)
        with self._account.changing():
            for number in [number for number in self._account.lists if self._detail(number)["folderId"] == folder]:
                self._delete(number)
            del self._folders[str(folder)]
        return Reply(204)

    def named(self, call: Call) -> int:
        """The list in a call's path; raises Refused."""
        text = call.path["number"]
        if not text.isdecimal():
            raise Refused(400, "invalid_parameter", "List id is invalid")
        if values.path_number(text) not in self._account.lists:
            raise Refused(404, "document_not_found", "List ID does not exist")
        return values.path_number(text)

    def _delete(self, number: int) -> None:
        with self._account.changing():
            self._account.remove_list(number)
            self._details.pop(str(number), None)

    def _folder(self, call: Call) -> int:
        number = values.path_number(call.path["number"])
        if str(number) not in self._folders:
            raise Refused(404, "document_not_found", "Folder ID does not exist")
        return number

    def _known_folder(self, folder: Any) -> None:
        if type(folder) is not int:
            raise Refused(400, "missing_parameter", "folderId is missing")
        if str(folder) not in self._folders:
            raise Refused(404, "document_not_found", "Folder ID does not exist")

    def _folder_name(self, call: Call) -> str:
        name = values.json_object(call).get("name")
        if not isinstance(name, str) or not name:
            raise Refused(400, "missing_parameter", "name is missing")
        return name

    def _detail(self, number: int) -> dict[str, Any]:
        return self._details.get(str(number), {"folderId": 1, "createdAt": SEEDED_AT})

    def _shown(self, number: int) -> dict[str, Any]:
        members = sum(number in contact.lists for contact in self._account.contacts())
        return {
            "id": number,
            "name": self._account.lists[number],
            "folderId": self._detail(number)["folderId"],
            "uniqueSubscribers": members,
            # Being dropped, and 0 until then: https://developers.brevo.com/reference/get-lists
            "totalBlacklisted": 0,
            "totalSubscribers": 0,
        }

    def _shown_folder(self, number: int) -> dict[str, Any]:
        name = self._folders[str(number)]
        return {"id": number, "name": name, "uniqueSubscribers": 0, "totalBlacklisted": 0, "totalSubscribers": 0}

    def _paged(self, call: Call, what: str, found: Any, shown: Callable[[int], dict[str, Any]]) -> Reply:
        limit, offset = values.paging(call, PAGE, LARGEST_PAGE)
        ordered = sorted(found, reverse=values.newest_first(call))
        return Reply(200, {what: [shown(number) for number in ordered[offset : offset + limit]], "count": len(ordered)})
