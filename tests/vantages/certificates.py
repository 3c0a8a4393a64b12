"""Certificates and TLS servers for the vantages' tests: OpenSSL's own server side, on whatever wire a test wants."""

from __future__ import annotations

import asyncio
import ssl
import warnings
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from remediate.model.site import ClientCertificate

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


class Made:
    """A certificate with its key, in one PEM file and in two."""

    def __init__(self, folder: Path, name: str, certificate: x509.Certificate, key: Key) -> None:
        self.certificate, self.key = certificate, key
        pem = certificate.public_bytes(serialization.Encoding.PEM)
        secret = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        self.pem, self.certificate_pem, self.key_pem = (folder / f"{name}{end}" for end in (".pem", ".crt", ".key"))
        self.pem.write_bytes(pem + secret)
        self.certificate_pem.write_bytes(pem)
        self.key_pem.write_bytes(secret)

    @property
    def shown(self) -> ClientCertificate:
        return ClientCertificate(certificate=str(self.certificate_pem), key=str(self.key_pem))


def make(
    folder: Path,
    name: str,
    *,
    key: Key | None = None,
    issuer: Made | None = None,
    days: tuple[int, int] = (-1, 30),
    addresses: tuple[str, ...] = ("127.0.0.1", "::1"),
) -> Made:
    """``days``: from now. Self-signed without an issuer."""
    own = key or ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(own.public_key())
        .serial_number(x509.random_serial_number() | 1 << 158)  # 20 bytes, always
        .not_valid_before(now + timedelta(days=days[0]))
        .not_valid_after(now + timedelta(days=days[1]))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    )
    if addresses:
        names = [x509.DNSName("pacs.example"), *(x509.IPAddress(ip_address(one)) for one in addresses)]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return Made(folder, name, builder.sign(issuer.key if issuer else own, hashes.SHA256()), own)


def server_context(
    shown: Made, version: ssl.TLSVersion, *, trusts: Made | None = None, ciphers: str = "ALL"
) -> ssl.SSLContext:
    """Speaks that version alone. ``trusts``: it wants a client certificate, from that issuer."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that TLS 1.0 and 1.1 are deprecated is the point
        context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        context.maximum_version = version
        context.minimum_version = version
    context.set_ciphers(f"{ciphers}:@SECLEVEL=0")
    context.load_cert_chain(shown.pem)
    if trusts is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(trusts.certificate_pem)
    return context


class TlsPeer:
    """The server's side of one connection. ``piece``: how many bytes it sends at a time, 0 for all."""

    def __init__(
        self, context: ssl.SSLContext, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, piece: int = 0
    ) -> None:
        self.reader, self.writer, self.piece = reader, writer, piece
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.session = context.wrap_bio(self.incoming, self.outgoing, server_side=True)

    async def flush(self) -> None:
        data = self.outgoing.read()
        step = self.piece or len(data) or 1
        for at in range(0, len(data), step):
            self.writer.write(data[at : at + step])
            await self.writer.drain()
            if self.piece:
                await asyncio.sleep(0)  # every piece in a turn of its own

    async def shake_hands(self) -> bool:
        """False where the client was turned away, with an alert."""
        while True:
            try:
                self.session.do_handshake()
            except ssl.SSLWantReadError:
                await self.flush()
                data = await self.reader.read(65536)
                if not data:
                    return False
                self.incoming.write(data)
            except ssl.SSLError:
                await self.flush()
                return False
            else:
                await self.flush()
                return True

    async def read(self, most: int) -> bytes:
        while True:
            try:
                return self.session.read(most)
            except ssl.SSLWantReadError:
                data = await self.reader.read(65536)
                if not data:
                    return b""
                self.incoming.write(data)

    async def write(self, data: bytes) -> None:
        self.session.write(data)
        await self.flush()
