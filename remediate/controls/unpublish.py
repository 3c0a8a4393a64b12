"""``unpublish``: the device stops translating an archive's published address to it. Nothing else changes."""

from __future__ import annotations

from remediate.errors import PlanError
from remediate.model.device import Device
from remediate.model.observation import UNREACHED, Rung
from remediate.model.origin import is_inside
from remediate.model.rule import UnpublishIntent
from remediate.model.site import Addressing, Pacs, Peer, Service, ServiceKind


class Unpublish:
    name = "unpublish"
    covers = frozenset(ServiceKind)
    #: Whatever the device itself then answers on that port: it must not be a service.
    outside: frozenset[Rung] = UNREACHED
    everywhere = False
    before_archive = True
    leaves_open = (
        "unpublish ends the translation alone: whoever reaches the archive's own address, through a VPN, another "
        "interface or another published address, still gets in; whoever configures the device can switch the forward "
        "on again; and the archive's own authentication is unchanged"
    )

    def services(self, pacs: Pacs) -> tuple[Service, ...]:
        return pacs.services

    def devices(self, pacs: Pacs) -> tuple[str, ...]:
        return pacs.protected_by

    def intent(self, pacs: Pacs, device: Device, addressing: Addressing) -> UnpublishIntent:  # noqa: ARG002 -- published
        """Raises PlanError where nothing is published by translation, and for peers that come in by what is."""
        own = {published.address for published in pacs.addresses.inside}
        doors = pacs.doors(Addressing.PUBLISHED)
        if not doors:
            raise PlanError(
                "the inventory names no outside address of it, so nothing is published that could be switched off",
                where=pacs.name,
                next="give it addresses.outside, or leave it out of this play",
            )
        if not own:
            raise PlanError(
                "its own address is not known, so no translation can be told to be to it",
                where=pacs.name,
                next="give it addresses.inside, or use acl",
            )
        if routed := [door.address for door in doors if door.address in own]:
            raise PlanError(
                f"{routed[0]} is its own address and is routed: nothing is published there that could be switched off",
                where=pacs.name,
                next="use acl",
            )
        for peer in pacs.access.peers:
            if _comes_from_outside(pacs, peer):
                raise PlanError(
                    f"peer {peer.name} ({peer.address or peer.network}) has a public address and no VPN, so it comes "
                    "in by the published address and would be cut off",
                    where=pacs.name,
                    next="bring it in through a VPN (via: vpn), or use acl, which lets it through",
                )
        return UnpublishIntent(
            pacs=pacs.name,
            control=self.name,
            device=device.name,
            interfaces=device.guard.interface,
            doors=doors,
            own=tuple(sorted(own, key=lambda address: (address.version, int(address)))),
            others=tuple(name for name in pacs.protected_by if name != device.name),
        )


def _comes_from_outside(pacs: Pacs, peer: Peer) -> bool:
    source = peer.source
    return (
        peer.via is None
        and any(peer.uses(service) for service in pacs.services)
        and any(seen.address.version == source.version for seen in pacs.addresses.outside)
        and not is_inside(source)
    )


CONTROL = Unpublish()
