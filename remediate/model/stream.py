"""The seam between probes and vantages: a byte stream, and the dial that opens one."""

from __future__ import annotations

from typing import Protocol

from remediate.errors import RemediateError
from remediate.model.observation import Icmp, Question, Rung, Tls


class DialFailed(RemediateError):
    """No connection. ``rung`` says what that means: filtered, unreachable, closed or inconclusive.

    ``icmp``: the message that said *unreachable*, where the vantage is told which.
    """

    def __init__(self, rung: Rung, detail: str, icmp: Icmp | None = None) -> None:
        super().__init__(detail)
        self.rung = rung
        self.icmp = icmp


class StreamEnded(RemediateError):
    """The peer closed the connection (FIN) before what was waited for had come."""


class StreamReset(RemediateError):
    """The peer, or something on the way, aborted the connection (RST)."""


class TlsFailed(RemediateError):
    """No TLS session, or it ended with an alert.

    ``certificate_wanted``: the server asks for a client certificate, or for another than the one shown; with TLS 1.3
    that comes after the handshake, at the first read. ``tls``: what was seen of the handshake until then.
    ``answered``: whether the server spoke TLS at all; an alert may come before there is anything for ``tls``.
    """

    def __init__(
        self, detail: str, *, certificate_wanted: bool = False, tls: Tls | None = None, alert: bool = False
    ) -> None:
        super().__init__(detail)
        self.certificate_wanted = certificate_wanted
        self.tls = tls
        self.answered = alert or certificate_wanted or tls is not None


class ByteCapExceeded(RemediateError):
    """The peer sent more than a probe reads; the connection was aborted."""


class Stream(Protocol):
    """An open connection: local TCP, an SSH channel, SOCKS, or TLS over any of them.

    Reads raise StreamEnded, StreamReset, ByteCapExceeded, and TimeoutError at the deadline given to the dial; over
    TLS also TlsFailed.
    """

    @property
    def tls(self) -> Tls | None:
        """What the handshake showed; None where it is not TLS."""
        ...

    @property
    def proven(self) -> bool:
        """Whether there is a connection to the peer, and not only somebody's word that there will be one."""
        ...

    async def recv(self, most: int) -> bytes:
        """At least one byte, at most ``most``."""
        ...

    async def exactly(self, n: int) -> bytes: ...

    def write(self, data: bytes) -> None: ...

    def hurry(self, seconds: float) -> None:
        """All reads from now on together have that long at most; the deadline stands where it is sooner."""
        ...

    def close(self) -> None:
        """FIN, where a protocol has ended in good order."""
        ...

    def abort(self) -> None:
        """RST where the vantage can send one. May be called more than once, and after ``close``, which then stands."""
        ...


class Dial(Protocol):
    """The way to the service that a question asks for. The one place where a packet may leave.

    Holds the scope check (ScopeError before anything is sent), the gate (one question at a time to all DICOM services
    of a PACS together, and to each other service; released when the context ends), the pace, the byte cap and the
    deadline.
    ``deadline``: seconds for the first connection to be made, counted from the moment it was its turn, and once more
    for everything after it, further connections included. Where an SSH or SOCKS server connects, its own time-out
    (about 130 s by default) is waited for instead of the first, because only its words tell *filtered* from a slow
    vantage.
    """

    def __call__(self, question: Question, deadline: float) -> LineContext: ...


class LineContext(Protocol):
    """``async with dial(question, deadline) as line``: the gate is held, and nothing was sent yet."""

    async def __aenter__(self) -> Line: ...

    async def __aexit__(self, *exc_info: object) -> None: ...


class Line(Protocol):
    """One question's connections, one after the other."""

    def connect(self, *, tls: bool = False) -> StreamContext:
        """``tls``: with a TLS handshake first, which shows the vantage's client certificate if it has one."""
        ...


class StreamContext(Protocol):
    """``async with line.connect() as stream``: raises DialFailed; aborts the stream on every way out.

    With ``tls`` it also raises TlsFailed, whatever ended the handshake (a reset and the deadline are its cause). The
    handshake's time counts as conversation: after the first connection was made.
    """

    async def __aenter__(self) -> Stream: ...

    async def __aexit__(self, *exc_info: object) -> None: ...
