"""The addresses, names and ports of the real site: one value, so that a test can build another site."""

# ruff: noqa: RUF009 - addresses and networks are immutable, so a default may be shared

from __future__ import annotations

from dataclasses import dataclass
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


class ManagementLink(NamedTuple):
    """A /30 between this machine (``here``) and a host (``there``); ``name``: the link's end on this machine."""

    name: str
    here: IPv4Interface
    there: IPv4Interface


@dataclass(frozen=True, kw_only=True)
class Layout:
    """``published``: where the internet sees the archive; ``outside_*_port``: under which ports.

    ``vpn``: with a reader's place behind the internet and two VPNs from there; what is named for it counts only then.
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
        problems = [
            f"{address} is not in {network}"
            for network, members in (
                (self.wan_network, (self.internet, self.fw_wan, self.published)),
                (self.clinic_network, (self.clinic, self.fw_clinic)),
                (self.dmz_network, (self.pacs, self.fw_dmz)),
                *([(self.remote_network, (self.remote, self.remote_gateway))] if self.vpn else []),
            )
            for address in members
            if address not in network
        ]
        networks = [self.wan_network, self.clinic_network, self.dmz_network, self.management]
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

    @property
    def roles(self) -> tuple[str, ...]:
        return (*ROLES, REMOTE) if self.vpn else ROLES

    @property
    def managed(self) -> dict[str, int]:
        return MANAGED | {REMOTE: 4} if self.vpn else MANAGED

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
