"""``acl``: only known peers reach the archive's service ports from where the guard stands."""

from __future__ import annotations

from collections.abc import Iterable

from remediate.model.device import Device
from remediate.model.observation import UNREACHED, Rung
from remediate.model.rule import Intent, Permit
from remediate.model.site import Addressing, Pacs, Peer, Service, ServiceKind


class Acl:
    name = "acl"
    covers = frozenset(ServiceKind)
    outside: frozenset[Rung] = UNREACHED
    everywhere = False
    before_archive = True
    leaves_open = (
        "an ACL filters by address: whoever can send from a permitted peer's address still gets in, "
        "and the archive's own authentication is unchanged"
    )

    def services(self, pacs: Pacs) -> tuple[Service, ...]:
        return pacs.services

    def devices(self, pacs: Pacs) -> tuple[str, ...]:
        return pacs.protected_by

    def intent(self, pacs: Pacs, device: Device, addressing: Addressing) -> Intent:
        """Peers that come by VPN arrive on an interface that the guard does not stand on: no permit for them."""
        return Intent(
            pacs=pacs.name,
            control=self.name,
            device=device.name,
            interfaces=device.guard.interface,
            doors=pacs.doors(addressing),
            permits=permits(pacs, (peer for peer in pacs.access.peers if peer.via is None)),
        )


def permits(pacs: Pacs, peers: Iterable[Peer], interfaces: tuple[str, ...] = ()) -> tuple[Permit, ...]:
    """One for each peer that uses a service of that PACS."""
    ports = {peer: tuple(sorted({s.port for s in pacs.services if peer.uses(s)})) for peer in peers}
    return tuple(
        Permit(peer=peer.name, source=peer.source, ports=used, interfaces=interfaces)
        for peer, used in ports.items()
        if used
    )


CONTROL = Acl()
