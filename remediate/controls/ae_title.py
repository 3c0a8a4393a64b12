"""``ae_title``: the archive itself accepts associations only from known callers, by title and address."""

from __future__ import annotations

from remediate.errors import PlanError
from remediate.model.device import Device
from remediate.model.observation import UNREACHED, Rung
from remediate.model.rule import Caller, CallerIntent
from remediate.model.site import Addressing, Pacs, Peer, Service, ServiceKind

#: PACS products whose calling AE titles cannot be restricted, and why.
CANNOT = {
    "horos": "its check of the calling AE title is commented out in its source",
    "osirix": "no setting of its that restricts calling AE titles is documented",
}


class AeTitle:
    name = "ae_title"
    covers = frozenset({ServiceKind.DICOM, ServiceKind.DICOM_TLS})
    #: An archive that decides only once it has associated ends the association before it serves anything.
    outside: frozenset[Rung] = UNREACHED | {Rung.REJECTED, Rung.ABORTED}
    everywhere = False
    before_archive = False
    leaves_open = (
        "an AE-title filter is not authentication: whoever sends from a known caller's address under its title is "
        "let in, and the port stays reachable from everywhere"
    )

    def services(self, pacs: Pacs) -> tuple[Service, ...]:
        return tuple(service for service in pacs.services if service.kind in self.covers)

    def devices(self, pacs: Pacs) -> tuple[str, ...]:
        """The archive itself. Raises PlanError where it cannot be configured."""
        if pacs.platform in CANNOT:
            raise PlanError(
                f"{pacs.platform} cannot filter by AE title: {CANNOT[pacs.platform]}",
                where=pacs.name,
                next="close it with acl or vpn_only, and leave it out of this play",
            )
        return (pacs.name,)

    def intent(self, pacs: Pacs, device: Device, addressing: Addressing) -> CallerIntent:  # noqa: ARG002 -- no filter
        """Raises PlanError for a peer that no archive could tell from others."""
        fronts = tuple(dict.fromkeys(s.front for s in self.services(pacs) if s.front is not None))
        if fronts and (inside := [peer.name for peer in pacs.access.peers if peer.tls]):
            raise PlanError(
                f"{', '.join(inside)} come by the front {', '.join(fronts)}, and the archive sees the front's address, "
                "not theirs",
                where=pacs.name,
                next="leave ae_title out: the front lets in whoever has a certificate",
            )
        return CallerIntent(
            pacs=pacs.name,
            control=self.name,
            device=device.name,
            ae_title=pacs.ae_title,
            callers=tuple(_caller(pacs, p) for p in pacs.access.peers if any(role.is_dicom for role in p.roles)),
        )


def _caller(pacs: Pacs, peer: Peer) -> Caller:
    where = f"{pacs.name}, peer {peer.name}"
    if peer.address is None:
        raise PlanError(
            f"the network {peer.network} cannot be said in an AE-title filter: it takes single addresses",
            where=where,
            next="list its stations as peers of their own, or leave this control out",
        )
    if peer.ae_title is None:
        raise PlanError("its AE title is not known", where=where, next="give it an ae_title in the inventory")
    return Caller(
        peer=peer.name,
        ae_title=peer.ae_title,
        address=peer.address,
        port=peer.listens.port if peer.listens else None,
        roles=tuple(sorted(role for role in peer.roles if role.is_dicom)),
    )


CONTROL = AeTitle()
