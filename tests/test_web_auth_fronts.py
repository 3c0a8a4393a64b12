"""``web_auth`` where fronts answer for an archive: what each is to do, and what is then expected of whom."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from remediate import controls
from remediate.change import guarding
from remediate.errors import PlanError
from remediate.judge import judge
from remediate.model.device import ConfigFile, Device, Guard, TlsFiles
from remediate.model.observation import UNREACHED, Rung
from remediate.model.rule import WebLoginIntent
from remediate.model.site import Addresses, Addressing, Pacs, Published, Service, ServiceKind
from remediate.model.verdict import Purpose, Verdict
from remediate.render import Renderer
from tests.factories import CLINIC, INTERNET, RUNNING, canary, pacs, seen

PLAIN = Service(kind=ServiceKind.DICOMWEB, port=8042)
WEB = Service(kind=ServiceKind.DICOMWEB, port=8443, front="web-north")
FTP = Service(kind=ServiceKind.FTP, port=21, front="ftp-north")
BARE = Service(kind=ServiceKind.FTP, port=2121)
DICOM = Service(kind=ServiceKind.DICOM, port=104)
GUARDED = UNREACHED | {Rung.TLS_CERTIFICATE_WANTED, Rung.HTTP_GUARDED, Rung.FTP_GUARDED}


def archive(*services: Service) -> Pacs:
    seen_there = Addresses(
        inside=(Published(address=ip_address("10.10.0.5")),), outside=(Published(address=ip_address("203.0.113.20")),)
    )
    return pacs(services=services, addresses=seen_there)


def front(name: str, platform: str, port: int, **more: object) -> Device:
    config = ConfigFile.model_validate(
        {"path": "/etc/front.conf", "restart": "true", "ports": (port,), "dicom_ports": (), **more}
    )
    config = config.model_copy(update={"fronts": {port: "pacs-north"}})
    return Device(name=name, platform=platform, guard=Guard(interface=()), config=config)


NGINX = front("web-north", "nginx", 8443, users="/etc/nginx/users")
VSFTPD = front("ftp-north", "vsftpd", 21)


def meant(of: Pacs, device: Device) -> WebLoginIntent:
    made = controls.control("web_auth").intent(of, device, Addressing.REAL)
    assert isinstance(made, WebLoginIntent)
    return made


@pytest.mark.parametrize(
    ("services", "by", "left"),
    [
        ((PLAIN, DICOM), ("pacs-north",), {8042: GUARDED}),
        ((PLAIN, WEB), ("web-north",), {8042: UNREACHED, 8443: GUARDED}),
        ((PLAIN, FTP), ("pacs-north", "ftp-north"), {8042: GUARDED, 21: GUARDED}),
        ((PLAIN, WEB, FTP, DICOM), ("web-north", "ftp-north"), {8042: UNREACHED, 8443: GUARDED, 21: GUARDED}),
        ((PLAIN, BARE), ("pacs-north",), {8042: GUARDED}),
        ((FTP,), ("ftp-north",), {21: GUARDED}),
    ],
)
def test_who_does_it_and_what_the_outside_may_still_see(
    services: tuple[Service, ...], by: tuple[str, ...], left: dict[int, frozenset[Rung]]
) -> None:
    of = archive(*services)
    assert controls.control("web_auth").devices(of) == by
    assert controls.left_to_the_outside(["web_auth"], of) == left


def test_each_front_is_told_its_own() -> None:
    of = archive(PLAIN, WEB, FTP)
    web, ftp = meant(of, NGINX), meant(of, VSFTPD)
    assert (web.ports, web.kinds, web.users, web.certificate) == (
        (8443,),
        (ServiceKind.DICOMWEB,),
        "/etc/nginx/users",
        None,
    )
    assert (ftp.ports, ftp.kinds, ftp.users) == ((21,), (ServiceKind.FTP,), None)
    secure = front("web-north", "nginx", 8443, users="/u", tls=TlsFiles(certificate="/etc/own.crt", key="/etc/own.key"))
    assert (meant(of, secure).certificate, meant(of, secure).key) == ("/etc/own.crt", "/etc/own.key")
    own = front("pacs-north", "orthanc", 8042, tls=TlsFiles(certificate="/c", key="/k", trusted="/t"))
    assert meant(archive(PLAIN), own).certificate is None, "that is for DICOM"


@pytest.mark.parametrize(
    ("device", "running", "said"),
    [
        (NGINX, RUNNING["nginx"], ("asked for user and password: everybody who opens its web pages",)),
        (VSFTPD, RUNNING["vsftpd"], ("refused: FTP without a user's name and password",)),
    ],
)
def test_what_it_does_in_words(device: Device, running: str, said: tuple[str, ...]) -> None:
    sections = guarding.sections(device, [meant(archive(PLAIN, WEB, FTP), device)], running)
    made = guarding.candidate(device, sections, running, Renderer())
    assert [line[: len(one)] for line, one in zip(made.effect, said, strict=True)] == list(said)


def test_a_front_of_the_wrong_kind_is_refused() -> None:
    wrong = front("web-north", "nginx", 21, users="/etc/nginx/users")
    of = archive(FTP.model_copy(update={"front": "web-north"}))
    with pytest.raises(PlanError, match="no server in it listens on port 21"):
        guarding.sections(wrong, [meant(of, wrong)], RUNNING["nginx"])


@pytest.mark.parametrize(
    ("rung", "verdict"),
    [
        (Rung.FTP_GUARDED, Verdict.PROTECTED),
        (Rung.CLOSED, Verdict.PROTECTED),
        (Rung.OPEN, Verdict.EXPOSED),
        (Rung.INCONCLUSIVE, Verdict.INCONCLUSIVE),
    ],
)
def test_ftp_is_closed_once_strangers_are_refused(rung: Rung, verdict: Verdict) -> None:
    """From outside, and inside too; an open FTP server that only said nothing of a login is none."""
    wanted = controls.expectations(["web_auth"], archive(PLAIN, FTP), (INTERNET, CLINIC)).expectations
    asked = {e.purpose for e in wanted if e.question.kind is ServiceKind.FTP}
    assert asked == {Purpose.OUTSIDE_CLOSED, Purpose.STRANGERS_REFUSED}
    rungs = {ServiceKind.FTP: rung, ServiceKind.DICOMWEB: Rung.HTTP_GUARDED}
    answers = [seen(e.question, rungs[e.question.kind], after=1) for e in wanted]
    assert judge("pacs-north", wanted, answers, [canary("internet"), canary("clinic")]).verdict is verdict
