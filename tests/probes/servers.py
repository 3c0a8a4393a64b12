"""Real archives, each in a network namespace that has nothing but loopback, and questions put to them there.

127.0.0.0/8 has addresses enough for an archive, a peer and a stranger; nothing of it is seen from this machine.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

from remediate.lab.real import hosts
from remediate.model.observation import Observation, Question
from remediate.model.site import (
    Addresses,
    ClientCertificate,
    LocalVia,
    Pacs,
    Published,
    Service,
    ServiceKind,
    Site,
    Vantage,
    Zone,
)
from remediate.probes import observe
from remediate.vantages import Lookout

ARCHIVE, PEER, STRANGER = "127.0.0.1", "127.0.0.10", "127.0.0.20"
#: The archive's AE title, a peer's that it may know, and one that it does not.
TITLE, PEER_TITLE, UNKNOWN_TITLE = "ORTHANC", "CLINICMOD", "RMD_PROBE"
PORT = 104
DEADLINE = 5.0
#: Without a virtual environment's own: pynetdicom brings a storescp too, and it is DCMTK's that is meant.
_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
_DIES_WITH_US = ("setpriv", "--pdeathsig", "KILL", "--")


class Loopback:
    """``with``: the namespace, and an end of everything that was started in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._running: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Loopback:
        argv = [*_DIES_WITH_US, "unshare", "--net", "sh", "-c", "ip link set lo up && echo up && exec sleep infinity"]
        self._first = subprocess.Popen(argv, stdout=subprocess.PIPE)
        assert self._first.stdout is not None and self._first.stdout.readline() == b"up\n"
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()
        self._end(self._first)

    @property
    def namespace(self) -> str:
        return f"/proc/{self._first.pid}/ns/net"

    def start(self, argv: Sequence[str], port: int = PORT) -> None:
        """Starts a server and returns once it listens; the one before it is ended."""
        self.stop()
        enter = [*_DIES_WITH_US, "nsenter", f"--net={self.namespace}", "--"]
        with (self.folder / "server.log").open("wb") as log:
            process = subprocess.Popen([*enter, *argv], stdout=log, stderr=log, cwd=self.folder, env={"PATH": _PATH})
        self._running.append(process)

        def ready() -> bool:
            self.alive()
            return hosts.listening(self._first.pid, port)

        hosts.until(ready, what=f"{argv[0]} on port {port}")

    def alive(self) -> None:
        """Fails with its own words where the server has ended."""
        for process in self._running:
            log = (self.folder / "server.log").read_text(errors="replace")
            assert process.poll() is None, f"the server ended with {process.returncode}: {log[-2000:]}"

    def stop(self) -> None:
        """Returns once nothing listens there any more: a child of dcmqrscp's has inherited its listening socket, and
        would be taken for the next server, which is not there yet."""
        while self._running:
            self._end(self._running.pop())
        hosts.until(lambda: not hosts.listening(self._first.pid, PORT), what=f"the end of all servers on port {PORT}")

    @staticmethod
    def _end(process: subprocess.Popen[bytes]) -> None:
        process.kill()
        process.communicate()


# -- questions ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Asked:
    """Who asks, from where, and how the archive is called."""

    calling: str = UNKNOWN_TITLE
    called: str = TITLE
    source: str = STRANGER
    kind: ServiceKind = ServiceKind.DICOM
    client_certificate: ClientCertificate | None = None


def question(asked: Asked) -> Question:
    return Question(
        pacs="pacs-1",
        vantage="here",
        kind=asked.kind,
        address=IPv4Address(ARCHIVE),
        port=PORT,
        service_port=PORT,
        calling_ae_title=asked.calling,
        called_ae_title=asked.called,
    )


def observe_often(loopback: Loopback, asked: Asked, times: int) -> list[Observation]:
    return observe_all(loopback, asked, [question(asked)] * times)


