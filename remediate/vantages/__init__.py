"""Places to look from, opened: one Stream, one dial, canaries.

A new kind of vantage is a type of ``via`` in the model, a module with ``open_place``, and a line of VANTAGES.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime
from importlib import import_module
from typing import TYPE_CHECKING

from remediate.errors import RemediateError, VantageError
from remediate.model.observation import CanaryReport
from remediate.model.site import Canary, LocalVia, Scope, Site, SocksVia, SshVia, Vantage
from remediate.model.stream import Dial, DialFailed, StreamEnded, StreamReset
from remediate.vantages.dial import Dialer, Place, hang_up, utc_today

if TYPE_CHECKING:
    from remediate.vantages.tls import Context

#: Imported only when such a vantage is opened.
VANTAGES: dict[type, str] = {
    LocalVia: "remediate.vantages.local",
    SshVia: "remediate.vantages.ssh",
    SocksVia: "remediate.vantages.socks",
}
#: Seconds that a canary has to accept a connection.
CANARY_DEADLINE = 3.0


class Lookout:
    """The vantages of one run, on the loop of whoever calls ``open``.

    ``scope``: without, the site's own. ``dial``: the way there, where all of the run is one round of questions.
    """

    def __init__(
        self, site: Site, names: Iterable[str], *, scope: Scope | None = None, today: Callable[[], date] = utc_today
    ) -> None:
        self._site = site
        self._names = tuple(dict.fromkeys(names))
        self._places: dict[str, Place] = {}
        self._contexts: dict[str, Context] = {}
        self._dialer = Dialer(scope or site.scope(), self._places, site.limits, self._contexts, today=today)
        self.dial: Dial = self._dialer

    def round(self) -> Dial:
        """The way there for one more round of questions, in which no association was made yet."""
        return self._dialer.round()

    async def open(self) -> dict[str, RemediateError]:
        """Opens all at once; what could not be opened, by name. The others can be used."""
        outcomes = await asyncio.gather(*(self._open(name) for name in self._names))
        return {name: error for name, error in zip(self._names, outcomes, strict=True) if error is not None}

    async def _open(self, name: str) -> RemediateError | None:
        try:
            vantage = self._site.vantages.get(name)
            if vantage is None:
                raise VantageError("no such vantage in the inventory", where=name)
            if vantage.client_certificate is not None:
                from remediate.vantages import tls  # takes a tenth of a second and more

                self._contexts[name] = tls.Context(name, vantage.client_certificate)
            self._places[name] = await _open_place(vantage)
        except RemediateError as error:
            return error
        return None

    async def canaries(self, vantage: str) -> CanaryReport:
        """Whether every canary of the vantage accepts a TCP connection now, which is then aborted.

        Raises ScopeError.
        """
        place = self._places.get(vantage)
        if place is None or place.lost:
            detail = "the vantage is not open" if place is None else "the vantage was lost"
            return CanaryReport(vantage=vantage, alive=False, at=datetime.now(UTC), detail=detail)
        canaries = self._site.vantages[vantage].canaries
        silent = [text for text in await asyncio.gather(*(self._silence(vantage, c) for c in canaries)) if text]
        detail = "; ".join(silent) if canaries else "no canaries"
        return CanaryReport(vantage=vantage, alive=not silent, at=datetime.now(UTC), detail=detail)

    async def _silence(self, vantage: str, canary: Canary) -> str:
        where = f"canary {canary.address} port {canary.port}"
        await self._dialer.pace.turn()
        try:
            stream = await self._dialer.connect(vantage, canary.address, canary.port, CANARY_DEADLINE)
        except DialFailed as error:
            return f"{where}: {error.rung.value}, {error.what}"
        try:
            if not stream.proven:
                await stream.recv(1)
        except (VantageError, StreamEnded, StreamReset, TimeoutError) as error:
            return f"{where}: {error.what if isinstance(error, RemediateError) else error}"
        finally:
            await hang_up(stream)
        return ""

    async def aclose(self) -> None:
        """Ends every connection. The lookout may be opened again."""
        places = list(self._places.values())
        self._places.clear()
        await asyncio.gather(*(place.aclose() for place in places))


async def _open_place(vantage: Vantage) -> Place:
    place: Place = await import_module(VANTAGES[type(vantage.via)]).open_place(vantage)
    return place
