"""``tls_only``: the archive itself speaks DICOM only inside TLS, and only with peers that have a certificate."""

from __future__ import annotations

from remediate.controls.acl import permits
from remediate.errors import PlanError
from remediate.model.observation import UNREACHED, Rung
from remediate.model.rule import TlsIntent, WayBack
from remediate.model.site import Addressing, Device, Pacs, ServiceKind


class TlsOnly:
    name = "tls_only"
    covers = frozenset({ServiceKind.DICOM, ServiceKind.DICOM_TLS})
    outside: frozenset[Rung] = UNREACHED | {Rung.TLS_CERTIFICATE_WANTED}
    everywhere = True
    leaves_open = (
        "tls_only asks for a certificate and not for address or AE title: whoever has one that config.tls.trusted "
        "vouches for gets in, revoked or not; the port stays reachable, web services are as before, and what the "
        "archive sends by itself (C-MOVE, storage commitment) may go in clear"
    )

    def devices(self, pacs: Pacs) -> tuple[str, ...]:
        return (pacs.name,)

    def intent(self, pacs: Pacs, device: Device, addressing: Addressing) -> TlsIntent:  # noqa: ARG002 -- no filter
        """Raises PlanError where files are not named, or a peer would be cut off."""
        assert device.config is not None  # an archive is no device without it
        if device.config.tls is None:
            raise PlanError(
                "tls_only needs its certificate, its private key, and whom it is to trust",
                where=pacs.name,
                next="name these files on its host: config: {tls: {certificate: …, key: …, trusted: …}}",
            )
        if len(device.config.dicom_ports) != 1:
            raise PlanError(
                f"{device.platform} has one port for DICOM, and the inventory names "
                f"{len(device.config.dicom_ports)}: with TLS on, nothing is answered in clear",
                where=pacs.name,
                next="correct its services in the inventory",
            )
        peers = tuple(peer for peer in pacs.access.peers if any(role.is_dicom for role in peer.roles))
        if plain := [peer.name for peer in peers if not peer.tls]:
            raise PlanError(
                f"these peers would be cut off, since nothing says that they speak TLS: {', '.join(plain)}",
                where=pacs.name,
                next="give each that has a certificate `tls: true` in access.peers; or use acl or vpn_only",
            )
        return TlsIntent(
            pacs=pacs.name,
            control=self.name,
            device=device.name,
            **dict(device.config.tls),
            peers=permits(pacs, peers),
            ways_back=ways_back(pacs),
        )


def ways_back(pacs: Pacs) -> tuple[WayBack, ...]:
    """Where it opens associations to its peers."""
    places = ((p.listens.address or p.address, p.listens.port) for p in pacs.access.peers if p.listens)
    return tuple(WayBack(address=address, port=port) for address, port in places if address is not None)


CONTROL = TlsOnly()
