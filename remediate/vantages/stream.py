"""One byte stream fed by callbacks: an asyncio transport and an asyncssh channel drive it alike."""

from __future__ import annotations

import asyncio
import contextlib
import math
from typing import Protocol

from remediate.model.observation import Tls
from remediate.model.stream import ByteCapExceeded, StreamEnded, StreamReset
from remediate.vantages.lapses import Lapse, Lapses

#: Bytes that a probe reads from one connection before it is aborted.
BYTE_CAP = 1 << 20


class Transport(Protocol):
    """What an asyncio transport and an asyncssh channel have in common."""

    def write(self, data: bytes) -> None: ...

    def close(self) -> None: ...

    def abort(self) -> None: ...


class PeerStream(asyncio.Protocol):
    """A model Stream. One reader at a time; the byte cap bounds the buffer, so reading is never paused.

    What arrived before the connection ended, or before the deadline, can still be read after it.
    """

    tls: Tls | None = None
    #: Whether there is a connection to the peer, and not only the word of somebody in between that there will be one.
    proven = True

    def __init__(self, byte_cap: int = BYTE_CAP) -> None:
        self._loop = asyncio.get_running_loop()
        self._closed = self._loop.create_future()
        self._buffer = bytearray()
        self._room = byte_cap
        self._fault: Exception | None = None
        self._transport: Transport | None = None
        self._lapse: Lapse | None = None
        #: The loop's time at which it runs out.
        self._until = math.inf
        self._waiter: asyncio.Future[None] | None = None
        #: Whether something came since we last wrote, or waited: what we write acknowledges it.
        self._piece = False

    # -- for the vantage --------------------------------------------------------------------------

    def expire_in(self, seconds: float) -> None:
        """From now on, all reads together have that long. The clock is the loop's, monotonic.

        What the loop finds readable in the turn in which the time is up is delivered before that.
        Said again, it counts anew from then.
        """
        self._stop_timer()
        self._until = self._loop.time() + seconds
        self._lapse = Lapses.of(self._loop).after(seconds, self._late)

    @property
    def closed(self) -> bool:
        """Whether the connection is gone on this side."""
        return self._closed.done()

    async def wait_closed(self) -> None:
        """Until the connection is gone on this side (over SSH: until the server has closed its own)."""
        await asyncio.shield(self._closed)

    # -- callbacks --------------------------------------------------------------------------------

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]  # an SSH channel is one too
        self._transport = transport

    def session_started(self) -> None:
        """asyncssh only."""

    def data_received(self, data: bytes, _datatype: int | None = None) -> None:
        """``_datatype``: asyncssh only, None for a forwarded connection."""
        if self._fault is not None:
            return
        self._room -= len(data)
        if self._room < 0:
            self._fail(ByteCapExceeded("the peer sent more than a probe reads"))
            self.abort()
            return
        self._buffer += data
        self._piece = True
        self._wake()

    def eof_received(self) -> bool:
        self._fail(StreamEnded("the peer closed the connection"))
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        if self._fault is not None:
            self._wake()
        elif exc is None:
            self._fail(StreamEnded("the connection is closed"))
        else:
            error = StreamReset("the connection was reset")
            error.__cause__ = exc
            self._fail(error)
        self._stop_timer()
        if not self._closed.done():
            self._closed.set_result(None)

    # -- model.stream.Stream ----------------------------------------------------------------------

    async def recv(self, most: int) -> bytes:
        while not self._buffer:
            await self._more()
        return self._take(most)

    async def exactly(self, n: int) -> bytes:
        while len(self._buffer) < n:
            await self._more()
        return self._take(n)

    def write(self, data: bytes) -> None:
        """Never raises: that the connection has ended is what the next read says."""
        self._piece = False
        if self._transport is not None:
            with contextlib.suppress(OSError):  # an SSH channel that is already closed
                self._transport.write(data)

    def close(self) -> None:
        self._end("the connection was closed here")
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        self._end("the connection was aborted here")
        if self._transport is not None:
            self._transport.abort()

    def hurry(self, seconds: float) -> None:
        if self._loop.time() + seconds < self._until:
            self.expire_in(seconds)

    # -- inside -----------------------------------------------------------------------------------

    def fault(self) -> Exception | None:
        """Why no more data will come; None while it may."""
        return self._fault

    def _acknowledge(self) -> None:
        """The peer's answer has come in part, and nothing goes there that would tell it so."""

    async def _more(self) -> None:
        fault = self.fault()
        if fault is not None:
            raise fault
        if self._piece:
            self._piece = False
            self._acknowledge()
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _take(self, most: int) -> bytes:
        data = bytes(self._buffer[:most])
        del self._buffer[:most]
        return data

    def _end(self, why: str) -> None:
        if self._fault is None:
            self._fail(StreamEnded(why))
        self._buffer.clear()  # nothing that still comes is kept
        self._stop_timer()

    def _fail(self, fault: Exception) -> None:
        if self._fault is None:  # the first reason is the true one
            self._fault = fault
        self._wake()

    def _late(self) -> None:
        self._fail(TimeoutError("no answer inside the deadline"))

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _stop_timer(self) -> None:
        if self._lapse is not None:
            self._lapse.cancel()
            self._lapse = None
