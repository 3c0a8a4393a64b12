"""An edge router, and what an archive behind it wants of it."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

from remediate.model.device import Device, Guard
from remediate.model.rule import Intent, Permit
from remediate.model.site import Door
from tests.factories import intent

EDGE = Device(name="edge-1", platform="cisco_ios", guard=Guard(interface=("GigabitEthernet0/0",)))


def edge_intent(
    *,
    pacs: str = "pacs-north",
    door: str = "203.0.113.20",
    peers: int = 1,
    interfaces: tuple[str, ...] = EDGE.guard.interface,
) -> Intent:
    """Published under one address, where port 104 is seen as 11112."""
    return intent(
        pacs=pacs,
        device=EDGE.name,
        interfaces=interfaces,
        doors=(Door(address=ip_address(door), ports=((104, 11112), (8042, 8042))),),
        permits=tuple(
            Permit(peer=f"ct-{n}", source=ip_network(f"10.20.0.{9 + n}/32"), ports=(104,)) for n in range(1, peers + 1)
        ),
    )
