"""The addresses, names and ports of the real site: one value, so that a test can build another site."""

# ruff: noqa: RUF009 - addresses and networks are immutable, so a default may be shared

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import Final, NamedTuple

from remediate.errors import UsageError

#: Everything that the lab makes outside its own folder begins with this.
PREFIX: Final = "rmd-"
ROLES: Final = ("internet", "clinic", "fw", "pacs")
#: In a lab with VPNs: a reader's place.
REMOTE: Final = "remote"
#: The hosts with a link to this machine and an sshd, and which /24 of the management network is theirs.
MANAGED: Final = {"internet": 1, "clinic": 2, "pacs": 3, "fw": 99}
#: One firewall each; the inventory's groups, and the end of the names of what stands there.
PLACES: Final = ("north", "south", "east", "west")
#: Of all places together, so that every host finds a /24 of the management network: 11 to 98 are theirs.
MOST_ARCHIVES: Final = 40


class ManagementLink(NamedTuple):
    """A /30 between this machine (``here``) and a host (``there``); ``name``: the link's end on this machine."""

    name: str
    here: IPv4Interface
    there: IPv4Interface


class Firewall(NamedTuple):
    """``role``: its host; ``name``: in the inventory; ``wan``, ``clinic`` and ``dmz``: its address on each side."""

    role: str
    name: str
    place: str
    wan: IPv4Address
    clinic: IPv4Address
    dmz_network: IPv4Network
    dmz: IPv4Address


class Archive(NamedTuple):
    """``light``: DCMTK's dcmqrscp, with DICOM alone; otherwise Orthanc, with DICOMweb and web pages too."""

    role: str
    name: str
    firewall: Firewall
    address: IPv4Address
    published: IPv4Address
    ae_title: str
    light: bool


