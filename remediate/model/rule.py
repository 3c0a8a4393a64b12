"""Vendor-neutral packet-filter rules and settings, and what a control wants of a device."""

from __future__ import annotations

from enum import StrEnum

from remediate.model.base import AETitle, Name, Port, Value
from remediate.model.site import Door, IPAddress, IPNetwork, Role, ServiceKind


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


class Unpublished(Value):
    """One port of a published address of which nothing is translated any more that comes in by ``interfaces``.

    What was translated before and is still open passes no longer, in either direction.
    """

    interfaces: tuple[str, ...]
    address: IPAddress
    port: Port
    note: str = ""


class UnpublishIntent(Value):
    """What a control wants of a device that publishes an archive by translating addresses: that it stops doing so.

    Nothing that comes in by ``interfaces`` to the ``doors`` is translated to the archive. ``own``: its own addresses,
    by which a translation is known as the archive's. ``others``: devices that may publish those of the doors that
    this one does not.
    """

    pacs: Name
    control: Name
    device: Name
    interfaces: tuple[str, ...]
    doors: tuple[Door, ...]
    own: tuple[IPAddress, ...]
    others: tuple[Name, ...] = ()

    @property
    def section(self) -> str:
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


class WayBack(Value):
    """Where an archive opens associations itself; what is open there would end with a restart."""

    address: IPAddress
    port: Port


class Behind(Value):
    """Where a front passes on what it lets in."""

    address: IPAddress
    port: Port


class ArchiveIntent(Value):
    """What a control wants of an archive itself, as every such intent says it."""

    pacs: Name
    control: Name
    device: Name

    @property
    def section(self) -> str:
        return f"{self.control}_{self.pacs}"


class CallerIntent(ArchiveIntent):
    """Associations only to its own title, and only from ``callers``."""

    ae_title: AETitle
    callers: tuple[Caller, ...]

    @property
    def ways_back(self) -> tuple[WayBack, ...]:
        return tuple(WayBack(address=c.address, port=c.port) for c in self.callers if c.port is not None)


class TlsIntent(ArchiveIntent):
    """DICOM only inside TLS, and only with a certificate that ``trusted`` vouches for; PEM files on the device's host.

    ``ports``: the archive's own of the services that are to be so; ``peers``: who is to be served there. ``behind``: of
    a front, where the archive itself answers, in clear.
    """

    ports: tuple[Port, ...]
    behind: tuple[Behind, ...] = ()

    certificate: str
    key: str
    trusted: str
    peers: tuple[Permit, ...]
    ways_back: tuple[WayBack, ...] = ()


class WebLoginIntent(ArchiveIntent):
    """Its web pages, REST interface, DICOMweb and files only for users that are registered there by hand.

    ``ports``: the archive's own of the services that are to be so, ``kinds`` what these are. Of a front, ``users``: the
    file of those who may come in; ``certificate`` and ``key``: what it is to speak HTTPS with, where it does not.
    """

    ports: tuple[Port, ...]
    kinds: tuple[ServiceKind, ...] = (ServiceKind.WEB,)
    users: str | None = None
    certificate: str | None = None
    key: str | None = None
    ways_back: tuple[WayBack, ...] = ()


#: Every intent that an archive may carry out.
ArchiveIntents = CallerIntent | TlsIntent | WebLoginIntent
#: Every intent that there is.
AnyIntent = Intent | UnpublishIntent | ArchiveIntents
