"""``unpublish``: the device stops translating an archive's published address to it. Nothing else changes."""

from __future__ import annotations

from ipaddress import ip_network

from remediate.errors import PlanError
from remediate.model.device import Device
from remediate.model.observation import UNREACHED, Rung
from remediate.model.rule import UnpublishIntent
from remediate.model.site import Addressing, Pacs, Peer, Service, ServiceKind

#: Addresses that no packet from the internet comes from: RFC 1918, 1122, 3927 and 6598; RFC 4193 and 4291.
_INSIDE = tuple(
    ip_network(text)
    for text in (
        *("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "127.0.0.0/8", "169.254.0.0/16", "100.64.0.0/10"),
        *("fc00::/7", "fe80::/10", "::1/128"),
    )
)


class Unpublish:
    name = "unpublish"
    covers = frozenset(ServiceKind)
    #: Whatever the device itself then answers on that port: it must not be a service.
    outside: frozenset[Rung] = UNREACHED
    everywhere = False
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
        and not any(source.version == inside.version and source.subnet_of(inside) for inside in _INSIDE)  # type: ignore[arg-type]  # of one version
    )


CONTROL = Unpublish()
