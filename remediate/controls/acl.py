"""``acl``: only known peers reach the archive's service ports from where the guard stands."""

from __future__ import annotations

from remediate.model.observation import UNREACHED, Rung
from remediate.model.rule import Intent, Permit
from remediate.model.site import Addressing, Device, Pacs, ServiceKind


class Acl:
    name = "acl"
    covers = frozenset(ServiceKind)
    outside: frozenset[Rung] = UNREACHED
    leaves_open = (
        "an ACL filters by address: whoever can send from a permitted peer's address still gets in, "
        "and the archive's own authentication is unchanged"
    )

    def devices(self, pacs: Pacs) -> tuple[str, ...]:
        return pacs.protected_by

    def intent(self, pacs: Pacs, device: Device, addressing: Addressing) -> Intent:
        """Peers that come by VPN arrive on an interface that the guard does not stand on: no permit for them."""
        permits = (
            Permit(
                peer=peer.name,
                source=peer.source,
                ports=tuple(sorted({service.port for service in pacs.services if peer.uses(service)})),
            )
            for peer in pacs.access.peers
            if peer.via is None
        )
        return Intent(
            pacs=pacs.name,
            control=self.name,
            device=device.name,
            interfaces=device.guard.interface,
            doors=pacs.doors(addressing),
            permits=tuple(permit for permit in permits if permit.ports),
        )


CONTROL = Acl()
