"""A time-stamp authority: openssl's own, behind HTTP on loopback, with certificates made for it."""

from __future__ import annotations

import ipaddress
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

CONFIG = """\
[tsa]
default_tsa = here
[here]
serial = {folder}/serial
signer_cert = {folder}/tsa.pem
signer_key = {folder}/tsa.key
signer_digest = sha256
default_policy = 1.3.6.1.4.1.32473.1
digests = {digests}
ess_cert_id_alg = sha256
"""


@dataclass
class Authority:
    """``ca``: the certificate to trust; ``answers``: how a query is answered, openssl's way unless a test sets it."""

    folder: Path
    digests: str = "sha256"
    lasts: timedelta = timedelta(days=1)
    url: str = ""
    queries: list[tuple[str, bytes]] = field(default_factory=list)
    answers: Callable[[BaseHTTPRequestHandler, bytes], None] | None = None
    ended: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.folder.mkdir()
        self.now = datetime.now(UTC)
        self._key = ec.generate_private_key(ec.SECP256R1())
        ca = self._certificate("Example CA", self._key, None, timedelta(days=30))
        (self.folder / "ca.pem").write_bytes(ca.public_bytes(serialization.Encoding.PEM))
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING])
        self._written("tsa", "Example TSA", usage, True, self.lasts)
        (self.folder / "serial").write_text("01\n")
        (self.folder / "tsa.cnf").write_text(CONFIG.format(folder=self.folder, digests=self.digests))

    @property
    def ca(self) -> Path:
        return self.folder / "ca.pem"

    def stamp(self, query: bytes) -> bytes:
        (self.folder / "query").write_bytes(query)
        argv = ["openssl", "ts", "-reply", "-config", "tsa.cnf", "-queryfile", "query", "-out", "answer"]
        subprocess.run(argv, cwd=self.folder, check=True, capture_output=True)
        return (self.folder / "answer").read_bytes()

    def tls(self) -> ssl.SSLContext:
        name = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
        self._written("web", "Example", name, False, timedelta(days=1))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.folder / "web.pem", self.folder / "web.key")
        return context

    def _written(self, name: str, subject: str, more: x509.ExtensionType, critical: bool, lasts: timedelta) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        made = self._certificate(subject, key, (more, critical), lasts)
        (self.folder / f"{name}.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
        form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        (self.folder / f"{name}.key").write_bytes(key.private_bytes(*form))

    def _certificate(
        self,
        subject: str,
        key: ec.EllipticCurvePrivateKey,
        more: tuple[x509.ExtensionType, bool] | None,
        lasts: timedelta,
    ) -> x509.Certificate:
        made = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Example CA")]))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(self.now - timedelta(days=2))
            .not_valid_after(self.now + lasts)
            .add_extension(x509.BasicConstraints(ca=more is None, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )
        if more is not None:
            made = made.add_extension(more[0], critical=more[1])
        return made.sign(self._key, hashes.SHA256())


@contextmanager
def serving(authority: Authority, *, tls: bool = False) -> Iterator[Authority]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            query = self.rfile.read(int(self.headers["Content-Length"]))
            authority.queries.append((self.headers["Content-Type"], query))
            if authority.answers is not None:
                authority.answers(self, query)
            else:
                answered(self, authority.stamp(query))

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.handle_error = lambda *_: None  # type: ignore[method-assign]  # a client that leaves is what is tested
        if tls:
            server.socket = authority.tls().wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        authority.url = f"http{'s' if tls else ''}://127.0.0.1:{server.server_port}/tsa"
        try:
            yield authority
        finally:
            authority.ended.set()
            server.shutdown()
            thread.join()


def answered(handler: BaseHTTPRequestHandler, body: bytes, status: int = 200, **headers: str) -> None:
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name, value)
    handler.send_header("Content-Type", "application/timestamp-reply")
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)
