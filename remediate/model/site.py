"""PACS, vantages and the whole site, as the inventory describes them."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Literal

from pydantic import Field, SecretStr

from remediate.errors import ScopeError
from remediate.model.base import AETitle, Name, Port, Value
from remediate.model.device import Device, Login

IPAddress = IPv4Address | IPv6Address
IPNetwork = IPv4Network | IPv6Network


class ServiceKind(StrEnum):
    DICOM = "dicom"
    DICOM_TLS = "dicom_tls"
    DICOMWEB = "dicomweb"
    WEB = "web"
    FTP = "ftp"

    @property
    def is_dicom(self) -> bool:
        return self in DICOM_KINDS

    @property
    def is_web(self) -> bool:
        return self in (ServiceKind.DICOMWEB, ServiceKind.WEB)


#: Looked up several times a connection.
DICOM_KINDS = frozenset({ServiceKind.DICOM, ServiceKind.DICOM_TLS})


class Zone(StrEnum):
    OUTSIDE = "outside"
    INSIDE = "inside"


class Role(StrEnum):
    """What a peer does with the archive (PS3.4: storage, query/retrieve, MWL, MPPS, storage commitment)."""

    STORE = "store"
    QUERY = "query"
    RETRIEVE = "retrieve"
    MWL = "mwl"
    MPPS = "mpps"
    STGCMT = "stgcmt"
    HL7 = "hl7"
    WEB = "web"

    @property
    def is_dicom(self) -> bool:
        return self not in (Role.HL7, Role.WEB)


class Service(Value):
    """A service of a PACS, on the port where the PACS itself listens, or its front.

    ``front``: the device that answers there in its place, and passes on what it lets in.
    """

    kind: ServiceKind
    port: Port
    front: Name | None = None

    def serves(self, role: Role) -> bool:
        return (role.is_dicom and self.kind.is_dicom) or (role is Role.WEB and self.kind.is_web)


class Published(Value):
    """An address under which a PACS is seen. ``ports``: its own port → the port seen there, where translated.

    ``services``: its own ports of the services that are there; () for all of them.
    """

    address: IPAddress
    ports: dict[Port, Port] = {}
    services: tuple[Port, ...] = ()

    def has(self, service: Service) -> bool:
        return not self.services or service.port in self.services

    def port_of(self, service: Service) -> int:
        return self.ports.get(service.port, service.port)


class Addressing(StrEnum):
    """Which addresses a filter on a device must name, where destination NAT stands before or behind it."""

    REAL = "real"
    PUBLISHED = "published"


class Door(Value):
    """One way to a PACS, as a filter sees it: an address, and its service ports → the ports seen there.

    ``interfaces``: those of the guard's that it is guarded on; () for all of them.
    """

    address: IPAddress
    ports: tuple[tuple[Port, Port], ...]
    interfaces: tuple[str, ...] = ()

    @property
    def seen(self) -> tuple[int, ...]:
        return tuple(sorted({port for _, port in self.ports}))

    def of(self, service_ports: Collection[int]) -> tuple[int, ...]:
        """The ports seen for those service ports."""
        return tuple(sorted({port for service, port in self.ports if service in service_ports}))


class Addresses(Value):
    """The addresses of a PACS as seen from inside and from outside (IPv4, IPv6, each WAN)."""

    inside: tuple[Published, ...] = ()
    outside: tuple[Published, ...] = ()

    def seen_from(self, zone: Zone) -> tuple[Published, ...]:
        """From inside, an archive without an inside address is reached under its outside one."""
        return self.outside if zone is Zone.OUTSIDE else self.inside or self.outside


class Listens(Value):
    """Where a peer accepts associations from the PACS (C-MOVE, storage commitment)."""

    port: Port
    address: IPAddress | None = None


class Peer(Value):
    """Someone who may reach the archive: one ``address`` or one ``network``, and what it does there.

    ``tls``: it speaks DICOM inside TLS, and has a certificate of its own.
    """

    name: Name
    address: IPAddress | None = None
    network: IPNetwork | None = None
    ae_title: AETitle | None = None
    roles: tuple[Role, ...]
    listens: Listens | None = None
    via: Literal["vpn"] | None = None
    tls: bool = False

    @property
    def source(self) -> IPNetwork:
        if self.network is not None:
            return self.network
        assert self.address is not None  # the inventory demands one of the two
        return IPv4Network(self.address) if self.address.version == 4 else IPv6Network(self.address)

    def uses(self, service: Service) -> bool:
        """Whether one of its roles needs that service."""
        return any(service.serves(role) for role in self.roles)


class Destination(Value):
    """Where the archive itself opens connections to: its business, never closed by a guard."""

    name: Name
    address: IPAddress
    port: Port


class Access(Value):
    peers: tuple[Peer, ...] = ()
    destinations: tuple[Destination, ...] = ()


class Pacs(Value):
    """A medical-image archive. ``protected_by``: one device per path in; one open path is exposed."""

    name: Name
    platform: str | None = None
    ae_title: AETitle
    addresses: Addresses
    services: tuple[Service, ...]
    protected_by: tuple[Name, ...] = ()
    access: Access = Access()

    @property
    def fronts(self) -> tuple[Name, ...]:
        """The devices that answer in its place, each once."""
        return tuple(dict.fromkeys(service.front for service in self.services if service.front is not None))

    def seen_from(self, zone: Zone) -> tuple[tuple[Published, Service], ...]:
        """Every place where a service of its is seen from there."""
        return tuple((p, s) for p in self.addresses.seen_from(zone) for s in self.services if p.has(s))

    def doors(self, addressing: Addressing, zone: Zone = Zone.OUTSIDE) -> tuple[Door, ...]:
        """``REAL``: every address of its own that may stand in a packet behind address translation, with its own
        ports; a published one too, since it may be routed without any translation. ``PUBLISHED``: those outside, and
        for packets that come from ``INSIDE`` the inside ones too.
        """
        if addressing is Addressing.REAL:
            seen = (*self.addresses.inside, *self.addresses.outside)
            ports = {
                a: tuple((s.port, s.port) for s in self.services if self._at(a, s)) for a in (p.address for p in seen)
            }
            doors = [Door(address=address, ports=pairs) for address, pairs in ports.items()]
        else:
            seen = (*(self.addresses.inside if zone is Zone.INSIDE else ()), *self.addresses.outside)
            doors = [
                Door(address=p.address, ports=tuple((s.port, p.port_of(s)) for s in self.services if p.has(s)))
                for p in seen
            ]
        return tuple(sorted(dict.fromkeys(doors), key=lambda door: (door.address.version, int(door.address))))

    def _at(self, address: IPAddress, service: Service) -> bool:
        """Whether that service is there on either side."""
        both = (*self.addresses.inside, *self.addresses.outside)
        return any(p.has(service) for p in both if p.address == address)


class Canary(Value):
    """An endpoint that must answer, so that a dead vantage never looks like a closed port.

    ``behind``: the device that it stands behind. Where it answers on the port on which an archive behind the same
    device does not, that device's rules are the reason.
    """

    address: IPAddress
    port: Port
    behind: Name | None = None


class LocalVia(Value):
    """From this machine, optionally from one of its addresses."""

    source: IPAddress | None = None

    @property
    def words(self) -> str:
        return "this machine" + (f", from {self.source}" if self.source else "")


class SshVia(Value):
    """Through an SSH server that opens the TCP connection (RFC 4254 7.2, direct-tcpip); no agent there.

    ``key`` and ``known_hosts`` are absolute paths.
    """

    host: str
    port: Port = 22
    user: str
    key: str | None = None
    known_hosts: str

    @property
    def words(self) -> str:
        return f"over SSH, {self.user}@{self.host} port {self.port}"


class SocksVia(Value):
    """Through a SOCKS5 server (RFC 1928) that opens the TCP connection."""

    host: str
    port: Port = 1080
    username: str | None = None
    password: SecretStr | None = Field(default=None, exclude=True)

    @property
    def words(self) -> str:
        return f"through the SOCKS server {self.host} port {self.port}"


class ClientCertificate(Value):
    """What a peer shows in a TLS handshake: PEM files, absolute paths. ``key``: None where it is in the same file."""

    certificate: str
    key: str | None = None


class Vantage(Value):
    """A place to look from. ``peer``: whose place it is, so that its AE title may be used there.

    ``client_certificate``: that peer's own, shown only from there.
    """

    name: Name
    zone: Zone
    via: LocalVia | SshVia | SocksVia = Field(union_mode="left_to_right", default=LocalVia())
    peer: Name | None = None
    client_certificate: ClientCertificate | None = None
    canaries: tuple[Canary, ...] = ()


class Authorisation(Value):
    """Leave to probe a network: who gave it (``reference``), and the last day on which it counts."""

    network: IPNetwork
    reference: str
    expires: date

    def ended(self, today: date) -> str:
        """In words that it has; "" while it counts."""
        if today <= self.expires:
            return ""
        return f"the authorisation {self.reference} for {self.network} ended on {self.expires}"


class Scope(Value):
    """The only addresses that a packet of ours may go to.

    ``addresses``: None for every one that is authorised. ``authorised``: () where ``addresses`` alone decides.
    """

    addresses: frozenset[IPAddress] | None
    authorised: tuple[Authorisation, ...] = ()

    def ended(self, address: IPAddress, today: date) -> str:
        """In words that every authorisation for it has; "" while one counts, and where there is none."""
        words = [one.ended(today) for one in self.authorised if address in one.network]
        return "" if "" in words else "; ".join(words)

    def covers(self, address: IPAddress) -> bool:
        """Whether it was ever authorised."""
        return not self.authorised or any(address in one.network for one in self.authorised)

    def check(self, address: IPAddress, port: int, today: date) -> None:
        """Raises ScopeError. ``today``: in UTC."""
        if self.allows(address, today):
            return
        if self.addresses is not None and address not in self.addresses:
            raise ScopeError(
                "this address is not in the inventory; nothing was sent",
                where=f"{address} port {port}",
                next="add it to the addresses of a PACS or the canaries of a vantage, if it may be asked",
            )
        if not (ended := self.ended(address, today)):
            raise ScopeError(
                "no authorisation covers this address; nothing was sent",
                where=f"{address} port {port}",
                next="add its network to data.scope in defaults.yaml, with the reference of who allowed it",
            )
        raise ScopeError(
            f"{ended}; nothing was sent",
            where=f"{address} port {port}",
            next="have it renewed, then change `expires` in data.scope of defaults.yaml",
        )

    def allows(self, address: IPAddress, today: date) -> bool:
        """What ``check`` asks, before every connection of a sweep."""
        if self.addresses is not None and address not in self.addresses:
            return False
        if not self.authorised:
            return self.addresses is not None
        for one in self.authorised:  # noqa: SIM110 -- for each target of a sweep; a generator takes as long again
            if address in one.network and today <= one.expires:
                return True
        return False


class Limits(Value):
    """How gently archives are asked; None: no limit.

    ``per_host``: connections a second to one PACS, ``per_site`` to all together. ``associations``: DICOM associations
    with one PACS in one round of questions.
    """

    per_host: float | None = Field(default=None, gt=0)
    per_site: float | None = Field(default=None, gt=0)
    associations: int | None = Field(default=None, ge=1)


class Site(Value):
    """Everything that an inventory describes, by name. ``logins``: by device.

    ``authorised``: the inventory's ``scope:``; () where it has none, and its own addresses are the scope.
    """

    pacs: dict[str, Pacs] = {}
    devices: dict[str, Device] = {}
    vantages: dict[str, Vantage] = {}
    authorised: tuple[Authorisation, ...] = ()
    limits: Limits = Limits()
    logins: dict[str, Login] = Field(default={}, exclude=True, repr=False)

    def scope(self) -> Scope:
        """The archives' own addresses and the canaries', as far as they are authorised."""
        pacs = {p.address for one in self.pacs.values() for p in (*one.addresses.inside, *one.addresses.outside)}
        canaries = {c.address for one in self.vantages.values() for c in one.canaries}
        return Scope(addresses=frozenset(pacs | canaries), authorised=self.authorised)
