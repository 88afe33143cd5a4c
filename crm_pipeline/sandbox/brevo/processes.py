"""Work that goes on after its request was answered. https://developers.brevo.com/reference/get-process

queued -> in_process -> processing -> completed; failed when the sandbox ended meanwhile.
"""

from __future__ import annotations

import asyncio
import csv
import io
import logging
import time
import traceback
from collections.abc import Callable, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from crm_pipeline.redaction import mask
from crm_pipeline.sandbox.account import Account
from crm_pipeline.sandbox.brevo import values
from crm_pipeline.sandbox.brevo.errors import Refused
from crm_pipeline.sandbox.calls import Call, Reply

logger = logging.getLogger(__name__)
PAGE, LARGEST_PAGE = 10, 50
ENDED = ("completed", "failed", "cancelled")
_UNDER_WAY = ("queued", "in_process", "processing")


class Processes:
    """Of one account. `work` is done in the server's loop when its time is over."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._started: dict[str, tuple[float, float]] = {}  # monotonic time, seconds that it takes
        for process in self._kept.values():
            if process["status"] not in ENDED:
                process["status"] = "failed"

    @property
    def _kept(self) -> dict[str, dict[str, Any]]:
        """Processes by number, which is a text in JSON."""
        kept: dict[str, dict[str, Any]] = self._account.extra.setdefault("processes", {})
        return kept

    def start(self, name: str, work: Callable[[], dict[str, Any]]) -> int:
        """Begin; the new process's number. `work` returns what the process's `info` will say."""
        number = len(self._kept) + 1
        seconds = self._account.switches.import_seconds
        process = {"name": name, "status": "queued", "info": {}, "reports": {}}
        self._started[str(number)] = (time.monotonic(), seconds)
        with self._account.changing():
            self._kept[str(number)] = process
        asyncio.get_running_loop().call_later(seconds, self._work, process, work)
        return number

    def report(self, number: int, name: str, rows: Sequence[str]) -> str | None:
        """A report of a process, one value a line; its address, or None for one that would be empty."""
        if not rows:
            return None
        self._kept[str(number)]["reports"][name] = list(rows)
        return f"{self._account.url}/reports/{number}/{name}.csv"

    def one(self, call: Call) -> Reply:
        """GET /processes/{number}."""
        text = call.path["number"]
        if not text.isdecimal():
            raise Refused(400, "invalid_parameter", "Process id is invalid")
        if text not in self._kept:
            raise Refused(404, "document_not_found", "Process ID does not exist")
        return Reply(200, self._shown(text))

    def all(self, call: Call) -> Reply:
        """GET /processes."""
        limit, offset = values.paging(call, PAGE, LARGEST_PAGE)
        numbers = sorted(self._kept, key=int, reverse=values.newest_first(call))
        shown = [self._shown(number) for number in numbers[offset : offset + limit]]
        return Reply(200, {"processes": shown, "count": len(numbers)})

    async def download(self, request: Request) -> Response:
        """A report as CSV. No key is asked for: Brevo's are public addresses too."""
        process = self._kept.get(request.path_params["number"], {})
        rows = process.get("reports", {}).get(request.path_params["name"])
        if rows is None:
            return Response("No such report", 404)
        text = io.StringIO()
        csv.writer(text, delimiter=";").writerows([row] for row in rows)
        return Response(text.getvalue(), media_type="text/csv")

    def _work(self, process: dict[str, Any], work: Callable[[], dict[str, Any]]) -> None:
        if process not in self._kept.values():  # the account was emptied meanwhile
            return
        with self._account.changing():
            try:
                process["info"] = work()
                process["status"] = "completed"
            except Exception:  # noqa: BLE001 (a bug of the sandbox: logged without the contact's data)
                logger.error("A bug in the sandbox:\n%s", mask(traceback.format_exc()))
                process["status"] = "failed"

    def _shown(self, number: str) -> dict[str, Any]:
        process = self._kept[number]
        status = process["status"]
        if status not in ENDED:
            since, seconds = self._started[number]
            done = (time.monotonic() - since) / seconds if seconds else 1.0
            status = _UNDER_WAY[min(int(3 * done), 2)]
        return {
            "id": int(number),
            "name": process["name"],
            "status": status,
            **({"info": process["info"]} if process["info"] else {}),
        }
