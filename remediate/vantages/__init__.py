"""Places to look from, opened: one Stream, one dial, canaries.

A new kind of vantage is a type of ``via`` in the model, a module with ``open_place``, and a line of VANTAGES.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib import import_module

from remediate.errors import RemediateError, VantageError
from remediate.model.observation import CanaryReport
from remediate.model.site import Canary, LocalVia, Site, SshVia, Vantage
from remediate.model.stream import Dial, DialFailed
from remediate.vantages.dial import Dialer, Place, hang_up

#: Imported only when such a vantage is opened.
VANTAGES: dict[type, str] = {
    LocalVia: "remediate.vantages.local",
    SshVia: "remediate.vantages.ssh",
}
#: Seconds that a canary has to accept a connection.
CANARY_DEADLINE = 3.0


class Lookout:
    """The vantages of one run, on the loop of whoever calls ``open``."""

    def __init__(self, site: Site, names: Iterable[str]) -> None:
        self._site = site
        self._names = tuple(dict.fromkeys(names))
        self._places: dict[str, Place] = {}
        self._dialer = Dialer(site.scope(), self._places)
        self.dial: Dial = self._dialer

    async def open(self) -> dict[str, RemediateError]:
        """Opens all at once; what could not be opened, by name. The others can be used."""
        outcomes = await asyncio.gather(*(self._open(name) for name in self._names))
        return {name: error for name, error in zip(self._names, outcomes, strict=True) if error is not None}

    async def _open(self, name: str) -> RemediateError | None:
        try:
            vantage = self._site.vantages.get(name)
            if vantage is None:
                raise VantageError("no such vantage in the inventory", where=name)
            self._places[name] = await _open_place(vantage)
        except RemediateError as error:
            return error
        return None

    async def canaries(self, vantage: str) -> CanaryReport:
        """Whether every canary of the vantage accepts a TCP connection now, which is then aborted."""
        place = self._places.get(vantage)
        if place is None or place.lost:
            detail = "the vantage is not open" if place is None else "the vantage was lost"
            return CanaryReport(vantage=vantage, alive=False, at=datetime.now(UTC), detail=detail)
        canaries = self._site.vantages[vantage].canaries
        silent = [text for text in await asyncio.gather(*(self._silence(vantage, c) for c in canaries)) if text]
        detail = "; ".join(silent) if canaries else "no canaries"
        return CanaryReport(vantage=vantage, alive=not silent, at=datetime.now(UTC), detail=detail)

    async def _silence(self, vantage: str, canary: Canary) -> str:
        try:
            stream = await self._dialer.connect(vantage, canary.address, canary.port, CANARY_DEADLINE)
        except DialFailed as error:
            return f"canary {canary.address} port {canary.port}: {error.rung.value}, {error.what}"
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
