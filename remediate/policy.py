"""``access`` and a control's data → expectations. The only maker of expectations. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import product

from remediate.model.base import Value
from remediate.model.observation import UNREACHED, Question, Rung
from remediate.model.site import Pacs, Peer, Published, Role, Service, ServiceKind, Vantage, Zone
from remediate.model.verdict import Expectation, Grade, Purpose

#: Our own calling AE title, wherever we do not stand in a peer's place: it names us to whoever reads the PACS's log.
PROBE_AE_TITLE = "RMD_PROBE"

#: What the outside may see of a closed service, unless a control says that more is left to it.
CLOSED: frozenset[Rung] = UNREACHED

_ASSOCIATED = frozenset(
    {
        Rung.ASSOCIATED,
        Rung.ECHO,
        Rung.ABORTED_AFTER_FIND,
        Rung.QUERY_REFUSED,
        Rung.QUERY_ANSWERED,
        Rung.DATA_RETURNED,
    }
)
_SERVED: dict[Role, frozenset[Rung]] = {
    Role.QUERY: frozenset({Rung.QUERY_ANSWERED, Rung.DATA_RETURNED}),
    Role.WEB: frozenset({Rung.HTTP_ANSWERED, Rung.HTTP_GUARDED}),
}
#: Services whose care path can be asked for today; the others of a PACS are named as not asked.
_ASKED_FROM_INSIDE = frozenset({ServiceKind.DICOM, ServiceKind.DICOMWEB, ServiceKind.WEB})


class Expected(Value):
    """Expectations for one PACS, and, for people, what they leave out."""

    expectations: tuple[Expectation, ...]
    not_asked: tuple[str, ...]


def expectations(pacs: Pacs, vantages: Iterable[Vantage], outside: frozenset[Rung] = CLOSED) -> Expected:
    """What every vantage must see of one PACS: outside closed, its peers still served.

    A peer's AE title is used only from the vantage that stands in that peer's place. From an inside vantage that
    is nobody's place, the PACS must merely be reachable (grade ``same segment``).
    """
    vantages = tuple(vantages)
    made: list[Expectation] = []
    not_asked: list[str] = []
    for vantage in vantages:
        if vantage.zone is Zone.OUTSIDE:
            made += _closed(pacs, vantage, outside)
        elif vantage.peer is None:
            made += _reachable(pacs, vantage)
        else:
            for peer in pacs.access.peers:
                if peer.name == vantage.peer:
                    made += _served(pacs, vantage, peer)
    if not any(e.purpose is Purpose.OUTSIDE_CLOSED for e in made):
        not_asked.append("the outside: no outside address, or no outside vantage")
    not_asked += _left_out(pacs, vantages)
    return Expected(expectations=tuple(dict.fromkeys(made)), not_asked=tuple(not_asked))


def _question(pacs: Pacs, vantage: Vantage, where: Published, service: Service, calling: str | None) -> Question:
    dicom = service.kind.is_dicom
    return Question(
        pacs=pacs.name,
        vantage=vantage.name,
        kind=service.kind,
        address=where.address,
        port=where.port_of(service),
        service_port=service.port,
        calling_ae_title=calling if dicom else None,
        called_ae_title=pacs.ae_title if dicom else None,
    )


def _closed(pacs: Pacs, vantage: Vantage, rungs: frozenset[Rung]) -> Iterator[Expectation]:
    for where, service in product(pacs.addresses.outside, pacs.services):
        question = _question(pacs, vantage, where, service, PROBE_AE_TITLE)
        yield Expectation(question=question, purpose=Purpose.OUTSIDE_CLOSED, rungs=rungs)


def _reachable(pacs: Pacs, vantage: Vantage) -> Iterator[Expectation]:
    rungs = frozenset(rung for rung in Rung if rung.reachable and rung is not Rung.BUSY)
    for where, service in product(pacs.addresses.seen_from(Zone.INSIDE), pacs.services):
        question = _question(pacs, vantage, where, service, PROBE_AE_TITLE)
        yield Expectation(question=question, purpose=Purpose.CARE_PATH, rungs=rungs, grade=Grade.SAME_SEGMENT)


def _served(pacs: Pacs, vantage: Vantage, peer: Peer) -> Iterator[Expectation]:
    for where, service in product(pacs.addresses.seen_from(Zone.INSIDE), pacs.services):
        if where.address.version != peer.source.version or service.kind not in _ASKED_FROM_INSIDE:
            continue
        for role in peer.roles:
            if not service.serves(role):
                continue
            yield Expectation(
                question=_question(pacs, vantage, where, service, peer.ae_title or PROBE_AE_TITLE),
                purpose=Purpose.CARE_PATH,
                rungs=_SERVED.get(role, _ASSOCIATED),
                negotiated=frozenset({role}) if role.is_dicom else frozenset(),
                peer=peer.name,
                role=role,
            )


def _left_out(pacs: Pacs, vantages: tuple[Vantage, ...]) -> Iterator[str]:
    places = {v.peer for v in vantages if v.zone is Zone.INSIDE}
    for peer in pacs.access.peers:
        if peer.name not in places:
            yield f"peer {peer.name} ({', '.join(peer.roles)}): no vantage stands there; simulated only"
            continue
        if Role.HL7 in peer.roles:
            yield f"peer {peer.name}: role hl7 has no probe"
        if Role.RETRIEVE in peer.roles:
            yield (
                f"peer {peer.name}: retrieve is negotiated, never exercised; "
                "the association back to the peer is simulated only"
            )
    for destination in pacs.access.destinations:
        yield f"destination {destination.name}: opened by the PACS itself; simulated only"
    for service in pacs.services:
        if service.kind not in _ASKED_FROM_INSIDE:
            yield f"{service.kind} on port {service.port}: not asked from inside"
