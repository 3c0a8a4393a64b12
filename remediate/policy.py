"""``access`` and a control's data → expectations. The only maker of expectations. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from remediate.model.base import Value
from remediate.model.observation import UNREACHED, Question, Rung
from remediate.model.origin import is_inside
from remediate.model.site import IPAddress, Pacs, Peer, Published, Role, Service, ServiceKind, Vantage, Zone
from remediate.model.verdict import Expectation, Grade, Purpose, Unasked

#: Our own calling AE title, wherever we do not stand in a peer's place: it names us to whoever reads the PACS's log.
PROBE_AE_TITLE = "RMD_PROBE"

#: What the outside may see of a closed service, unless a control says that more is left to it.
CLOSED: frozenset[Rung] = UNREACHED
#: By an archive's own service port, the rungs that are left of it to somebody.
Left = Mapping[int, frozenset[Rung]]

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
    Role.WEB: frozenset({Rung.HTTP_ANSWERED, Rung.HTTP_GUARDED, Rung.DATA_RETURNED}),
}
#: What an accepted presentation context leaves open: Orthanc accepts one for what it then aborts.
_MAY_REFUSE = "the archive may still refuse it"
_WAY_BACK = "the association back to the peer is simulated only"
_NEGOTIATED_ONLY: dict[Role, str] = {
    Role.STORE: _MAY_REFUSE,
    Role.RETRIEVE: _WAY_BACK,
    Role.MWL: _MAY_REFUSE,
    Role.MPPS: _MAY_REFUSE,
    Role.STGCMT: _WAY_BACK,
}
#: Services whose care path can be asked for today; the others of a PACS are named as not asked.
_ASKED_FROM_INSIDE = frozenset({ServiceKind.DICOM, ServiceKind.DICOMWEB, ServiceKind.WEB})


class Expected(Value):
    """Expectations for one PACS, and, for people, what they leave out.

    ``unasked``: the sides on which it has nothing that could be asked.
    """

    expectations: tuple[Expectation, ...]
    not_asked: tuple[str, ...]
    unasked: tuple[Unasked, ...] = ()


def all_closed(pacs: Pacs) -> Left:
    return {service.port: CLOSED for service in pacs.services}


def expectations(
    pacs: Pacs, vantages: Iterable[Vantage], outside: Left | None = None, strangers: Left | None = None
) -> Expected:
    """What every vantage must see of one PACS: outside closed, its peers still served.

    ``outside``: what the outside may see, None: nothing; of a service that is not in it, nothing is expected there.
    ``strangers``: what may be seen inside without certificate and password.
    A peer's AE title is used only from the vantage that stands in that peer's place; outside, too: there the archive
    must serve it at its published address. From an inside vantage that is nobody's place, the PACS must merely be
    reachable (grade ``same segment``).
    """
    vantages = tuple(vantages)
    outside = all_closed(pacs) if outside is None else outside
    made: list[Expectation] = []
    not_asked: list[str] = []
    for vantage in vantages:
        if (peer := standing(pacs, vantage)) is not None:
            made += _served(pacs, vantage, peer)
        elif vantage.zone is Zone.OUTSIDE:
            made += _closed(pacs, vantage, outside)
        elif vantage.peer is None:
            made += _reachable(pacs, vantage)
        if vantage.zone is Zone.INSIDE:
            made += _refused(pacs, vantage, strangers or {})
    nothing_outside = _nothing_outside(pacs, outside)
    if not any(e.purpose is Purpose.OUTSIDE_CLOSED for e in made):
        not_asked.append(f"the outside: {nothing_outside or _nobody_outside(pacs)}")
    if not any(e.purpose is Purpose.CARE_PATH for e in made):
        not_asked.append("the care path: no vantage inside, and none in a peer's place outside, looks at it")
    not_asked += [
        f"{service.kind} on port {service.port}: no control of this play concerns it; the outside may reach it"
        for service in pacs.services
        if service.port not in outside
    ]
    outside_has = {service.port for _, service in pacs.seen_from(Zone.OUTSIDE)}
    not_asked += [
        f"{service.kind} on port {service.port}: at no outside address of it; the outside is not asked"
        for service in pacs.services
        if outside_has and service.port not in outside_has
    ]
    not_asked += _left_out(pacs, vantages)
    return Expected(
        expectations=tuple(dict.fromkeys(made)),
        not_asked=tuple(not_asked),
        unasked=(Unasked(purpose=Purpose.OUTSIDE_CLOSED, why=nothing_outside),) if nothing_outside else (),
    )


def _nothing_outside(pacs: Pacs, outside: Left) -> str:
    """Why nobody outside could reach what is expected to be closed; "" where somebody could."""
    if any(service.port in outside for _, service in pacs.seen_from(Zone.OUTSIDE)):
        return ""
    if pacs.addresses.outside:
        return "nothing that this play concerns is at an outside address of it"
    return "" if routed(pacs) else "it has no outside address, so it is reached from inside only"


def _nobody_outside(pacs: Pacs) -> str:
    if pacs.addresses.outside:
        return "no vantage outside looks at it"
    return f"its address {routed(pacs)[0]} is a public one, and addresses.outside does not name it"


def routed(pacs: Pacs) -> tuple[IPAddress, ...]:
    """Of its inside addresses those to which the internet may have a route."""
    return tuple(where.address for where in pacs.addresses.inside if not is_inside(where.address))


def standing(pacs: Pacs, vantage: Vantage) -> Peer | None:
    """The peer of that archive in whose place the vantage stands.

    Outside that is one that comes in by the published address; whoever is to come by the VPN is a stranger there.
    """
    peer = next((peer for peer in pacs.access.peers if peer.name == vantage.peer), None)
    if peer is None or vantage.zone is Zone.INSIDE:
        return peer
    versions = {where.address.version for where in pacs.addresses.outside}
    return peer if peer.via is None and peer.source.version in versions else None


def unreached(
    pacs: str, places: Iterable[tuple[IPAddress, Service, int]], ae_title: str, vantages: Iterable[Vantage]
) -> tuple[Expectation, ...]:
    """That no stranger gets through to these places from outside: address, service, and the port seen there.

    ``pacs``: an archive, or the address where nobody knows whether it is one; that is asked no more than to associate.
    """
    return tuple(
        Expectation(
            question=Question(
                pacs=pacs,
                vantage=vantage.name,
                kind=service.kind,
                address=address,
                port=port,
                service_port=service.port,
                calling_ae_title=PROBE_AE_TITLE if service.kind.is_dicom else None,
                called_ae_title=ae_title if service.kind.is_dicom or service.kind.is_web else None,
                up_to=Rung.ASSOCIATED if pacs == str(address) and service.kind.is_dicom else None,
            ),
            purpose=Purpose.OUTSIDE_CLOSED,
            rungs=CLOSED,
        )
        for vantage in vantages
        if vantage.zone is Zone.OUTSIDE and vantage.peer is None
        for address, service, port in places
    )


def counting(expectation: Expectation, vantages: Mapping[str, Vantage]) -> Expectation:
    """The same, and the archive may be asked how much it holds; from outside never."""
    question = expectation.question
    inside = vantages[question.vantage].zone is Zone.INSIDE
    if expectation.purpose is not Purpose.CARE_PATH or not question.kind.is_web or not inside:
        return expectation
    return expectation.model_copy(update={"question": question.model_copy(update={"count": True})})


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
        called_ae_title=pacs.ae_title if dicom or service.kind.is_web else None,  # in dcm4chee's paths
    )


def _closed(pacs: Pacs, vantage: Vantage, outside: Left) -> Iterator[Expectation]:
    for where, service in pacs.seen_from(Zone.OUTSIDE):
        if (rungs := outside.get(service.port)) is None:
            continue
        question = _question(pacs, vantage, where, service, PROBE_AE_TITLE)
        attributable = any(c.port == question.port and c.behind in pacs.protected_by for c in vantage.canaries)
        yield Expectation(question=question, purpose=Purpose.OUTSIDE_CLOSED, rungs=rungs, attributable=attributable)


def _refused(pacs: Pacs, vantage: Vantage, strangers: Left) -> Iterator[Expectation]:
    """Whoever is a stranger to DICOM is asked no more than to associate, under nobody's AE title."""
    for where, service in pacs.seen_from(Zone.INSIDE):
        if (rungs := strangers.get(service.port)) is None:
            continue
        question = _question(pacs, vantage, where, service, PROBE_AE_TITLE)
        if service.kind.is_dicom:
            question = question.model_copy(update={"up_to": Rung.ASSOCIATED, "anonymous": True})
        yield Expectation(question=question, purpose=Purpose.STRANGERS_REFUSED, rungs=rungs)


