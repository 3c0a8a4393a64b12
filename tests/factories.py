"""Small values for tests: one PACS behind one firewall, one vantage outside, one in a peer's place."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address, ip_network
from typing import Any

from remediate.model.device import Device, Guard
from remediate.model.observation import CanaryReport, Observation, Question, Rung
from remediate.model.rule import Intent, Permit
from remediate.model.site import (
    Access,
    Addresses,
    Canary,
    Door,
    Pacs,
    Peer,
    Published,
    Role,
    Service,
    ServiceKind,
    Vantage,
    Zone,
)

NOON = datetime(2026, 1, 2, 12, 0, tzinfo=UTC)

CT = Peer(
    name="ct-1",
    address=ip_address("10.20.0.10"),
    ae_title="CLINICMOD",
    roles=(Role.STORE, Role.QUERY, Role.RETRIEVE, Role.WEB),
)
READERS = Peer(name="readers", network=ip_network("10.99.0.0/24"), roles=(Role.QUERY,), via="vpn")
INTERNET = Vantage(name="internet", zone=Zone.OUTSIDE, canaries=(Canary(address=ip_address("203.0.113.1"), port=443),))
CLINIC = Vantage(name="clinic", zone=Zone.INSIDE, peer="ct-1")
FIREWALL = Device(name="fw-north", platform="linux_nftables", guard=Guard(interface=("wan",)))

#: For each platform a running configuration that it reads, with nothing of ours in it.
RUNNING = {
    "cisco_ios": (
        "interface wan\n ip address 192.0.2.1 255.255.255.0\n ip nat outside\n"
        "ip nat inside source static tcp 10.10.0.5 104 203.0.113.20 11112 extendable\n"
    ),
    "conquest": "[sscscp]\nMicroPACS = sscscp\nMyACRNema = ORTHANC\nTCPPort = 5678\n",
    "dcm4chee_arc": (
        "dn: dicomDeviceName=arc,cn=Devices,dc=example\nobjectClass: dicomDevice\ndicomDeviceName: arc\n\n"
        "dn: dicomAETitle=ORTHANC,dicomDeviceName=arc,cn=Devices,dc=example\nobjectClass: dcmNetworkAE\n"
        "dicomAETitle: ORTHANC\ndicomAssociationAcceptor: TRUE\n\n"
    ),
    "dcmqrscp": "HostTable BEGIN\nHostTable END\nAETable BEGIN\nORTHANC /db RW (9, 64mb) ANY\nAETable END\n",
    "linux_nftables": (
        "table ip nat {\n\tchain prerouting {\n\t\ttype nat hook prerouting priority -100; policy accept;\n"
        "\t\tip daddr 203.0.113.20 dnat to 10.10.0.5\n\t}\n}\n"
    ),
    "nginx": (
        "# by hand\nserver {\n    listen 8042;\n    location /files/ { autoindex on; } # old\n}\n"
        "server { listen 8443; }\n"
    ),
    "orthanc": '{ "DicomAet" : "ORTHANC" }\n',
    "stunnel": "; by hand\n[dicom]\naccept = 104\nconnect = 127.0.0.1:105\ncert = /etc/tls/old.crt\n",
    "vsftpd": "# by hand\nlisten=YES\nlocal_enable=YES\n",
}


def pacs(**changes: Any) -> Pacs:
    values: dict[str, Any] = {
        "name": "pacs-north",
        "ae_title": "ORTHANC",
        "addresses": Addresses(
            inside=(Published(address=ip_address("10.10.0.5")),),
            outside=(Published(address=ip_address("203.0.113.20"), ports={104: 11112}),),
        ),
        "services": (
            Service(kind=ServiceKind.DICOM, port=104),
            Service(kind=ServiceKind.DICOMWEB, port=8042),
        ),
        "protected_by": ("fw-north",),
        "access": Access(peers=(CT, READERS)),
    }
    return Pacs(**(values | changes))


def doors(*addresses: Any, ports: Iterable[int]) -> tuple[Door, ...]:
    """Doors on which the archive is seen with its own ports."""
    own = tuple((port, port) for port in ports)
    return tuple(Door(address=ip_address(address), ports=own) for address in addresses)


def intent(**changes: Any) -> Intent:
    values: dict[str, Any] = {
        "pacs": "pacs-north",
        "control": "acl",
        "device": "fw-north",
        "interfaces": ("wan",),
        "doors": doors("10.10.0.5", "2001:db8::5", ports=(104, 8042)),
        "permits": (
            Permit(peer="ct-1", source=ip_network("10.20.0.10/32"), ports=(104,)),
            Permit(peer="far", source=ip_network("2001:db8:1::/48"), ports=(8042,)),
        ),
    }
    return Intent(**(values | changes))


def seen(question: Question, rung: Rung, *, after: float = 0.0, **more: Any) -> Observation:
    """``after``: seconds after NOON at which it was asked."""
    asked = NOON + timedelta(seconds=after)
    return Observation(
        question=question, rung=rung, asked_at=asked, answered_at=asked + timedelta(seconds=1), elapsed=1.0, **more
    )


def canary(vantage: str, alive: bool = True) -> CanaryReport:
    return CanaryReport(vantage=vantage, alive=alive, at=NOON)