@dataclass(frozen=True, kw_only=True)
class Layout:
    """``published``: where the internet sees the archive; ``outside_*_port``: under which ports.

    ``vpn``: with a reader's place behind the internet and two VPNs from there; what is named for it counts only then.
    ``archive_count``, ``firewall_count``: of them; the archives are shared out in blocks, in order. What else is said
    here is of the first of each: every further one has the next address in the same network, and every further
    firewall's archives the next network. The first archive behind a firewall is an Orthanc, the others are light.
    """

    wan_network: IPv4Network = IPv4Network("203.0.113.0/24")
    internet: IPv4Address = IPv4Address("203.0.113.10")
    fw_wan: IPv4Address = IPv4Address("203.0.113.1")
    published: IPv4Address = IPv4Address("203.0.113.20")
    clinic_network: IPv4Network = IPv4Network("10.20.0.0/24")
    clinic: IPv4Address = IPv4Address("10.20.0.10")
    fw_clinic: IPv4Address = IPv4Address("10.20.0.1")
    dmz_network: IPv4Network = IPv4Network("10.10.0.0/24")
    pacs: IPv4Address = IPv4Address("10.10.0.5")
    fw_dmz: IPv4Address = IPv4Address("10.10.0.1")
    management: IPv4Network = IPv4Network("10.99.0.0/16")
    archive_count: int = 1
    firewall_count: int = 1
    vpn: bool = False
    remote_network: IPv4Network = IPv4Network("192.0.2.0/24")
    remote: IPv4Address = IPv4Address("192.0.2.10")
    remote_gateway: IPv4Address = IPv4Address("192.0.2.1")
    vpn_network: IPv4Network = IPv4Network("10.98.0.0/16")

    wan_interface: str = "wan"
    clinic_interface: str = "clinic"
    dmz_interface: str = "dmz"
    management_interface: str = "mgmt"
    openvpn_interface: str = "tun0"
    wireguard_interface: str = "wg0"

    ae_title: str = "ORTHANC"
    clinic_ae_title: str = "CLINICMOD"
    dicom_port: int = 104
    web_port: int = 8042
    outside_dicom_port: int = 104
    outside_web_port: int = 8042
    listen_port: int = 104
    canary_port: int = 443

    def __post_init__(self) -> None:
        self._check_counts()
        members: list[tuple[IPv4Network, list[IPv4Address]]] = [
            (
                self.wan_network,
                [self.internet, *(f.wan for f in self.firewalls), *(a.published for a in self.archives)],
            ),
            (self.clinic_network, [self.clinic, *(f.clinic for f in self.firewalls)]),
            *((f.dmz_network, [f.dmz, *(a.address for a in self.archives_behind(f))]) for f in self.firewalls),
            *([(self.remote_network, [self.remote, self.remote_gateway])] if self.vpn else []),
        ]
        problems = [
            f"{address} is not in {network}"
            for network, addresses in members
            for address in addresses
            if address not in network
        ]
        problems += [
            f"two hosts would have {address}"
            for _, addresses in members
            for address in sorted({a for a in addresses if addresses.count(a) > 1})
        ]
        networks = [network for network, _ in members if network != self.remote_network] + [self.management]
        networks += [self.remote_network, self.vpn_network] if self.vpn else []
        problems += [
            f"{one} overlaps {other}"
            for number, one in enumerate(networks)
            for other in networks[number + 1 :]
            if one.overlaps(other)
        ]
        if self.management.prefixlen > 16:
            problems.append(f"{self.management} has no room for a /24 per host")
        if self.vpn and self.vpn_network.prefixlen > 16:
            problems.append(f"{self.vpn_network} has no room for a /24 per tunnel")
        names = [self.wan_interface, self.clinic_interface, self.dmz_interface, self.management_interface]
        names += self.tunnels
        if len(set(names)) < len(names):
            problems.append("two interfaces of the firewall have one name")
        problems += [f"{name!r} is not an interface name" for name in names if not 0 < len(name) < 16 or "/" in name]
        if problems:
            raise UsageError("this layout cannot be built: " + "; ".join(problems), next="change these fields")

    def _check_counts(self) -> None:
        """Before anything is derived from them. Raises: UsageError."""
        if not 1 <= self.firewall_count <= len(PLACES):
            wrong = f"a lab has 1 to {len(PLACES)} firewalls, and this one would have {self.firewall_count}"
        elif not self.firewall_count <= self.archive_count <= MOST_ARCHIVES:
            wrong = (
                f"a lab has an archive for each firewall at least, and {MOST_ARCHIVES} at most: with "
                f"{self.firewall_count} firewalls it cannot have {self.archive_count}"
            )
        elif self.vpn and self.firewall_count > 1:
            wrong = f"the lab's VPNs end at one firewall, and this one would have {self.firewall_count}"
        else:
            return
        raise UsageError(f"this layout cannot be built: {wrong}", next="give other numbers")

    @cached_property
    def firewalls(self) -> tuple[Firewall, ...]:
        size = self.dmz_network.num_addresses
        return tuple(
            Firewall(
                role=_numbered("fw", number),
                name=f"fw-{place}",
                place=place,
                wan=self.fw_wan + number,
                clinic=self.fw_clinic + number,
                dmz_network=IPv4Network(
                    (int(self.dmz_network.network_address) + number * size, self.dmz_network.prefixlen)
                ),
                dmz=self.fw_dmz + number * size,
            )
            for number, place in enumerate(PLACES[: self.firewall_count])
        )

    @cached_property
    def archives(self) -> tuple[Archive, ...]:
        """In the order of the inventory, the first firewall's first."""
        size, rest = divmod(self.archive_count, self.firewall_count)
        archives: list[Archive] = []
        for at, firewall in enumerate(self.firewalls):
            for behind in range(size + (at < rest)):
                number = len(archives)
                archives.append(
                    Archive(
                        role=_numbered("pacs", number),
                        name=_numbered(f"pacs-{firewall.place}", behind, "-"),
                        firewall=firewall,
                        address=self.pacs + at * self.dmz_network.num_addresses + behind,
                        published=self.published + number,
                        ae_title=_numbered(self.ae_title, number),
                        light=behind > 0,
                    )
                )
        return tuple(archives)

    def archives_behind(self, firewall: Firewall) -> tuple[Archive, ...]:
        return tuple(archive for archive in self.archives if archive.firewall == firewall)

    def archive(self, name: str) -> Archive:
        """By its name or its host's role. Raises: KeyError."""
        return {key: archive for archive in self.archives for key in (archive.name, archive.role)}[name]

    @property
    def roles(self) -> tuple[str, ...]:
        firewalls, archives = ([host.role for host in hosts] for hosts in (self.firewalls, self.archives))
        return ("internet", "clinic", *firewalls, *archives, *([REMOTE] if self.vpn else []))

    @property
    def managed(self) -> dict[str, int]:
        """Role → which /24 of the management network is its own."""
        more = {firewall.role: MANAGED["fw"] + n for n, firewall in enumerate(self.firewalls)}
        more |= {archive.role: 10 + n if n else MANAGED["pacs"] for n, archive in enumerate(self.archives)}
        return MANAGED | more | ({REMOTE: 4} if self.vpn else {})

    def hostname(self, role: str) -> str:
        """What the host calls itself."""
        return {firewall.role: firewall.name for firewall in self.firewalls}.get(role, role)

    @property
    def tunnels(self) -> tuple[str, ...]:
        """The interfaces, called the same at both ends; () in a lab without VPNs."""
        return (self.openvpn_interface, self.wireguard_interface) if self.vpn else ()

    def tunnel_ends(self, interface: str) -> tuple[IPv4Address, IPv4Address]:
        """In that tunnel, the firewall's address and the reader's."""
        first = self.vpn_network.network_address + 256 * (1 + self.tunnels.index(interface))
        return first + 1, first + 2

    @staticmethod
    def namespace(role: str) -> str:
        return PREFIX + role

    def management_link(self, role: str) -> ManagementLink:
        number = self.managed[role]
        first = int(self.management.network_address) + number * 256
        here, there = (IPv4Interface((first + last, 30)) for last in (1, 2))
        return ManagementLink(f"{PREFIX}m{number}", here, there)

    def management_address(self, role: str) -> str:
        return str(self.management_link(role).there.ip)


def _numbered(name: str, number: int, separator: str = "") -> str:
    """The first has no number, the others count from 2."""
    return f"{name}{separator}{number + 1}" if number else name
