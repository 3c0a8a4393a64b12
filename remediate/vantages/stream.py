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

    def __init__(self, byte_cap: int = BYTE_CAP, loop: asyncio.AbstractEventLoop | None = None) -> None:
        """``loop``: the running one, from who knows it; to look it up is a system call."""
        self._loop = loop or asyncio.get_running_loop()
        self._lapses = Lapses.of(self._loop)
        #: Whether the connection is gone on this side, and what waits for that.
        self.closed = False
        self._closed: asyncio.Future[None] | None = None
        #: What came, and how much of it was read.
        self._buffer = b""
        self._taken = 0
        self._room = byte_cap
        self._fault: Exception | None = None
        self._transport: Transport | None = None
        self._lapse: Lapse | None = None
        #: The loop's time at which it runs out.
        self.until = math.inf
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
        self.until = self._loop.time() + seconds
        self._lapse = self._lapses.after(seconds, self._late)

    async def wait_closed(self) -> None:
        """Until the connection is gone on this side (over SSH: until the server has closed its own)."""
        if not self.closed:
            if self._closed is None:
                self._closed = self._loop.create_future()
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
        self._buffer = self._buffer[self._taken :] + data
        self._taken = 0
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
        self.closed = True
        if self._closed is not None and not self._closed.done():
            self._closed.set_result(None)

    # -- model.stream.Stream ----------------------------------------------------------------------

    async def recv(self, most: int) -> bytes:
        while not self._unread:
            await self._more()
        return self._take(min(most, self._unread))

    async def exactly(self, n: int) -> bytes:
        while len(self._buffer) - self._taken < n:
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
        if self._loop.time() + seconds < self.until:
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

    @property
    def _unread(self) -> int:
        return len(self._buffer) - self._taken

    def _take(self, n: int) -> bytes:
        begin = self._taken
        self._taken = end = begin + n
        return self._buffer[begin:end]

    def _end(self, why: str) -> None:
        if self._fault is None:
            self._fail(StreamEnded(why))
        self._buffer, self._taken = b"", 0  # nothing that still comes is kept
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