def observe_all(loopback: Loopback, asked: Asked, questions: Sequence[Question]) -> list[Observation]:
    """One after the other, from the place of ``asked``."""
    pacs = Pacs(
        name="pacs-1",
        ae_title=asked.called,
        addresses=Addresses(outside=(Published(address=IPv4Address(ARCHIVE)),)),
        services=(Service(kind=asked.kind, port=PORT),),
    )
    here = Vantage(
        name="here",
        zone=Zone.OUTSIDE,
        via=LocalVia(source=IPv4Address(asked.source)),
        client_certificate=asked.client_certificate,
    )

    async def ask() -> list[Observation]:
        lookout = Lookout(Site(pacs={pacs.name: pacs}, vantages={here.name: here}), [here.name])
        assert await lookout.open() == {}
        try:
            return [await observe(lookout.dial, one, DEADLINE) for one in questions]
        finally:
            await lookout.aclose()

    return hosts.inside(loopback.namespace, lambda: asyncio.run(ask()))


# -- archives -----------------------------------------------------------------------------------------


def orthanc(folder: Path, settings: Mapping[str, Any]) -> list[str]:
    """Orthanc with what it has by default, but for ``settings``: JSON as in its configuration file."""
    data = folder / "orthanc"
    data.mkdir(exist_ok=True)
    defaults = {"StorageDirectory": str(data), "IndexDirectory": str(data), "HttpServerEnabled": False}
    file = folder / "orthanc.json"
    file.write_text(json.dumps(defaults | {"DicomAet": TITLE, "DicomPort": PORT} | dict(settings)))
    return ["Orthanc", str(file)]


def dcmqrscp(folder: Path, access: str, *, associations: int = 16) -> list[str]:
    """``access``: of its one AE: R, W or RW, and ANY or the peer as the host table has it, by title and address."""
    data = folder / "dcmqrscp"
    data.mkdir(exist_ok=True)
    rights, peers = access.split()
    file = folder / "dcmqrscp.cfg"
    file.write_text(
        f"MaxPDUSize = 16384\nMaxAssociations = {associations}\n"
        f"HostTable BEGIN\nclinicmod = ({PEER_TITLE}, {PEER}, 104)\nHostTable END\n"
        "VendorTable BEGIN\nVendorTable END\n"
        f"AETable BEGIN\n{TITLE} {data} {rights} (200, 1024mb) {peers}\nAETable END\n"
    )
    return ["dcmqrscp", "--disable-host-lookup", "-c", str(file), str(PORT)]


def storescp(folder: Path, *options: str) -> list[str]:
    return ["storescp", "--disable-host-lookup", "-aet", TITLE, *options, "-od", str(folder), str(PORT)]


# -- certificates -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Certificates:
    """PEM files: an authority, what it gave to the archive and to the peer, and one that it never saw."""

    authority: Path
    archive: ClientCertificate
    peer: ClientCertificate
    foreign: ClientCertificate

    def of_orthanc(self, *, required: bool) -> dict[str, Any]:
        """``required``: of the caller too."""
        return {
            "DicomTlsEnabled": True,
            "DicomTlsCertificate": self.archive.certificate,
            "DicomTlsPrivateKey": self.archive.key,
            "DicomTlsTrustedCertificates": str(self.authority),
            "DicomTlsRemoteCertificateRequired": required,
        }

    def of_storescp(self, *, required: bool) -> list[str]:
        assert self.archive.key is not None
        server = ["+tls", self.archive.key, self.archive.certificate]
        return [*server, "--add-cert-file", str(self.authority), "-rc" if required else "-ic"]


def certificates(folder: Path) -> Certificates:
    def openssl(*argv: str) -> None:
        subprocess.run(["openssl", *argv], check=True, capture_output=True, cwd=folder)

    def made(name: str, *signed: str) -> ClientCertificate:
        key, certificate = folder / f"{name}.key", folder / f"{name}.pem"
        new = ["-newkey", "rsa:2048", "-nodes", "-keyout", str(key), "-subj", f"/CN={name}", "-days", "2"]
        openssl("req", "-x509", *new, *signed, "-out", str(certificate))
        return ClientCertificate(certificate=str(certificate), key=str(key))

    authority = made("authority")
    assert authority.key is not None
    signed = ["-CA", authority.certificate, "-CAkey", authority.key, "-addext", "basicConstraints=critical,CA:FALSE"]
    alternative = ["-addext", f"subjectAltName=IP:{ARCHIVE}"]
    return Certificates(
        Path(authority.certificate), made("archive", *signed, *alternative), made("peer", *signed), made("foreign")
    )
