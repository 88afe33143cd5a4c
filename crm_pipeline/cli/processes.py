"""Starts the processes of `dev` and `up`, watches them, and ends them all: each with all its children."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

import psutil
from rich.console import Console

from crm_pipeline.errors import PipelineError, UsageError

REGISTER = "processes.json"
"""Which programs run over a folder: the leaders of their groups, and when they began."""
END_SECONDS = 20.0
"""A run that is cut off gives back its contacts within 5 s; Dagster itself takes a few more."""


class Processes:
    """A group of long-lived programs, each the leader of a process group of its own, its output in a log file.

    A signal to Dagster's own pid alone would leave its workers pushing, so whole groups are signalled.
    """

    def __init__(self, folder: Path) -> None:
        self.logs = folder / "logs"
        self._register = folder / REGISTER
        self._started: dict[str, subprocess.Popen[bytes]] = {}
        self.logs.mkdir(parents=True, exist_ok=True)

    def start(self, name: str, command: list[str], environment: Mapping[str, str], cwd: Path) -> None:
        """Start a program; its log is `logs/<name>.log`, begun anew."""
        self.log(name).unlink(missing_ok=True)
        with self.log(name).open("ab") as log:  # appending, so that others may cut it short
            self._started[name] = subprocess.Popen(  # noqa: S603 (our own programs)
                command,
                env=dict(environment),
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        leaders = {process.pid: psutil.Process(process.pid).create_time() for process in self._started.values()}
        written = self._register.with_suffix(".new")
        written.write_text(json.dumps(leaders))
        written.replace(self._register)  # whole, or not at all

    def log(self, name: str) -> Path:
        """Where a program's output is."""
        return self.logs / f"{name}.log"

    def wait_until(self, ready: Callable[[], bool], what: str, seconds: float) -> None:
        """Return as soon as `ready()`; raises PipelineError when a program ends, or after `seconds`."""
        end = time.monotonic() + seconds
        while not ready():
            self.raise_if_one_ended()
            if time.monotonic() > end:
                raise PipelineError(f"Waited {seconds:.0f} s for {what} in vain. See the logs in {self.logs}.")
            time.sleep(0.1)

    def raise_if_one_ended(self) -> None:
        """Raise PipelineError, with the end of its log, when a program has ended by itself."""
        for name, process in self._started.items():
            if process.poll() is not None:
                tail = "\n".join(self.log(name).read_text(errors="replace").splitlines()[-15:])
                raise PipelineError(
                    f"{name} has ended (exit code {process.returncode}). The end of {self.log(name)}:\n{tail}"
                )

    def end(self) -> None:
        """End all programs and their children: politely first, after 20 s by force."""
        groups = [process.pid for process in self._started.values()]
        _end_groups(groups)
        for process in self._started.values():
            process.wait()
        self._register.unlink(missing_ok=True)


@contextmanager
def the_only_one(folder: Path) -> Iterator[None]:
    """Hold the folder's lock; raises UsageError when another `dev` or `up` of this folder is running.

    What an earlier one left behind when it was killed is ended first.
    """
    lock: IO[str]
    with _opened(folder / "running.lock") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.seek(0)
            raise UsageError(
                f"It is running already (process {lock.read().strip()}), with its data in {folder}. "
                "Stop it there with Ctrl-C, or name another folder in CRM_PIPELINE_DATA_DIR."
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        _end_leftovers(folder / REGISTER)
        yield


def _opened(file: Path) -> IO[str]:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        return file.open("a+")
    except OSError as error:
        raise UsageError(
            f"{file.parent} cannot be used: {error.strerror}. CRM_PIPELINE_DATA_DIR names another folder."
        ) from None


def check_free(port: int, option: str, host: str = "127.0.0.1") -> None:
    """Raise UsageError when the port of this machine's address is taken. `option`: how another one is named."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise UsageError(f"Port {port} cannot be used: {error.strerror}. Name another with {option}.") from None


def _end_groups(leaders: list[int]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        for leader in leaders:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(leader, number)
        end = time.monotonic() + END_SECONDS
        while any(map(_group_lives, leaders)) and time.monotonic() < end:
            time.sleep(0.05)
        leaders = [leader for leader in leaders if _group_lives(leader)]


def _end_leftovers(register: Path) -> None:
    try:
        leaders = {int(pid): float(created) for pid, created in json.loads(register.read_text()).items()}
    except FileNotFoundError:
        return
    except (ValueError, AttributeError):  # its disk was full, or the machine went down
        leaders = {}
    alive = [pid for pid, created in leaders.items() if _is_ours(pid, created) and _group_lives(pid)]
    if alive:
        Console().print(f"Ending {len(alive)} programs that an earlier start had left behind ...", style="yellow")
        _end_groups(alive)
    register.unlink()


def _is_ours(leader: int, created: float) -> bool:
    """Is this number still the one that was noted? After a restart of the machine, or of its numbers, it is another's.

    A group keeps its leader's number from being given away, also when the leader itself has ended.
    """
    if created < psutil.boot_time() - 1:
        return False
    try:
        return abs(psutil.Process(leader).create_time() - created) < 1
    except psutil.NoSuchProcess:
        return True
    except psutil.Error:
        return False


def _group_lives(leader: int) -> bool:
    """Has the group a process that is more than a zombie?"""
    for process in psutil.process_iter(["status"]):
        with suppress(ProcessLookupError, psutil.Error):
            if process.info["status"] != psutil.STATUS_ZOMBIE and os.getpgid(process.pid) == leader:
                return True
    return False
