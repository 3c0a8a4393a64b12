"""``vpn_only``: from outside nobody reaches the archive's service ports but the peers that come through a VPN."""

from __future__ import annotations

from remediate.controls.acl import permits
from remediate.errors import PlanError
from remediate.model.device import Device
from remediate.model.observation import UNREACHED, Rung
from remediate.model.rule import Intent
from remediate.model.site import Addressing, Door, Pacs, Service, ServiceKind, Zone


class VpnOnly:
    name = "vpn_only"
    covers = frozenset(ServiceKind)
    outside: frozenset[Rung] = UNREACHED
    everywhere = False
    before_archive = True
    leaves_open = (
        "vpn_only trusts the VPN: whoever gets into it under a permitted peer's address reaches the archive, and the "
        "archive's own authentication is unchanged; a peer without `via: vpn` that comes from outside is shut out"
    )

    def services(self, pacs: Pacs) -> tuple[Service, ...]:
        return pacs.services

    def devices(self, pacs: Pacs) -> tuple[str, ...]:
        return pacs.protected_by

    def intent(self, pacs: Pacs, device: Device, addressing: Addressing) -> Intent:
        """On the interfaces that face outside no permit at all; on the VPN's those of the peers that come by it.

        Who comes by neither is not asked. Raises PlanError where there is no VPN, or nobody who comes by it.
        """
        if not device.guard.vpn:
            raise PlanError(
                f"the inventory does not say by which interface the VPN comes in, so {pacs.name} would be shut "
                "for everybody outside",
                where=device.name,
                next="name the tunnel interfaces: guard: {interface: ..., vpn: ...}; or use acl",
            )
        served = permits(pacs, (peer for peer in pacs.access.peers if peer.via == "vpn"), device.guard.vpn)
        if not served:
            raise PlanError(
                "none of its peers comes through a VPN to a service of its own",
                where=pacs.name,
                next="give those that do `via: vpn` in access.peers; or use acl",
            )
        return Intent(
            pacs=pacs.name,
            control=self.name,
            device=device.name,
            interfaces=(*device.guard.interface, *device.guard.vpn),
            doors=(
                *_on(device.guard.interface, pacs.doors(addressing)),
                *_on(device.guard.vpn, pacs.doors(addressing, Zone.INSIDE)),
            ),
            permits=served,
        )


def _on(interfaces: tuple[str, ...], doors: tuple[Door, ...]) -> tuple[Door, ...]:
    return tuple(door.model_copy(update={"interfaces": interfaces}) for door in doors)


CONTROL = VpnOnly()
