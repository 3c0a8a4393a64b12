"""Archives behind fronts: who carries a control out, what is expected of whom, and what the inventory must say."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path

import pytest

from remediate import controls
from remediate.change import live
from remediate.errors import InventoryError, PlanError
from remediate.inventory import load
from remediate.judge import judge
from remediate.model.change import Candidate, Section
from remediate.model.device import ConfigFile, Device, Guard, TlsFiles
from remediate.model.observation import UNREACHED, Rung
from remediate.model.peers import Connection, LivePeers
from remediate.model.rule import Behind, TlsIntent
from remediate.model.site import (
    Access,
    Addresses,
    Addressing,
    ClientCertificate,
    Listens,
    Pacs,
    Published,
    Role,
    Service,
    ServiceKind,
    Site,
    Vantage,
    Zone,
)
from remediate.model.verdict import Purpose, Verdict
from remediate.report import site as shown
from remediate.rules import effect
from tests.factories import CLINIC, CT, INTERNET, canary, pacs, seen

PLAIN = Service(kind=ServiceKind.DICOM, port=104)
TLS = Service(kind=ServiceKind.DICOM_TLS, port=2762, front="tls-1")
WEB = Service(kind=ServiceKind.DICOMWEB, port=8042)
HTTPS = Service(kind=ServiceKind.DICOMWEB, port=443, front="web-1")
OWN, FRONT, SEEN = (ip_address(one) for one in ("10.10.0.5", "10.10.0.6", "203.0.113.20"))
SECURE = CT.model_copy(update={"tls": True, "listens": Listens(port=11112)})
OLD = CT.model_copy(update={"name": "ct-2", "address": ip_address("10.20.0.11"), "ae_title": "OLDCT"})
ARCHIVE = pacs(
    addresses=Addresses(
        inside=(Published(address=OWN, services=(104, 8042)), Published(address=FRONT, services=(2762, 443))),
        outside=(Published(address=SEEN),),
    ),
    services=(PLAIN, TLS, WEB, HTTPS),
    access=Access(peers=(SECURE, OLD)),
)
DEVICE = Device(
    name="tls-1",
    platform="stunnel",
    guard=Guard(interface=()),
    config=ConfigFile(
        path="/etc/stunnel/pacs.conf",
        restart="true",
        ports=(2762,),
        dicom_ports=(2762,),
        tls=TlsFiles(certificate="/own.crt", key="/own.key", trusted="/peers.crt"),
        fronts={2762: "pacs-north"},
    ),
)
SHOWN = CLINIC.model_copy(update={"client_certificate": ClientCertificate(certificate="/c.pem")})
WARD = Vantage(name="ward", zone=Zone.INSIDE)


def meant(archive: Pacs = ARCHIVE) -> TlsIntent:
    made = controls.control("tls_only").intent(archive, DEVICE, Addressing.REAL)
    assert isinstance(made, TlsIntent)
    return made


def test_the_front_carries_it_out_and_otherwise_the_archive_itself() -> None:
    def who(*services: Service) -> tuple[tuple[str, ...], ...]:
        archive = pacs(services=services)
        return tuple(controls.control(name).devices(archive) for name in ("tls_only", "web_auth"))

    assert who(PLAIN, TLS, WEB, HTTPS) == (("tls-1",), ("web-1",))
    assert who(PLAIN, TLS, WEB) == (("tls-1",), ("pacs-north",))
    assert who(PLAIN, WEB) == (("pacs-north",), ("pacs-north",))
    assert ARCHIVE.fronts == ("tls-1", "web-1")


def test_peers_without_tls_keep_the_port_in_clear() -> None:
    """Where there is none, or the archive speaks TLS itself, the same peers are refused."""
    made = meant()
    assert (made.device, made.section, made.ports, made.ways_back) == ("tls-1", "tls_only_pacs-north", (2762,), ())
    assert [(one.peer, one.ports) for one in made.peers] == [("ct-1", (2762,))]
    assert made.behind == (Behind(address=OWN, port=104),)
    bare = DEVICE.model_copy(update={"name": "pacs-north"})
    alone = ARCHIVE.model_copy(update={"services": (TLS, WEB)})
    for archive, device in ((pacs(access=ARCHIVE.access), bare), (alone, DEVICE)):
        with pytest.raises(PlanError, match="nothing says that they speak TLS: ct-2"):
            controls.control("tls_only").intent(archive, device, Addressing.REAL)


def test_who_approves_it_reads_that_the_port_in_clear_stays() -> None:
    intent = meant()
    section = Section(name=intent.section, intent=intent, rules=(), previous=None)
    *_, refused, untouched = effect(section, closing=True)
    assert refused == "refused: TLS without such a certificate, on port 2762"
    assert untouched == "untouched: DICOM in clear, where the archive itself answers (10.10.0.5 port 104)"


def test_behind_a_front_no_archive_can_tell_addresses() -> None:
    with pytest.raises(PlanError, match="ct-1 come by the front tls-1, and the archive sees the front's address"):
        controls.control("ae_title").intent(ARCHIVE, DEVICE, Addressing.REAL)
    nobody = ARCHIVE.model_copy(update={"access": Access(peers=(OLD,))})
    controls.control("ae_title").intent(nobody, DEVICE, Addressing.REAL)


def test_what_is_left_goes_by_the_port() -> None:
    wanted = UNREACHED | {Rung.TLS_CERTIFICATE_WANTED}
    assert controls.left_to_the_outside(["tls_only"], ARCHIVE) == {104: UNREACHED, 2762: wanted}
    assert controls.left_to_strangers(["tls_only"], ARCHIVE) == {2762: wanted}
    assert set(controls.left_to_strangers(["tls_only", "web_auth"], ARCHIVE)) == {2762, 443}
    assert set(controls.left_to_the_outside(["acl", "tls_only"], ARCHIVE).values()) == {UNREACHED}


def test_every_service_is_asked_for_only_where_it_is() -> None:
    places = (INTERNET, SHOWN, WARD)
    expected = controls.expectations(["acl", "tls_only"], ARCHIVE, places).expectations
    inside = {(e.question.address, e.question.port) for e in expected if e.question.vantage != "internet"}
    assert inside == {(OWN, 104), (OWN, 8042), (FRONT, 2762), (FRONT, 443)}
    strangers = {(e.question.vantage, e.question.port) for e in expected if e.purpose is Purpose.STRANGERS_REFUSED}
    assert strangers == {("clinic", 2762), ("ward", 2762)}
    assert {(door.address, door.seen) for door in ARCHIVE.doors(Addressing.REAL)} == {
        (OWN, (104, 8042)),
        (FRONT, (443, 2762)),
        (SEEN, (104, 443, 2762, 8042)),
    }
    served = {e.question.port for e in expected if e.purpose is Purpose.CARE_PATH and e.role is Role.STORE}
    assert served == {104, 2762}, "inside the port in clear goes on serving"


def test_what_no_outside_address_has_is_named_as_not_asked() -> None:
    shared = Addresses(inside=(Published(address=OWN),), outside=(Published(address=SEEN, services=(2762,)),))
    archive = ARCHIVE.model_copy(update={"services": (PLAIN, TLS), "addresses": shared})
    found = controls.expectations(["acl"], archive, (INTERNET, SHOWN))
    assert {e.question.port for e in found.expectations if e.purpose is Purpose.OUTSIDE_CLOSED} == {2762}
    assert "dicom on port 104: at no outside address of it; the outside is not asked" in found.not_asked
    assert not [line for line in controls.expectations(["acl"], pacs(), (INTERNET,)).not_asked if "at no" in line]


@pytest.mark.parametrize(("plain", "verdict"), [(Rung.FILTERED, Verdict.PROTECTED), (Rung.ASSOCIATED, Verdict.EXPOSED)])
def test_the_port_in_clear_must_not_be_reached_from_outside(plain: Rung, verdict: Verdict) -> None:
    archive = ARCHIVE.model_copy(update={"services": (PLAIN, TLS)})
    wanted = controls.expectations(["tls_only"], archive, (INTERNET, SHOWN)).expectations
    answers = []
    for e in wanted:
        served = Rung.QUERY_ANSWERED if e.purpose is Purpose.CARE_PATH else Rung.TLS_CERTIFICATE_WANTED
        rung = plain if e.question.port == 104 and e.purpose is Purpose.OUTSIDE_CLOSED else served
        answers.append(seen(e.question, rung, after=1, negotiated=frozenset(Role)))
    assert judge("pacs-north", wanted, answers, [canary("internet"), canary("clinic")]).verdict is verdict


def test_who_is_connected_to_the_front_and_what_it_passes_on() -> None:
    intent = meant()
    made = Candidate(
        device="tls-1",
        platform="stunnel",
        sections=(Section(name=intent.section, intent=intent, rules=(), previous=None),),
        text="",
        inverse="",
        base="",
        diff="",
    )
    connected = [("10.20.0.10", 2762), ("10.20.0.99", 2762), ("10.20.0.98", 104), ("10.10.0.6", 104)]
    told = LivePeers(
        connections=tuple(Connection(source=ip_address(source), port=port) for source, port in connected), how="ss"
    )
    site = Site(pacs={ARCHIVE.name: ARCHIVE}, devices={"tls-1": DEVICE})
    assert [str(one.address) for one in live.cut_by(made, site, {"tls-1": told})] == ["10.20.0.99"]
    assert [str(one.source) for one in live.of_archive(ARCHIVE, "pacs-north", told)] == [
        "10.20.0.10",
        "10.20.0.99",
        "10.20.0.98",
    ], "what the front passes on is nobody's own"


NORTH = """\
pacs-north:
  hostname: 10.10.0.5
  platform: orthanc
  groups: [pacs]
  data:
    ae_title: ORTHANC
    addresses:
      inside: [{address: 10.10.0.5, services: [104]}, {address: 10.10.0.6, services: [2762]}]
    services: [{kind: dicom, port: 104}, {kind: dicom_tls, port: 2762, front: tls-1}]
    config: {file: /etc/orthanc.json, restart: restart}
