"""Real web and FTP servers on loopback, each on a port of its own, ended by whoever started it."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from remediate.lab.real import hosts

#: Debian's package for each program.
PACKAGES = {"nginx": "nginx-light", "vsftpd": "vsftpd", "Orthanc": "orthanc"}
DICOMWEB = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
_DIES_WITH_US = ("setpriv", "--pdeathsig", "KILL", "--")
_PATH = f"{os.environ['PATH']}:/usr/sbin"


def need(program: str) -> str:
    """Skips where it is missing; where CI is set that is a failure."""
    path = shutil.which(program, path=_PATH)
    if path is None:
        text = f"needs the Debian package {PACKAGES[program]}"
        if os.environ.get("CI"):
            pytest.fail(text, pytrace=False)
        pytest.skip(text)
    return path


@contextlib.contextmanager
def running(folder: Path, port: int, argv: list[str]) -> Iterator[int]:
    """The port, once the server listens there."""
    log = folder / "server.log"
    with log.open("wb") as out:
        process = subprocess.Popen([*_DIES_WITH_US, *argv], stdout=out, stderr=out, cwd=folder)
    try:

        def ready() -> bool:
            assert process.poll() is None, log.read_text(errors="replace")
            return hosts.listening(process.pid, port)

        hosts.until(ready, what=f"{argv[0]} on port {port}")
        yield port
    finally:
        process.kill()
        process.wait(60)


def free_port() -> int:
    """Below those that the kernel gives to whoever connects meanwhile (ip_local_port_range begins at 32768)."""
    while True:
        port = secrets.choice(range(20000, 32000))
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


@contextlib.contextmanager
def nginx(folder: Path, server: Callable[[int], str]) -> Iterator[int]:
    """``server``: what stands in its server block, for the port."""
    program, port = need("nginx"), free_port()
    (folder / "www").mkdir(exist_ok=True)
    temporary = "".join(
        f"{kind}_temp_path {folder}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"pid {folder}/nginx.pid;\nerror_log stderr;\ndaemon off;\nmaster_process off;\nevents {{}}\n"
        f"http {{\naccess_log {folder}/access.log;\n{temporary}"
        f"types {{ text/html html; application/dicom+json json; }}\n"
        f"server {{ root {folder}/www;\n{server(port)}\n}}\n}}\n"
    )
    with running(folder, port, [program, "-e", "stderr", "-c", str(folder / "nginx.conf")]):
        yield port


@contextlib.contextmanager
def orthanc(folder: Path, settings: Mapping[str, Any], *, dicomweb: bool) -> Iterator[int]:
    """With HTTP only. ``dicomweb``: with the plugin."""
    program, port = need("Orthanc"), free_port()
    if dicomweb and not DICOMWEB.exists():
        pytest.skip("needs the Debian package orthanc-dicomweb")
    (folder / "data").mkdir(exist_ok=True)
    configuration = {
        "StorageDirectory": str(folder / "data"),
        "IndexDirectory": str(folder / "data"),
        "HttpPort": port,
        "DicomServerEnabled": False,
        "RemoteAccessAllowed": True,
        "AuthenticationEnabled": False,
        "Plugins": [str(DICOMWEB)] if dicomweb else [],
    }
    (folder / "orthanc.json").write_text(json.dumps(configuration | dict(settings)))
    with running(folder, port, [program, str(folder / "orthanc.json")]):
        yield port


@contextlib.contextmanager
def vsftpd(folder: Path, **settings: str) -> Iterator[int]:
    """Anonymous users, if any, find one file in ``pub``."""
    program, port = need("vsftpd"), free_port()
    if os.geteuid() != 0:
        pytest.skip("vsftpd needs root")
    with tempfile.TemporaryDirectory() as served:  # pytest's own folders let nobody else in
        root = Path(served)
        root.chmod(0o755)
        for name in ("pub", "empty"):
            (root / name).mkdir(mode=0o755)
        (root / "pub" / "MADEUP.dcm").write_bytes(b"")
        options = {
            "listen": "YES",
            "listen_address": "127.0.0.1",
            "listen_port": str(port),
            "background": "NO",
            "anonymous_enable": "NO",
            "local_enable": "YES",
            "anon_root": served,
            "secure_chroot_dir": str(root / "empty"),
        }
        (folder / "vsftpd.conf").write_text("".join(f"{k}={v}\n" for k, v in (options | settings).items()))
        with running(folder, port, [program, str(folder / "vsftpd.conf")]):
            yield port
