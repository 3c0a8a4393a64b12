"""The one wrapper around every vantage's dial: scope, gate, byte cap, deadline, and RST on every way out."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from remediate.errors import ScopeError, VantageError
from remediate.model.observation import Question, Rung
from remediate.model.site import IPAddress
from remediate.model.stream import DialFailed
from remediate.vantages.stream import BYTE_CAP, PeerStream

#: How long the gate waits for the far side of an aborted connection to be gone (an SSH server closes its own).
CLOSING_WAIT = 1.0


class Place(Protocol):
    """An opened vantage."""

    @property
    def lost(self) -> bool:
        """Whether it was open and is gone."""
        ...

    async def dial(self, address: IPAddress, port: int, deadline: float, byte_cap: int) -> PeerStream:
        """Raises DialFailed, and VantageError where the vantage itself is gone."""
        ...

    async def aclose(self) -> None: ...


class Dialer:
    """The model's Dial. ``places``: the opened vantages by name, looked up at each dial."""

    def __init__(self, scope: frozenset[IPAddress], places: Mapping[str, Place], *, byte_cap: int = BYTE_CAP) -> None:
        self._scope = scope
        self._places = places
        self._byte_cap = byte_cap
        self._gates: dict[tuple[str, int], asyncio.Lock] = {}

    def __call__(self, question: Question, deadline: float) -> Line:
        gate = self._gates.setdefault((question.pacs, question.service_port), asyncio.Lock())
        return Line(self, gate, question, deadline)

    async def connect(self, vantage: str, address: IPAddress, port: int, deadline: float) -> PeerStream:
        """Without a gate. Raises ScopeError before anything is sent, and DialFailed."""
        if address not in self._scope:
            raise ScopeError(
                "this address is not in the inventory; nothing was sent",
                where=f"{address} port {port}",
                next="add it to the addresses of a PACS or the canaries of a vantage, if it may be asked",
            )
        place = self._places.get(vantage)
        if place is None:
            raise DialFailed(Rung.INCONCLUSIVE, f"vantage {vantage} is not open")
        try:
            return await place.dial(address, port, deadline, self._byte_cap)
        except VantageError as error:
            raise DialFailed(Rung.INCONCLUSIVE, f"vantage {vantage}: {error.what}") from error


class Line:
    """``async with``: at most one at a time through a gate, from all vantages together."""

    def __init__(self, dialer: Dialer, gate: asyncio.Lock, question: Question, deadline: float) -> None:
        self._dialer = dialer
        self._gate = gate
        self._question = question
        self._deadline = deadline
        #: The loop's time at which every conversation must have ended; known once the first connection is made.
        self._until: float | None = None

    async def __aenter__(self) -> Line:
        await self._gate.acquire()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._gate.release()

    def connect(self) -> Connection:
        return Connection(self._open)

    async def _open(self) -> PeerStream:
        asked, loop = self._question, asyncio.get_running_loop()
        seconds = self._deadline if self._until is None else max(0.0, self._until - loop.time())
        stream = await self._dialer.connect(asked.vantage, asked.address, asked.port, seconds)
        if self._until is None:
            self._until = loop.time() + self._deadline
        else:
            stream.expire_in(self._until - loop.time())
        return stream


class Connection:
    """``async with``: a stream that is aborted on every way out."""

    def __init__(self, open_stream: Callable[[], Awaitable[PeerStream]]) -> None:
        self._open = open_stream
        self._stream: PeerStream | None = None

    async def __aenter__(self) -> PeerStream:
        self._stream = await self._open()
        return self._stream

    async def __aexit__(self, *exc_info: object) -> None:
        assert self._stream is not None
        await hang_up(self._stream)


async def hang_up(stream: PeerStream) -> None:
    stream.abort()
    with contextlib.suppress(TimeoutError):  # a slow SSH server: the channel is closed on our side
        async with asyncio.timeout(CLOSING_WAIT):
            await stream.wait_closed()