"""
SOUTH = """\
pacs-south:
  groups: [pacs]
  data:
    ae_title: SOUTH
    addresses:
      inside: [{address: 10.10.1.5, services: [104]}, {address: 10.10.0.6, services: [2763]}]
    services: [{kind: dicom, port: 104}, {kind: dicom_tls, port: 2763, front: tls-1}]
"""
STUNNEL = """\
tls-1:
  hostname: 10.10.0.6
  username: root
  platform: stunnel
  groups: [fronts]
  data:
    management: [local]
    config:
      file: /etc/stunnel/pacs.conf
      restart: systemctl restart stunnel@pacs
      tls: {certificate: /own.crt, key: /own.key, trusted: /peers.crt}
"""
KNOWN = ("linux_nftables", "nginx", "orthanc", "stunnel")


def test_one_front_of_two_archives_as_the_inventory_says_it(tmp_path: Path) -> None:
    (tmp_path / "hosts.yaml").write_text(NORTH + SOUTH + STUNNEL)
    site = load(tmp_path, platforms=KNOWN).site
    config = site.devices["tls-1"].config
    assert config is not None
    assert (config.fronts, config.ports) == ({2762: "pacs-north", 2763: "pacs-south"}, (2762, 2763))
    assert config.dicom_ports == config.ports and site.logins["tls-1"].host == "10.10.0.6"
    own = site.devices["pacs-north"].config
    assert own is not None and own.ports == (104,), "its front's port is not its own"
    assert site.pacs["pacs-south"].services[1].front == "tls-1"
    assert shown.table(site).row_count == 2


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("port: 2763, front: tls-1", "port: 2763, front: tls-9", "no front is called tls-9"),
        ("port: 2763, front", "port: 2762, front", "on its port 2762 it is the front of pacs-north and of pacs-south"),
        ("services: [2763]", "services: [2764]", "the PACS has no service on port 2764; allowed: 104, 2763"),
        ("services: [2763]", "services: []", "no port; allowed: at least one"),
        ("platform: stunnel", "platform: orthanc", "found 'orthanc'; allowed: nginx, stunnel"),
        (
            "platform: orthanc",
            "platform: stunnel",
            "the platform stunnel cannot be configured; allowed: linux_nftables",
        ),
        (", trusted: /peers.crt", "", "data.config.tls: trusted is missing"),
        ("    management: [local]", "    guard: {interface: wan}", "a front has a config"),
        ("    config:\n      file: /etc/stunnel", "    extra:\n      file: /etc/stunnel", "data.config is missing"),
    ],
)
def test_what_people_get_wrong(tmp_path: Path, old: str, new: str, said: str) -> None:
    text = NORTH + SOUTH + STUNNEL
    assert old in text
    (tmp_path / "hosts.yaml").write_text(text.replace(old, new))
    with pytest.raises(InventoryError) as wrong:
        load(tmp_path, platforms=KNOWN)
    assert any(said in line for line in wrong.value.problems), wrong.value.problems


def test_a_firewall_is_no_front_and_a_front_protects_nobody(tmp_path: Path) -> None:
    wall = (
        "fw: {hostname: 10.9.9.9, username: a, platform: linux_nftables, groups: [firewalls], "
        "data: {guard: {interface: wan}}}\n"
    )
    for old, new in (
        ("front: tls-1", "front: fw"),
        ("    ae_title: SOUTH", "    protected_by: [tls-1]\n    ae_title: SOUTH"),
    ):
        (tmp_path / "hosts.yaml").write_text((NORTH + SOUTH + STUNNEL + wall).replace(old, new))
        with pytest.raises(InventoryError, match=r"is called (fw|tls-1)"):
            load(tmp_path, platforms=KNOWN)
