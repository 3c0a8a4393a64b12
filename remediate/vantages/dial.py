"""The one wrapper around every vantage's dial: scope, gate, pace, byte cap, deadline, and RST on every way out."""

from __future__ import annotations

import asyncio
import contextlib
import copy
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, date, datetime
from functools import partial
from typing import TYPE_CHECKING, Protocol

from remediate.errors import VantageError
from remediate.model.observation import Question, Rung
from remediate.model.site import IPAddress, Limits, Scope
from remediate.model.stream import DialFailed, Stream
from remediate.vantages.pace import Pace
from remediate.vantages.stream import BYTE_CAP, PeerStream

if TYPE_CHECKING:
    from remediate.vantages.tls import Context

Secure = Callable[[PeerStream], Awaitable[Stream]]
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


def utc_today() -> date:
    return datetime.now(UTC).date()


class Dialer:
    """The model's Dial, for one round of questions. ``places``: the opened vantages by name, looked up at each dial.

    ``contexts``: how a vantage speaks TLS, made at its first handshake unless it is there.
    """

    def __init__(
        self,
        scope: Scope,
        places: Mapping[str, Place],
        limits: Limits,
        contexts: dict[str, Context] | None = None,
        *,
        byte_cap: int = BYTE_CAP,
        today: Callable[[], date] = utc_today,
    ) -> None:
        self._scope = scope
        self._places = places
        self._contexts = {} if contexts is None else contexts
        self._byte_cap = byte_cap
        self._today = today
        self._most = limits.associations
        #: By PACS, in this round; kept only where there is a limit.
        self._associations: dict[str, int] = {}
        self.pace = Pace(limits)

    def __call__(self, question: Question, deadline: float) -> Line:
        return Line(self, question, deadline)

    def round(self) -> Dialer:
        """The same gates, pace and places, and no association yet."""
        other = copy.copy(self)
        other._associations = {}
        return other

    async def ask(self, question: Question, deadline: float) -> PeerStream:
        """``connect`` for a question whose gate is held; counts its association."""
        counted = question.kind.is_dicom and self._most is not None
        made = self._associations.get(question.pacs, 0) if counted else 0
        if self._most is not None and made >= self._most:
            raise DialFailed(
                Rung.INCONCLUSIVE,
                f"not asked: {made} associations with {question.pacs} in this round already, and "
                "data.limits.associations allows no more",
            )
        stream = await self.connect(question.vantage, question.address, question.port, deadline)
        if counted:
            self._associations[question.pacs] = made + 1
        return stream

    async def connect(self, vantage: str, address: IPAddress, port: int, deadline: float) -> PeerStream:
        """Without gate and pace. Raises ScopeError before anything is sent, and DialFailed."""
        self._scope.check(address, port, self._today())
        place = self._places.get(vantage)
        if place is None:
            raise DialFailed(Rung.INCONCLUSIVE, f"vantage {vantage} is not open")
        try:
            return await place.dial(address, port, deadline, self._byte_cap)
        except VantageError as error:
            raise DialFailed(Rung.INCONCLUSIVE, f"vantage {vantage}: {error.what}") from error

    def securing(self, vantage: str, address: IPAddress) -> Secure:
        """TLS over a connection to that address, which raises TlsFailed. ``vantage``: "" for no certificate."""
        from remediate.vantages import tls  # takes a tenth of a second and more: before the deadline runs

        if vantage not in self._contexts:
            self._contexts[vantage] = tls.Context(vantage)
        return partial(tls.secure, context=self._contexts[vantage], address=address)


class Line:
    """``async with``: at most one at a time through a gate, from all vantages together."""

    def __init__(self, dialer: Dialer, question: Question, deadline: float) -> None:
        self._dialer = dialer
        self._gate = dialer.pace.gate(question)
        self._question = question
        self._deadline = deadline
        #: The loop's time at which every conversation must have ended; known once the first connection is made.
        self._until: float | None = None

    async def __aenter__(self) -> Line:
        await self._gate.__aenter__()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._gate.__aexit__(*exc_info)

    def connect(self, *, tls: bool = False) -> Connection:
        asked = self._question
        shown_by = "" if asked.anonymous else asked.vantage
        return Connection(self._open, self._dialer.securing(shown_by, asked.address) if tls else None)

    async def _open(self) -> PeerStream:
        asked, pace = self._question, self._dialer.pace
        if self._until is None:
            await pace.turn(asked.pacs)
            stream = await self._dialer.ask(asked, self._deadline)
            self._until = stream.until
            return stream
        loop = asyncio.get_running_loop()
        came = loop.time()
        await pace.turn(asked.pacs)
        self._until += loop.time() - came  # our own pace takes nothing from the peer's time
        stream = await self._dialer.ask(asked, max(0.0, self._until - loop.time()))
        stream.expire_in(self._until - loop.time())
        return stream


class Connection:
    """``async with``: a stream that is aborted on every way out."""

    def __init__(self, open_stream: Callable[[], Awaitable[PeerStream]], secure: Secure | None) -> None:
        self._open = open_stream
        self._secure = secure
        self._stream: PeerStream | None = None

    async def __aenter__(self) -> Stream:
        self._stream = await self._open()
        if self._secure is None:
            return self._stream
        try:
            return await self._secure(self._stream)
        except BaseException:
            await hang_up(self._stream)
            raise

    async def __aexit__(self, *exc_info: object) -> None:
        assert self._stream is not None
        await hang_up(self._stream)


async def hang_up(stream: PeerStream) -> None:
    if not stream.closed:
        stream.abort()
    if stream.closed:
        return
    with contextlib.suppress(TimeoutError):  # a slow SSH server: the channel is closed on our side
        async with asyncio.timeout(CLOSING_WAIT):
            await stream.wait_closed()
