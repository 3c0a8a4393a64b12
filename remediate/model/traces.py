"""What a device knows of who came to an archive, before anything is changed there: it may be gone afterwards.

Only addresses, ports, counts, times and names of lists: never a text that somebody else wrote.
"""

from __future__ import annotations

from typing import Literal

from remediate.model.base import Port, Value
from remediate.model.site import IPAddress


class HitCounter(Value):
    """One rule or entry of a device's that names the archive, and how many packets it has met.

    ``place``: its table and chain, or its list. ``number``: its handle there, or its sequence number. ``ours``: it is
    the guard's. ``sources``, ``destinations``: addresses and networks; () for any. ``ports``: as ``104`` or
    ``100-200``. ``octets``: None where the device does not count them.
    """

    place: str
    number: int | None = None
    ours: bool = False
    action: str
    sources: tuple[str, ...] = ()
    destinations: tuple[str, ...] = ()
    ports: tuple[str, ...] = ()
    packets: int
    octets: int | None = None

    @property
    def words(self) -> str:
        """``ip filter FORWARD: drop any to 10.10.0.5, port 104: 12 packets``"""
        sources, destinations = (", ".join(ends) or "any" for ends in (self.sources, self.destinations))
        ports = f", port {', '.join(self.ports)}" if self.ports else ""
        whose = " (the guard's)" if self.ours else ""
        return f"{self.place}{whose}: {self.action} {sources} to {destinations}{ports}: {self.packets} packets"


class LogEntry(Value):
    """A packet that a rule has logged. ``at``: as the device's own clock has it. ``action``: ``logged`` where the line
    does not say what became of it.
    """

    at: str = ""
    action: Literal["denied", "permitted", "logged"]
    place: str = ""
    protocol: str
    source: IPAddress
    source_port: Port | None = None
    destination: IPAddress
    port: Port | None = None
    packets: int = 1

    @property
    def words(self) -> str:
        port = "" if self.port is None else f" port {self.port}"
        place = f" by {self.place}" if self.place else ""
        many = f", {self.packets} packets" if self.packets != 1 else ""
        packet = f"{self.protocol} {self.source} to {self.destination}{port}{many}"
        return f"{self.at or 'at a time not known'}: {self.action}{place}: {packet}"


class Translation(Value):
    """Somebody's connection that came in by a translation. ``port``: the archive's own."""

    source: IPAddress
    source_port: Port
    published: IPAddress
    published_port: Port
    archive: IPAddress
    port: Port

    @property
    def words(self) -> str:
        there = f"{self.published} port {self.published_port}"
        return f"{self.source} to {there}, translated to {self.archive} port {self.port}"


class Traces(Value):
    """Of one device. ``lacks``: what could not be read, and why. ``left_off``: kind → how many more there were."""

    counters: tuple[HitCounter, ...] = ()
    log: tuple[LogEntry, ...] = ()
    translations: tuple[Translation, ...] = ()
    lacks: tuple[str, ...] = ()
    left_off: dict[str, int] = {}
