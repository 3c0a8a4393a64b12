"""The seam between probes and vantages: a byte stream, and the dial that opens one."""

from __future__ import annotations

from typing import Protocol

from remediate.errors import RemediateError
from remediate.model.observation import Question, Rung


class DialFailed(RemediateError):
    """No connection. ``rung`` says what that means: filtered, unreachable, closed or inconclusive."""

    def __init__(self, rung: Rung, detail: str) -> None:
        super().__init__(detail)
        self.rung = rung


class StreamEnded(RemediateError):
    """The peer closed the connection (FIN) before what was waited for had come."""


class StreamReset(RemediateError):
    """The peer, or something on the way, aborted the connection (RST)."""


class ByteCapExceeded(RemediateError):
    """The peer sent more than a probe reads; the connection was aborted."""


class Stream(Protocol):
    """An open connection: local TCP, an SSH channel, SOCKS, or TLS over any of them.

    Reads raise StreamEnded, StreamReset, ByteCapExceeded, and TimeoutError at the deadline given to the dial.
    """

    async def recv(self, most: int) -> bytes:
        """At least one byte, at most ``most``."""
        ...

    async def exactly(self, n: int) -> bytes: ...

    def write(self, data: bytes) -> None: ...

    def close(self) -> None:
        """FIN, where a protocol has ended in good order."""
        ...

    def abort(self) -> None:
        """RST where the vantage can send one. May be called more than once, and after ``close``, which then stands."""
        ...


class Dial(Protocol):
    """Opens the connection that a question asks for. The one place where a packet may leave.

    Holds the scope check (ScopeError before anything is sent), the gate (one connection at a time to each
    service of a PACS; released when the context ends), the byte cap and the deadline.
    ``deadline``: seconds for connecting, counted from the moment the gate opened, and once more for all reads
    together. Where an SSH server connects, its own connect time-out (about 130 s by default) is waited for
    instead of the first, because only its words tell *filtered* from a slow vantage.
    """

    def __call__(self, question: Question, deadline: float) -> DialContext: ...


class DialContext(Protocol):
    """``async with dial(question, deadline) as stream``: raises DialFailed; aborts the stream on every way out."""

    async def __aenter__(self) -> Stream: ...

    async def __aexit__(self, *exc_info: object) -> None: ...
