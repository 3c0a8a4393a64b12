"""Vendor-neutral packet-filter rules and settings, and what a control wants of a device."""

from __future__ import annotations

from enum import StrEnum

from remediate.model.base import AETitle, Name, Port, Value
from remediate.model.site import Door, IPAddress, IPNetwork, Role


class Action(StrEnum):
    PERMIT = "permit"
    DENY = "deny"
    #: Let on, and who it was is noted for a while.
    OBSERVE = "observe"


class PortRange(Value):
    """Inclusive at both ends."""

    first: Port
    last: Port

    @classmethod
    def one(cls, port: int) -> PortRange:
        return cls(first=port, last=port)


class Rule(Value):
    """One TCP entry of an ordered, first-match list. An empty tuple means any.

    ``ingress`` and ``egress``: interfaces. ``note`` says for whom the entry stands; it takes no part in matching.
    """

    action: Action
    ingress: tuple[str, ...] = ()
    egress: tuple[str, ...] = ()
    sources: tuple[IPNetwork, ...] = ()
    destinations: tuple[IPNetwork, ...] = ()
    source_ports: tuple[PortRange, ...] = ()
    destination_ports: tuple[PortRange, ...] = ()
    note: str = ""


class Permit(Value):
    """A peer that stays served through the guard, and on which of the PACS's own service ports.

    ``interfaces``: those of the guard's by which it may come; () for all of them.
    """

    peer: Name
    source: IPNetwork
    ports: tuple[Port, ...]
    interfaces: tuple[str, ...] = ()


class Intent(Value):
    """What a control wants of one device for one PACS, in nobody's language yet.

    Flows that come in by ``interfaces`` to the ``doors`` are denied, those of ``permits`` excepted; the same flows
    the other way too. Nothing else is. Where a door or a permit names interfaces, it counts on these only.
    ``observe``: what would be denied on its way in is noted instead, and nothing is denied.
    """

    pacs: Name
    control: Name
    device: Name
    interfaces: tuple[str, ...]
    doors: tuple[Door, ...]
    permits: tuple[Permit, ...] = ()
    observe: bool = False

    def stands_on(self, part: Door | Permit) -> tuple[str, ...]:
        """The interfaces on which that door or permit counts."""
        return tuple(i for i in self.interfaces if self.counts_on(i, part))

    def counts_on(self, interface: str, part: Door | Permit) -> bool:
        return interface in self.interfaces and (not part.interfaces or interface in part.interfaces)

    @property
    def section(self) -> str:
        """The name of the part of the guard that this intent owns on its device."""
        return f"{self.control}_{self.pacs}"


class Setting(Value):
    """One value of a configuration that is a document. ``key``: the way to it; ``value``: canonical JSON."""

    key: tuple[str, ...]
    value: str


class Caller(Value):
    """Who may open associations with an archive: under which title, from where, and for what.

    ``address``: where it also listens, on ``port``, for what the archive opens to it; ``port`` None: it does not.
    """

    peer: Name
    ae_title: AETitle
    address: IPAddress
    port: Port | None = None
    roles: tuple[Role, ...]


class CallerIntent(Value):
    """What a control wants of an archive itself: associations only to its own title, and only from ``callers``."""

    pacs: Name
    control: Name
    device: Name
    ae_title: AETitle
    callers: tuple[Caller, ...]

    @property
    def section(self) -> str:
        return f"{self.control}_{self.pacs}"
