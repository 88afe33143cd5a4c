"""What goes wrong on purpose at one account. May be changed at any time, from any thread.

faults.latency_seconds = 0.02                                   every answer comes late
faults.answer = lambda address: (503, "<html>") or None         chosen pushes are answered otherwise
faults.shares = Shares(throttled=0.1, reset=0.02)               a part of all requests meets a mishap
faults.unknown_ip = True                                        the CRM does not know this machine
with faults.hold(lambda address: address == "ann@example.com") as hold:
    hold.wait_for(1)                                            the contact is stored, its answer is held back
    ...                                                         kill, edit or reap in between
    hold.release()
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self

from crm_pipeline.sandbox.calls import Reply
from crm_pipeline.sandbox.mishaps import Mishaps, Shares

Matches = Callable[[str], bool]


def _every(_address: str) -> bool:
    return True


class Hold:
    """Keeps matching pushes waiting until `release()`, which the end of a `with` block does too."""

    def __init__(self, matches: Matches, before_storing: bool) -> None:
        self.before_storing = before_storing
        self._matches = matches
        self._changed = threading.Condition()
        self._held: list[str] = []
        self._futures: list[asyncio.Future[None]] = []
        self.released = False

    @property
    def held(self) -> list[str]:
        """Addresses of the pushes that were held, in the order in which they came, released or not."""
        with self._changed:
            return list(self._held)

    def wait_for(self, count: int, seconds: float = 10.0) -> None:
        """Wait until `count` pushes have been held; raises TimeoutError after `seconds`."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self._held) >= count, seconds):
                raise TimeoutError(f"{len(self._held)} of {count} pushes were held within {seconds} s")

    def release(self) -> None:
        """Let go what is held, and everything that comes."""
        with self._changed:
            self.released = True
            futures, self._futures = self._futures, []
        for future in futures:
            _wake(future)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.release()

    async def keep(self, addresses: Sequence[str]) -> None:
        """Called for each push; returns when it may go on."""
        matching = [address for address in addresses if self._matches(address)]
        if not matching:
            return
        future = asyncio.get_running_loop().create_future()
        with self._changed:
            if self.released:
                return
            self._futures.append(future)
            self._held += matching
            self._changed.notify_all()
        await future


class Faults:
    """What goes wrong at one account: nothing, until something is set."""

    def __init__(self) -> None:
        self.latency_seconds = 0.0
        """How long each answer takes, in seconds."""
        self.answer: Callable[[str], tuple[int, Any] | None] | None = None
        """(address of a push) -> (status, body) in place of the CRM's own answer; nothing is stored then.
        None: as usual. For the body see `Reply`."""
        self.unknown_ip = False
        """The account takes requests from other addresses alone."""
        self.ended = asyncio.Event()
        """The server stops."""
        self._mishaps = {pushes: Mishaps(Shares()) for pushes in (True, False)}
        self._holds: list[Hold] = []
        self._pauses: set[asyncio.Future[None]] = set()

    def hold(self, matches: Matches = _every, *, before_storing: bool = False) -> Hold:
        """Hold back the answers of matching pushes, after their contacts were stored or before."""
        hold = Hold(matches, before_storing)
        self._holds = [*(hold for hold in self._holds if not hold.released), hold]
        return hold

    @property
    def shares(self) -> Shares:
        """How large a part of all requests meets which mishap; of those that push contacts, and of the others."""
        return self._mishaps[True].shares

    @shares.setter
    def shares(self, shares: Shares) -> None:
        self._mishaps = {pushes: Mishaps(shares) for pushes in (True, False)}

    @property
    def holding(self) -> list[Hold]:
        """Those that are not released."""
        return [hold for hold in self._holds if not hold.released]

    def mishap(self, *, pushes: bool) -> str | None:
        """What happens to the next request, by its name in `Shares`."""
        return self._mishaps[pushes].next()

    def clear(self) -> None:
        """Nothing goes wrong any more; what is held is let go."""
        for hold in self._holds:
            hold.release()
        self.latency_seconds, self.answer, self.unknown_ip, self.shares = 0.0, None, False, Shares()

    async def applied(self, addresses: Sequence[str], store: Callable[[], Reply]) -> Reply:
        """The answer to one request, when its time has come. `addresses`: whom it pushes; none for other requests."""
        for hold in self._holds:
            if hold.before_storing:
                await hold.keep(addresses)
        reply = self._chosen(addresses) or store()
        for hold in self._holds:
            if not hold.before_storing:
                await hold.keep(addresses)
        await self.delay()
        return reply

    async def delay(self) -> None:
        """The time that every answer takes."""
        if self.latency_seconds > 0:
            await self._pause(self.latency_seconds)

    def end(self) -> None:
        """The server stops: let go whatever waits. To be called in the server's own loop."""
        self.ended.set()
        for hold in self._holds:
            hold.release()
        self.latency_seconds = 0.0
        for pause in list(self._pauses):
            _finish(pause)

    def _chosen(self, addresses: Sequence[str]) -> Reply | None:
        if self.answer is None:
            return None
        for address in addresses:
            chosen = self.answer(address)
            if chosen is not None:
                return Reply(*chosen)
        return None

    async def _pause(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        pause = loop.create_future()
        self._pauses.add(pause)
        timer = loop.call_later(seconds, _finish, pause)
        try:
            await pause
        finally:
            timer.cancel()
            self._pauses.discard(pause)


def _finish(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _wake(future: asyncio.Future[None]) -> None:
    """From any thread."""
    loop = future.get_loop()
    if not loop.is_closed():
        loop.call_soon_threadsafe(_finish, future)
