"""How gently archives are asked: one association at a time, and so many connections a second."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field

from remediate.model.observation import Question
from remediate.model.site import Limits

#: The gate that all DICOM services of a PACS share; every other service has one of its own, by its port.
ASSOCIATIONS = 0
#: A filtered open lives in an SSH or SOCKS server until its connect(2) gives up: this many at a time at each.
MAX_PENDING = 64


def gate_of(question: Question) -> tuple[str, int]:
    return question.pacs, ASSOCIATIONS if question.kind.is_dicom else question.service_port


@dataclass(slots=True)
class _Host:
    """``users``: who holds a gate or waits for one. ``free_at``: the loop's time of the next connection."""

    gates: dict[int, asyncio.Lock] = field(default_factory=dict)
    users: int = 0
    free_at: float = 0.0


class Pace:
    """Shared by everything that dials in one run, on one loop.

    Holds nothing about a PACS that nobody asks and whose interval is over: a sweep of any length stays small.
    """

    def __init__(self, limits: Limits) -> None:
        self._between = 1 / limits.per_host if limits.per_host else 0.0
        self._between_all = 1 / limits.per_site if limits.per_site else 0.0
        self._free_at = 0.0
        self._hosts: dict[str, _Host] = {}
        #: Left by the last one who asked, in that order; each is forgotten once its interval is over.
        self._left: deque[str] = deque()

    def gate(self, question: Question) -> Gate:
        """One association at a time with a PACS, one connection at a time to each other service, from everywhere."""
        return Gate(self, *gate_of(question))

    async def turn(self, pacs: str | None = None) -> None:
        """Waits until a connection may be opened: to that PACS, whose gate is held, or to a canary."""
        if not self._between and not self._between_all:
            return
        loop = asyncio.get_running_loop()
        host = self._hosts[pacs] if pacs is not None and self._between else None
        if host is not None:
            at = max(loop.time(), host.free_at)
            host.free_at = at + self._between
            await _until(at)
        if self._between_all:
            at = max(loop.time(), self._free_at)
            self._free_at = at + self._between_all
            if host is not None:
                host.free_at = max(host.free_at, at + self._between)
            await _until(at)

    def come(self, pacs: str) -> _Host:
        self._forget()
        host = self._hosts.get(pacs)
        if host is None:
            host = self._hosts[pacs] = _Host()
        host.users += 1
        return host

    def leave(self, pacs: str, host: _Host) -> None:
        host.users -= 1
        if host.users:
            return
        if self._between:
            self._left.append(pacs)
            self._forget()
        else:
            del self._hosts[pacs]

    def _forget(self) -> None:
        if not self._left:
            return
        now = asyncio.get_running_loop().time()
        while self._left:
            host = self._hosts.get(self._left[0])
            if host is not None and not host.users:
                if host.free_at > now:
                    return  # those behind it were left later
                del self._hosts[self._left[0]]
            self._left.popleft()


class Gate:
    """``async with``, once."""

    __slots__ = ("_host", "_lock", "_pace", "_pacs", "_port")

    def __init__(self, pace: Pace, pacs: str, port: int) -> None:
        self._pace, self._pacs, self._port = pace, pacs, port

    async def __aenter__(self) -> None:
        self._host = self._pace.come(self._pacs)
        lock = self._host.gates.get(self._port)
        if lock is None:
            lock = self._host.gates[self._port] = asyncio.Lock()
        self._lock = lock
        try:
            await lock.acquire()
        except BaseException:
            self._pace.leave(self._pacs, self._host)
            raise

    async def __aexit__(self, *exc_info: object) -> None:
        self._lock.release()
        self._pace.leave(self._pacs, self._host)


async def _until(at: float) -> None:
    seconds = at - asyncio.get_running_loop().time()
    if seconds > 0:
        await asyncio.sleep(seconds)
