"""The server of all sandboxes: in a thread for tests and measurements, in the foreground for people."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import uvicorn
from starlette.routing import Mount, Router

from crm_pipeline.errors import PipelineError, UsageError
from crm_pipeline.model import SANDBOX_HEADER
from crm_pipeline.sandbox.account import Account
from crm_pipeline.sandbox.connection import Protocol
from crm_pipeline.sandbox.control import Control, control_routes
from crm_pipeline.sandbox.page import page_routes
from crm_pipeline.sandbox.registry import SANDBOXES
from crm_pipeline.sandbox.state import StateFile

logger = logging.getLogger(__name__)
KEEP_SECONDS = 1.0
KEEP_SHARE = 20
"""Writing the state takes at most a twentieth of the time."""
KEEP_ALIVE_SECONDS = 75
START_SECONDS = 10.0
STOP_SECONDS = 5.0


class SandboxServer:
    """One server with an account per CRM, each reachable under its API's own path. Use it as a context manager.

    `port` 0 takes a free one. `api_key` None: any key is accepted, but one must be sent. With a `state_dir` contacts
    and lists survive a restart. With `quota` each account has the limits that its CRM documents; without, none, until
    some are set. `prepare` may change each account before it answers. Starting raises UsageError when the port is taken
    or the folder cannot be used.
    """

    def __init__(
        self,
        api_key: str | None = None,
        port: int = 0,
        host: str = "127.0.0.1",
        state_dir: Path | None = None,
        quota: bool = False,
        prepare: Callable[[Account], None] | None = None,
    ) -> None:
        self._api_key = api_key
        self._host, self._port = host, port
        self._state_dir = state_dir
        self._quota = quota
        self._prepare = prepare
        self._file: StateFile | None = None
        self._accounts: dict[str, Account] = {}

    @property
    def url(self) -> str:
        """Where the page for people is; the APIs are below."""
        return f"http://{self._host}:{self._port}"

    def account(self, name: str) -> Account:
        """The account at one CRM; raises KeyError for a CRM without a sandbox."""
        return self._accounts[name]

    def start(self) -> None:
        """Listen; returns when requests are answered."""
        listener = _listener(self._host, self._port)
        try:
            self._port = listener.getsockname()[1]
            if self._state_dir is not None:
                self._file = StateFile(self._state_dir)
            self._accounts = self._restored()
        except BaseException:
            listener.close()
            if self._file is not None:
                self._file.close()
            raise
        apps = [Mount(spec.path, spec.app(self._accounts[name])) for name, spec in SANDBOXES.items()]
        controls = {name: Control(self._accounts[name], spec) for name, spec in SANDBOXES.items()}
        own = [*page_routes(self._accounts), *control_routes(controls)]
        app = Router([*own, *apps], redirect_slashes=False)
        config = uvicorn.Config(
            app, http=Protocol, access_log=False, lifespan="off", ws="none", log_config=None, log_level=logging.WARNING,
            server_header=False, headers=[(SANDBOX_HEADER, "crm-pipeline")], timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=1,
        )  # fmt: skip
        self._server = _Server(config, self._keep, self._end_faults)
        self._kept = self._revisions()
        self._thread = threading.Thread(target=self._server.run, args=([listener],), name="sandbox", daemon=True)
        self._thread.start()
        if not self._server.ready.wait(START_SECONDS):
            raise PipelineError("The sandbox did not start.")

    def stop(self) -> None:
        """Let go what waits, close all connections, keep the state. Raises PipelineError when it cannot be kept."""
        self._server.should_exit = True
        self._thread.join(STOP_SECONDS)
        if self._file is None:
            return
        try:
            if self._revisions() != self._kept:
                self._file.write(self._encoded())
        except OSError as error:
            raise PipelineError(f"The sandbox's state could not be kept: {error.strerror}.") from None
        finally:
            self._file.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.stop()

    def _restored(self) -> dict[str, Account]:
        """The accounts as they were kept, or new ones. Raises UsageError for a file that does not fit."""
        kept = self._file.read() if self._file else {}
        accounts = {}
        for name, spec in SANDBOXES.items():
            url = self.url + spec.path
            accounts[name] = account = Account(name, spec.title, url, self._api_key, spec.limits, spec.switches())
            if self._quota:
                account.quota.enforce()
            if self._prepare is not None:
                self._prepare(account)
            if name not in kept:
                spec.seed(account)
                continue
            try:
                account.restore(kept[name])
            except (KeyError, TypeError, ValueError, AttributeError):
                assert self._file is not None
                raise self._file.unreadable() from None
        return accounts

    def _revisions(self) -> list[int]:
        return [account.revision for account in self._accounts.values()]

    def _encoded(self) -> bytes:
        assert self._file is not None
        return self._file.encoded({name: account.state() for name, account in self._accounts.items()})

    async def _keep(self) -> None:
        """Write what has changed, again and again, in a thread, so that answers do not wait for the disk."""
        while self._file is not None:
            await asyncio.sleep(KEEP_SECONDS)
            revisions = self._revisions()
            if revisions == self._kept:
                continue
            started = time.monotonic()
            try:
                await asyncio.to_thread(self._file.write, await asyncio.to_thread(self._encoded))
            except OSError as error:
                logger.error("The sandbox's state could not be kept: %s", error.strerror)
            else:
                self._kept = revisions
            await asyncio.sleep(KEEP_SHARE * (time.monotonic() - started))

    def _end_faults(self) -> None:
        for account in self._accounts.values():
            account.faults.end()


class _Server(uvicorn.Server):
    """Says when it is ready, keeps the state while it runs, and lets go what waits before it ends."""

    def __init__(
        self, config: uvicorn.Config, keep: Callable[[], Coroutine[Any, Any, None]], end_faults: Callable[[], None]
    ) -> None:
        super().__init__(config)
        self.ready = threading.Event()
        self._keep = keep
        self._end_faults = end_faults

    async def main_loop(self) -> None:
        """Between start and end."""
        keeping = asyncio.create_task(self._keep())
        self.ready.set()
        await super().main_loop()
        keeping.cancel()
        self._end_faults()


def _listener(host: str, port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(1024)
    except OSError as error:
        listener.close()
        raise UsageError(
            f"The sandbox cannot listen on {host}:{port}: {error.strerror}. Is something else running there? "
            "Name another port."
        ) from None
    return listener
