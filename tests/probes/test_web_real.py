"""The web probe, put to nginx and to Orthanc."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from remediate.model.observation import Counts, Observation, Rung, Surface
from remediate.model.site import ServiceKind
from tests.vantages import certificates

from . import peers
from .daemons import nginx, orthanc
from .web_site import look

PLAIN = Surface.PLAIN_HTTP


def ask(port: int, kind: ServiceKind = ServiceKind.WEB, *, count: bool = False) -> Observation:
    question = peers.question(port, kind).model_copy(update={"called_ae_title": "ARCHIVE", "count": count})
    return asyncio.run(look(question, 5.0))


def requests(folder: Path) -> list[str]:
    """What nginx was asked: method and target."""
    return [line.split('"')[1] for line in (folder / "access.log").read_text().splitlines()]


def plain(more: str) -> Callable[[int], str]:
    return lambda port: f"listen 127.0.0.1:{port};\n{more}"


PASSWORD = 'auth_basic "MADEUP"; auth_basic_user_file /dev/null;'


#: It ignores the key of the query.
LISTS = """location = /dicom-web/studies { default_type application/dicom+json;
    return 200 '[{"00100010":{"vr":"PN","Value":[{"Alphabetic":"MADEUP"}]}}]'; }"""


@pytest.mark.parametrize(
    ("server", "rung", "status", "surfaces"),
    [
        ("", Rung.HTTP_ANSWERED, 200, {PLAIN}),
        ("autoindex on; index none;", Rung.HTTP_ANSWERED, 200, {PLAIN, Surface.DIRECTORY_LISTING}),
        ("index none;", Rung.HTTP_GUARDED, 403, set()),
        (PASSWORD, Rung.HTTP_GUARDED, 401, {PLAIN}),
        ("return 503;", Rung.HTTP_ERROR, 503, set()),
        ("return 301 https://127.0.0.1/;", Rung.HTTP_ANSWERED, 301, set()),
        ("return 302 http://192.0.2.1/;", Rung.HTTP_ANSWERED, 302, set()),
        ("location = / { return 302 /app/; } location /app/ { autoindex on; root /nonexistent; }",
         Rung.HTTP_ANSWERED, 404, set()),
        ("location = /dicom-web/studies { default_type application/dicom+json; return 200 '[]'; }",
         Rung.HTTP_ANSWERED, 200, {PLAIN, Surface.QIDO_RS}),
        (f"location /dicom-web/ {{ {PASSWORD} }}", Rung.HTTP_ANSWERED, 200, {PLAIN, Surface.QIDO_RS_GUARDED}),
        (LISTS,
         Rung.DATA_RETURNED, 200, {PLAIN, Surface.QIDO_RS}),
    ],
)  # fmt: skip  # a server and what it shows, side by side
def test_nginx_in_clear(tmp_path: Path, server: str, rung: Rung, status: int, surfaces: set[Surface]) -> None:
    with nginx(tmp_path, plain(server)) as port:
        (tmp_path / "www" / "index.html").write_text("<html><title>MADEUP</title></html>")
        (tmp_path / "www" / "MADEUP.dcm").write_bytes(b"")
        seen = ask(port)
        asked = requests(tmp_path)
    assert (seen.rung, seen.status, set(seen.surfaces), seen.tls) == (rung, status, surfaces, None)
    assert "MADEUP" not in seen.model_dump_json()
    assert all(one.startswith("GET /") for one in asked) and len(asked) <= 20


class Tls:
    """A server block for HTTPS with a certificate of its own."""

    def __init__(self, folder: Path, more: str = "") -> None:
        self.made = certificates.make(folder, "server")
        self.more = more

    def __call__(self, port: int) -> str:
        return (
            f"listen 127.0.0.1:{port} ssl;\nssl_certificate {self.made.certificate_pem};\n"
            f"ssl_certificate_key {self.made.key_pem};\nssl_protocols TLSv1.3;\n{self.more}"
        )


@pytest.mark.parametrize("onward", ["", "error_page 497 =301 https://127.0.0.1:$server_port$request_uri;"])
def test_nginx_over_tls(tmp_path: Path, onward: str) -> None:
    """Its 400 to a request in clear, and its redirect to the same port, both lead to TLS."""
    with nginx(tmp_path, Tls(tmp_path, f"autoindex on; index none; {onward}")) as port:
        seen = ask(port)
    assert (seen.rung, seen.status) == (Rung.HTTP_ANSWERED, 200)
    assert seen.surfaces == {Surface.DIRECTORY_LISTING}, "nothing was served in clear"
    assert seen.tls is not None and seen.tls.version == "TLSv1.3"


def test_nginx_over_tls_with_a_password(tmp_path: Path) -> None:
    with nginx(tmp_path, Tls(tmp_path, PASSWORD)) as port:
        seen = ask(port)
    assert (seen.rung, seen.surfaces) == (Rung.HTTP_GUARDED, frozenset())


def test_nginx_that_wants_a_client_certificate(tmp_path: Path) -> None:
    """nginx shakes hands, and refuses every request afterwards: one is enough."""
    certificate = tmp_path / "server.crt"
    with nginx(tmp_path, Tls(tmp_path, f"ssl_verify_client on; ssl_client_certificate {certificate};")) as port:
        seen = ask(port)
        asked = requests(tmp_path)
    assert (seen.rung, seen.status, seen.surfaces) == (Rung.TLS_CERTIFICATE_WANTED, 400, frozenset())
    assert asked == ["GET / HTTP/1.1"] * 2, "in clear, and over TLS"


def test_a_400_in_clear_from_a_server_without_tls_is_an_error(tmp_path: Path) -> None:
    with nginx(tmp_path, plain("location = / { return 400; }")) as port:
        seen = ask(port)
        asked = requests(tmp_path)
    assert (seen.rung, seen.status, seen.tls) == (Rung.HTTP_ERROR, 400, None)
    assert any("/dicom-web/" in one for one in asked), "the rest was asked in clear again"


@pytest.mark.parametrize(
    ("version", "wanted", "rung"),
    [
        (ssl.TLSVersion.TLSv1_2, False, Rung.TLS_ONLY),
        (ssl.TLSVersion.TLSv1_3, False, Rung.TLS_ONLY),
        (ssl.TLSVersion.TLSv1_2, True, Rung.TLS_CERTIFICATE_WANTED),
        (ssl.TLSVersion.TLSv1_3, True, Rung.TLS_CERTIFICATE_WANTED),
    ],
)
def test_openssl_that_ends_a_request_in_clear(
    tmp_path: Path, version: ssl.TLSVersion, wanted: bool, rung: Rung
) -> None:
    """Not HTTP behind TLS; and a client certificate wanted, which TLS 1.3 says only after the handshake."""
    made = certificates.make(tmp_path, "server")
    context = certificates.server_context(made, version, trusts=made if wanted else None)

    def serve(listener: socket.socket) -> None:
        while True:
            try:
                accepted, _ = listener.accept()
            except OSError:
                return  # the test is over
            with accepted:
                accepted.settimeout(60)
                try:
                    with context.wrap_socket(accepted, server_side=True) as secured:
                        secured.recv(65536)
                        secured.sendall(b"220 not HTTP\r\n\r\n")
                        secured.recv(1)
                except OSError:
                    pass

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        try:
            seen = ask(listener.getsockname()[1])
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(60)
    assert (seen.rung, seen.status) == (rung, None)
    assert seen.surfaces == frozenset()


USERS: dict[str, Any] = {"AuthenticationEnabled": True, "RegisteredUsers": {"somebody": "secret"}}
OPEN = {PLAIN, Surface.CONSOLE, Surface.STATISTICS}


@pytest.mark.parametrize("kind", [ServiceKind.WEB, ServiceKind.DICOMWEB])
@pytest.mark.parametrize(
    ("settings", "dicomweb", "rung", "surfaces"),
    [
        ({}, False, Rung.HTTP_ANSWERED, OPEN),
        ({}, True, Rung.HTTP_ANSWERED, OPEN | {Surface.QIDO_RS, Surface.WADO_RS}),
        ({"OrthancExplorerEnabled": False}, False, Rung.HTTP_ANSWERED, OPEN - {Surface.CONSOLE}),
        (USERS, False, Rung.HTTP_GUARDED, {PLAIN}),
        (USERS, True, Rung.HTTP_GUARDED, {PLAIN}),
    ],
)
def test_orthanc(
    tmp_path: Path,
    settings: dict[str, Any],
    dicomweb: bool,
    rung: Rung,
    surfaces: set[Surface],
    kind: ServiceKind,
) -> None:
    with orthanc(tmp_path, settings, dicomweb=dicomweb) as port:
        seen = ask(port, kind)
        counted = ask(port, kind, count=True)
    if settings is USERS and kind is ServiceKind.DICOMWEB:
        surfaces = surfaces | {Surface.QIDO_RS_GUARDED}  # it refuses every path, and the inventory says what is there
    assert (seen.rung, set(seen.surfaces), seen.counts) == (rung, surfaces, None)
    assert counted.counts == (None if settings is USERS else Counts(studies=0, instances=0, patients=0))


def test_orthanc_behind_tls(tmp_path: Path) -> None:
    """Behind nginx: Debian's Orthanc 1.10.1 with ``SslEnabled`` dies at anybody's first request (civetweb 1316)."""
    (front := tmp_path / "front").mkdir()
    with orthanc(tmp_path, {}, dicomweb=True) as behind:
        proxy = f"location / {{ proxy_pass http://127.0.0.1:{behind}; proxy_set_header Host $http_host; }}"
        with nginx(front, Tls(front, proxy)) as port:
            seen = ask(port, ServiceKind.DICOMWEB)
    assert seen.rung is Rung.HTTP_ANSWERED and seen.tls is not None
    assert seen.surfaces == {Surface.CONSOLE, Surface.STATISTICS, Surface.QIDO_RS, Surface.WADO_RS}
