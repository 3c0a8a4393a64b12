"""``tls_only``: the archive, or a front of it, speaks DICOM only inside TLS, and only with who has a certificate.

The plain port of an archive behind a front stays as it is: inside it goes on serving, and from outside it must not be
reached.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from remediate.controls import fronts
from remediate.controls.acl import permits
from remediate.errors import PlanError
from remediate.model.device import Device
from remediate.model.observation import UNREACHED, Rung
from remediate.model.rule import Behind, Permit, TlsIntent, WayBack
from remediate.model.site import Addressing, Pacs, Service, ServiceKind, Zone


class TlsOnly:
    name = "tls_only"
    covers = frozenset({ServiceKind.DICOM, ServiceKind.DICOM_TLS})
    outside: frozenset[Rung] = UNREACHED | {Rung.TLS_CERTIFICATE_WANTED}
    everywhere = True
    before_archive = False
    leaves_open = (
        "tls_only asks for a certificate and not for address or AE title: whoever has one that config.tls.trusted "
        "vouches for gets in, revoked or not; the port stays reachable, web services are as before, and what the "
        "archive sends by itself (C-MOVE, storage commitment) may go in clear"
    )

    def services(self, pacs: Pacs) -> tuple[Service, ...]:
        return fronts.answering(pacs, self.covers)

    def devices(self, pacs: Pacs) -> tuple[str, ...]:
        return fronts.carriers(pacs, self.services(pacs))

    def intent(self, pacs: Pacs, device: Device, addressing: Addressing) -> TlsIntent:  # noqa: ARG002 -- no filter
        """Raises PlanError where files are not named, or a peer would be cut off."""
        assert device.config is not None  # neither an archive nor a front is a device without it
        tls = device.config.tls
        if tls is None or tls.trusted is None:
            raise PlanError(
                "tls_only needs its certificate, its private key, and whom it is to trust",
                where=device.name,
                next="name these files on its host: config: {tls: {certificate: …, key: …, trusted: …}}",
            )
        behind_front = device.name in pacs.fronts
        ports = fronts.of(pacs, self.services(pacs), device.name)
        if len(ports) != 1 and not behind_front:
            raise PlanError(
                f"{device.platform} has one port for DICOM, and the inventory names {len(ports)}: with TLS on, "
                "nothing is answered in clear",
                where=pacs.name,
                next="correct its services in the inventory",
            )
        peers = tuple(peer for peer in pacs.access.peers if any(role.is_dicom for role in peer.roles))
        plain = [peer.name for peer in peers if not peer.tls]
        behind = _behind(pacs, self.covers) if behind_front else ()
        if plain and not behind:
            raise PlanError(
                f"these peers would be cut off, since nothing says that they speak TLS: {', '.join(plain)}",
                where=pacs.name,
                next="give each that has a certificate `tls: true` in access.peers; or use acl or vpn_only",
            )
        return TlsIntent(
            pacs=pacs.name,
            control=self.name,
            device=device.name,
            certificate=tls.certificate,
            key=tls.key,
            trusted=tls.trusted,
            ports=ports,
            peers=_on(ports, permits(pacs, (peer for peer in peers if peer.tls))),
            behind=behind,
            # A front opens no association: what the archive opens does not pass it.
            ways_back=() if behind_front else ways_back(pacs),
        )


def _on(ports: Collection[int], made: Iterable[Permit]) -> tuple[Permit, ...]:
    """Who uses the web is asked for no certificate there."""
    kept = ((permit, tuple(port for port in permit.ports if port in ports)) for permit in made)
    return tuple(permit.model_copy(update={"ports": some}) for permit, some in kept if some)


def _behind(pacs: Pacs, kinds: Collection[ServiceKind]) -> tuple[Behind, ...]:
    own = ((where, one) for where, one in pacs.seen_from(Zone.INSIDE) if one.front is None and one.kind in kinds)
    return tuple(Behind(address=where.address, port=where.port_of(one)) for where, one in own)


def ways_back(pacs: Pacs) -> tuple[WayBack, ...]:
    """Where it opens associations to its peers."""
    places = ((p.listens.address or p.address, p.listens.port) for p in pacs.access.peers if p.listens)
    return tuple(WayBack(address=address, port=port) for address, port in places if address is not None)


CONTROL = TlsOnly()