def _reachable(pacs: Pacs, vantage: Vantage) -> Iterator[Expectation]:
    rungs = frozenset(rung for rung in Rung if rung.reachable and rung is not Rung.BUSY)
    for where, service in pacs.seen_from(Zone.INSIDE):
        question = _question(pacs, vantage, where, service, PROBE_AE_TITLE)
        yield Expectation(question=question, purpose=Purpose.CARE_PATH, rungs=rungs, grade=Grade.SAME_SEGMENT)


def _served(pacs: Pacs, vantage: Vantage, peer: Peer) -> Iterator[Expectation]:
    for where, service in pacs.seen_from(vantage.zone):
        if where.address.version != peer.source.version or not _asked_from(vantage, pacs, service):
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


def _asked_from(vantage: Vantage, pacs: Pacs, service: Service) -> bool:
    """Whether a peer's care path through that service is asked for. Inside TLS, where the archive speaks plain DICOM
    besides, only with the peer's certificate: who uses the plain port need not be served inside TLS.
    """
    if service.kind is ServiceKind.DICOM_TLS:
        return vantage.client_certificate is not None or all(s.kind is not ServiceKind.DICOM for s in pacs.services)
    return service.kind in _ASKED_FROM_INSIDE


def simulated(pacs: Pacs, vantages: Iterable[Vantage]) -> tuple[str, ...]:
    """The peers in whose place no vantage stands: nobody sees whether they are served."""
    places = {peer.name for vantage in vantages if (peer := standing(pacs, vantage)) is not None}
    return tuple(peer.name for peer in pacs.access.peers if peer.name not in places)


def _left_out(pacs: Pacs, vantages: tuple[Vantage, ...]) -> Iterator[str]:
    unseen = simulated(pacs, vantages)
    for peer in pacs.access.peers:
        if peer.name in unseen:
            yield f"peer {peer.name} ({', '.join(peer.roles)}): no vantage stands there; simulated only"
            continue
        if Role.HL7 in peer.roles:
            yield f"peer {peer.name}: role hl7 has no probe"
        for role in peer.roles:
            if role in _NEGOTIATED_ONLY:
                yield f"peer {peer.name}: {role} is negotiated, never exercised; {_NEGOTIATED_ONLY[role]}"
    for destination in pacs.access.destinations:
        yield f"destination {destination.name}: opened by the PACS itself; simulated only"
    inside = [v for v in vantages if v.zone is Zone.INSIDE]
    for service in pacs.services:
        if service.kind not in _ASKED_FROM_INSIDE and not any(_asked_from(v, pacs, service) for v in inside):
            yield f"{service.kind} on port {service.port}: not asked from inside"
