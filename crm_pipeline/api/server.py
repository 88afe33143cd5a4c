"""The API's server: in the foreground for people, in a thread for tests and measurements."""

from __future__ import annotations

import logging
import socket
import threading
import time
from contextlib import ExitStack
from types import TracebackType
from typing import Self

import uvicorn

from crm_pipeline.api.app import THREADS, make_app
from crm_pipeline.api.auth import token_of
from crm_pipeline.api.parts import Parts
from crm_pipeline.errors import PipelineError, UsageError
from crm_pipeline.settings import Settings
from crm_pipeline.wiring import open_database, pipelines

START_SECONDS = 10.0
GRACE_SECONDS = 5
"""For what is being answered when the server is to end."""
KEEP_ALIVE_SECONDS = 75


class ApiServer:
    """The API on one address. Use it as a context manager. `port` 0 takes a free one.

    Starting raises SettingsError when a token is needed and there is none, UsageError when the port is taken,
    DatabaseUnreachable within 10 s, and SchemaError when the database is not as it must be.
    """

    def __init__(self, settings: Settings, host: str, port: int) -> None:
        self._settings = settings
        self._host, self._port = host, port
        self.needs_token = settings.general.crm_pipeline_api_token is not None

    @property
    def url(self) -> str:
        """Where it listens."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}"

    def start(self) -> None:
        """Look whether it can work, listen, and return when requests are answered."""
        token = token_of(self._settings, self._host)
        with ExitStack() as undo:
            listener = _listener(self._host, self._port)
            undo.callback(listener.close)
            self._port = listener.getsockname()[1]
            self._database = open_database(self._settings, connections=THREADS)
            undo.callback(self._database.dispose)
            self._parts = Parts(self._settings, pipelines(self._settings, self._database))
            for pipeline in self._parts.pipelines.values():
                pipeline.queue  # noqa: B018 (looks at the schema now, and not when somebody asks)
            undo.pop_all()
        config = uvicorn.Config(
            make_app(self._parts, token), access_log=False, ws="none", log_config=None, log_level=logging.WARNING,
            server_header=False, proxy_headers=False, timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=GRACE_SECONDS,
        )  # fmt: skip
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, args=([listener],), name="api", daemon=True)
        self._thread.start()
        end = time.monotonic() + START_SECONDS
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > end:
                raise PipelineError("The API did not start.")
            time.sleep(0.01)

    def stop(self) -> None:
        """Answer what was asked, within some seconds, and close all connections."""
        self._parts.stop.set()
        self._server.should_exit = True
        self._thread.join(GRACE_SECONDS + 2)
        for pipeline in self._parts.pipelines.values():
            pipeline.close()
        self._database.dispose()

    def raise_if_ended(self) -> None:
        """Raise PipelineError when the server has ended by itself."""
        if not self._thread.is_alive():
            raise PipelineError("The API's server has ended. The lines above say why.")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.stop()


def _listener(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(1024)
    except OSError as error:
        listener.close()
        raise UsageError(
            f"The API cannot listen on {host}:{port}: {error.strerror or error}. Is something else running there? "
            "Name another port with --port or CRM_PIPELINE_API_PORT."
        ) from None
    return listener
