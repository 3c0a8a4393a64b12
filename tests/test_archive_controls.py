"""``tls_only`` and ``web_auth``: what is meant, what is refused, and what is expected of strangers, inside too."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from remediate import controls
from remediate.change import guarding, live
from remediate.errors import PlanError
from remediate.judge import judge
from remediate.model.device import ConfigFile, Device, Guard, TlsFiles
from remediate.model.observation import UNREACHED, Rung
from remediate.model.peers import Connection, LivePeers
from remediate.model.rule import TlsIntent
from remediate.model.site import Access, Addressing, Listens, Pacs, Role, Service, ServiceKind, Site, Vantage, Zone
from remediate.model.verdict import Expectation, Outcome, Purpose, Verdict
from remediate.render import Renderer
from remediate.rules import effect
from tests.factories import CLINIC, CT, INTERNET, READERS, canary, pacs, seen

FILES = TlsFiles(certificate="/etc/tls/own.crt", key="/etc/tls/own.key", trusted="/etc/tls/peers.crt")
SECURE = CT.model_copy(update={"tls": True, "listens": Listens(port=11112)})
INSIDE_TLS = READERS.model_copy(update={"tls": True, "roles": (Role.QUERY, Role.WEB)})
ARCHIVE = pacs(access=Access(peers=(SECURE, INSIDE_TLS)))
NOBODY = Vantage(name="ward", zone=Zone.INSIDE)
ROLES = frozenset(Role)


def device(tls: TlsFiles | None = FILES, platform: str = "orthanc", dicom_ports: tuple[int, ...] = (104,)) -> Device:
    config = ConfigFile(path="/etc/o.json", restart="true", ports=(104, 8042), dicom_ports=dicom_ports, tls=tls)
    return Device(name="pacs-north", platform=platform, guard=Guard(interface=()), config=config)


def meant(archive: Pacs = ARCHIVE, where: Device | None = None) -> TlsIntent:
    made = controls.control("tls_only").intent(archive, where or device(), Addressing.REAL)
    assert isinstance(made, TlsIntent)
    return made


def test_it_names_files_peers_and_where_the_archive_calls_back() -> None:
    made = meant()
    assert (made.certificate, made.key, made.trusted) == (FILES.certificate, FILES.key, FILES.trusted)
    assert [(one.peer, one.source) for one in made.peers] == [
        ("ct-1", ip_network("10.20.0.10")),
        ("readers", ip_network("10.99.0.0/24")),
    ]
    assert [(way.address, way.port) for way in made.ways_back] == [(ip_address("10.20.0.10"), 11112)]


def test_who_would_be_cut_off_is_named_before_anything_is_asked() -> None:
    with pytest.raises(PlanError, match="nothing says that they speak TLS: readers") as refused:
        meant(pacs(access=Access(peers=(SECURE, READERS))))
    assert "tls: true" in refused.value.next
    only_web = READERS.model_copy(update={"roles": (Role.WEB,)})
    assert [one.peer for one in meant(pacs(access=Access(peers=(SECURE, only_web)))).peers] == ["ct-1"]


def test_without_files_or_with_two_dicom_ports_it_is_refused() -> None:
    with pytest.raises(PlanError, match="needs its certificate") as refused:
        meant(where=device(tls=None))
    assert "config: {tls:" in refused.value.next
    two = pacs(services=tuple(Service(kind=ServiceKind.DICOM, port=port) for port in (104, 2762)))
    with pytest.raises(PlanError, match="has one port for DICOM, and the inventory names 2"):
        meant(two)


@pytest.mark.parametrize("name", ["tls_only", "web_auth"])
def test_a_platform_that_cannot_is_refused(name: str) -> None:
    where = device(platform="dcmqrscp")
    intent = controls.control(name).intent(ARCHIVE, where, Addressing.REAL)
    with pytest.raises(PlanError, match=f"{name} cannot be carried out on dcmqrscp"):
        guarding.check_intents(where, [intent])


@pytest.mark.parametrize(
    ("names", "dicom", "web"),
    [
        (("tls_only",), {Rung.TLS_CERTIFICATE_WANTED}, None),
        (("tls_only", "ae_title"), {Rung.TLS_CERTIFICATE_WANTED}, None),
        (("ae_title", "tls_only"), {Rung.TLS_CERTIFICATE_WANTED}, None),
        (("web_auth",), None, {Rung.HTTP_GUARDED, Rung.FTP_GUARDED, Rung.TLS_CERTIFICATE_WANTED}),
        (("acl", "tls_only", "web_auth"), set(), set()),
    ],
)
def test_of_several_controls_the_one_counts_that_stops_a_stranger_first(
    names: tuple[str, ...], dicom: set[Rung] | None, web: set[Rung] | None
) -> None:
    left = controls.left_to_the_outside(names, ARCHIVE)
    for port, rungs in ((104, dicom), (8042, web)):
        assert left.get(port) == (None if rungs is None else UNREACHED | rungs)


def expected(*names: str, places: tuple[Vantage, ...] = (INTERNET, CLINIC, NOBODY)) -> tuple[Expectation, ...]:
    return controls.expectations(names, ARCHIVE, places).expectations


def test_inside_a_stranger_is_asked_for_too_and_shows_nothing() -> None:
    strangers = [e for e in expected("acl", "tls_only", "web_auth") if e.purpose is Purpose.STRANGERS_REFUSED]
    assert {(e.question.vantage, e.question.kind) for e in strangers} == {
        (name, kind) for name in ("clinic", "ward") for kind in (ServiceKind.DICOM, ServiceKind.DICOMWEB)
    }
    for one in strangers:
        if one.question.kind is ServiceKind.DICOM:
            assert one.question.anonymous and one.question.up_to is Rung.ASSOCIATED
            assert one.question.calling_ae_title == "RMD_PROBE", "nobody's title"
            assert one.rungs == UNREACHED | {Rung.TLS_CERTIFICATE_WANTED}
    assert not [e for e in expected("acl", "ae_title") if e.purpose is Purpose.STRANGERS_REFUSED]


@pytest.mark.parametrize(
    ("rung", "outcome", "verdict"),
    [
        (Rung.TLS_CERTIFICATE_WANTED, Outcome.MET, Verdict.PROTECTED),
        (Rung.TLS_ONLY, Outcome.UNMET, Verdict.EXPOSED),
        (Rung.REJECTED, Outcome.UNMET, Verdict.EXPOSED),
        (Rung.ASSOCIATED, Outcome.UNMET, Verdict.EXPOSED),
        (Rung.BUSY, Outcome.UNKNOWN, Verdict.INCONCLUSIVE),
        (Rung.INCONCLUSIVE, Outcome.UNKNOWN, Verdict.INCONCLUSIVE),
    ],
)
def test_a_closed_firewall_does_not_prove_what_the_archive_does(rung: Rung, outcome: Outcome, verdict: Verdict) -> None:
    """From outside nothing is reached, and the peer is served: what a stranger gets inside decides."""
    wanted = expected("acl", "tls_only", places=(INTERNET, CLINIC))
    rungs = {Purpose.OUTSIDE_CLOSED: Rung.FILTERED, Purpose.STRANGERS_REFUSED: rung}
    served = {ServiceKind.DICOM: Rung.QUERY_ANSWERED, ServiceKind.DICOMWEB: Rung.HTTP_ANSWERED}
    answers = [
        seen(e.question, rungs.get(e.purpose, served[e.question.kind]), after=1, negotiated=ROLES) for e in wanted
    ]
    judged = judge("pacs-north", wanted, answers, [canary("internet"), canary("clinic")])
    assert {f.outcome for f in judged.findings if f.expectation.purpose is Purpose.STRANGERS_REFUSED} == {outcome}
    assert judged.verdict is verdict


def test_who_is_connected_and_no_peer_would_be_cut_off() -> None:
    where = device()
    site = Site(pacs={ARCHIVE.name: ARCHIVE}, devices={where.name: where})
    running = '{ "DicomAet" : "ORTHANC" }\n'
    for name, cut in (("tls_only", ["10.20.0.99"]), ("web_auth", [])):
        intent = controls.control(name).intent(ARCHIVE, where, Addressing.REAL)
        made = guarding.candidate(where, guarding.sections(where, [intent], running), running, Renderer())
        connected = LivePeers(
            connections=tuple(
                Connection(source=ip_address(source), port=port)
                for source, port in (("10.20.0.10", 104), ("10.99.0.7", 104), ("10.20.0.99", 104), ("10.20.0.99", 8042))
            ),
            how="its open connections",
        )
        found = live.cut_by(made, site, {where.name: connected})
        assert [str(one.address) for one in found] == cut
        assert effect(made.sections[0], closing=True)[-1].startswith(("refused: DICOM in clear", "asked for user"))


def test_two_services_on_the_one_port_are_not_possible_but_tls_may_be_declared() -> None:
    declared = pacs(services=(Service(kind=ServiceKind.DICOM_TLS, port=2762),), access=Access(peers=(SECURE,)))
    assert meant(declared, device(dicom_ports=(2762,))).peers[0].ports == (2762,)
