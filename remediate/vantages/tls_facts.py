"""What a TLS handshake shows of a server, judged by BCP 195 (RFC 9325, RFC 8996; PS3.15 B.12 and B.13). Pure.

Nothing in here raises, whatever the bytes are.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from remediate.model.observation import Tls
from remediate.model.site import IPAddress

#: Handshake messages (RFC 8446 4, RFC 5246 7.4) and extensions of a ServerHello (RFC 7366, RFC 8446 4.2.1,
#: RFC 5746).
SERVER_HELLO, CERTIFICATE, CERTIFICATE_REQUEST = 2, 11, 13
ENCRYPT_THEN_MAC, SUPPORTED_VERSIONS, RENEGOTIATION_INFO = 22, 43, 0xFF01
TLS_1_2, TLS_1_3 = 0x0303, 0x0304
VERSIONS = {0x0300: "SSLv3", 0x0301: "TLSv1", 0x0302: "TLSv1.1", TLS_1_2: "TLSv1.2", TLS_1_3: "TLSv1.3"}
#: RFC 9325 4.5; 224 bits of an elliptic curve are as strong as 2048 of RSA.
RSA_BITS, EC_BITS = 2048, 224
#: RFC 9325 4.1 asks for 128 bits of security. OpenSSL counts the key's bits: of RC4 it says 128, of 3DES up to 168.
CIPHER_BITS = 128
BROKEN = ("RC4", "RC2", "DES", "IDEA", "EXP")


@dataclass
class Handshake:
    """The server's side of one handshake, message by message. ``alert``: the last one it sent (RFC 8446 6)."""

    version: int | None = None
    cipher: int = 0
    encrypt_then_mac: bool = False
    secure_renegotiation: bool = False
    certificate: bytes | None = None
    certificate_requested: bool = False
    alert: int | None = None

    def message(self, kind: int, data: bytes) -> None:
        """``data``: with its header of four bytes, as it came, before anything in it was checked."""
        if kind == SERVER_HELLO:
            self._server_hello(data)
        elif kind == CERTIFICATE:
            # TLS 1.3 (RFC 8446 4.4.2) puts a context before the list; the server's own certificate is the first.
            at = 5 + _number(data[4:5]) if self.version == TLS_1_3 else 4
            self.certificate = data[at + 6 : at + 6 + _number(data[at + 3 : at + 6])] or None
        elif kind == CERTIFICATE_REQUEST:
            self.certificate_requested = True

    def _server_hello(self, data: bytes) -> None:
        """RFC 8446 4.1.3. After a HelloRetryRequest it comes twice, the second one counts; one cut short does not."""
        at = 39 + _number(data[38:39])  # version, random and session id
        extensions = dict(_extensions(data, at + 5))  # cipher, compression method, length of the extensions
        version = _number(extensions.get(SUPPORTED_VERSIONS, data[4:6]))
        if version not in VERSIONS or len(data) < at + 3:
            return
        self.version = version
        self.cipher = _number(data[at : at + 2])
        self.encrypt_then_mac = ENCRYPT_THEN_MAC in extensions
        self.secure_renegotiation = RENEGOTIATION_INFO in extensions

    def judged(self, address: IPAddress, ciphers: Mapping[int, Mapping[str, Any]], now: datetime) -> Tls | None:
        """None before the ServerHello. ``ciphers``: number → what ``SSLContext.get_ciphers`` says of it."""
        if self.version is None:
            return None
        cipher = ciphers.get(self.cipher, {})
        tls = Tls(
            version=VERSIONS[self.version],
            cipher=cipher.get("name", f"0x{self.cipher:04x}"),
            client_certificate=self.certificate_requested,
            faults=(*self._version_faults(), *self._cipher_faults(cipher)),
        )
        return tls if self.certificate is None else _with_certificate(tls, self.certificate, address, now)

    def _version_faults(self) -> Iterator[str]:
        if self.version not in (TLS_1_2, TLS_1_3):
            yield "protocol below TLS 1.2"
        if self.version != TLS_1_3 and not self.secure_renegotiation:  # RFC 9325 3.5
            yield "no secure renegotiation (RFC 5746)"

    def _cipher_faults(self, cipher: Mapping[str, Any]) -> Iterator[str]:
        """RFC 9325 4.1 and 4.2."""
        if not cipher:
            return
        if cipher["strength_bits"] == 0:
            yield "no encryption (NULL cipher)"
        elif cipher["strength_bits"] < CIPHER_BITS or any(part in cipher["name"] for part in BROKEN):
            yield "weak cipher (RC4, 3DES, DES or export)"
        elif "cbc" in str(cipher["symmetric"]) and not self.encrypt_then_mac:
            yield "CBC without encrypt-then-MAC"
        if cipher["kea"] == "kx-dhe":
            yield "finite-field Diffie-Hellman"
        elif cipher["kea"] not in ("kx-ecdhe", "kx-any"):
            yield "no forward secrecy"
        if cipher["auth"] == "auth-null":
            yield "anonymous: no server certificate"


def _with_certificate(tls: Tls, der: bytes, address: IPAddress, now: datetime) -> Tls:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what is odd in a certificate is said here, not on the terminal
            certificate = x509.load_der_x509_certificate(der)
            facts = {
                "not_before": certificate.not_valid_before_utc,
                "not_after": certificate.not_valid_after_utc,
                "self_signed": _self_signed(certificate),
                "names_match": address in _addresses(certificate),
            }
            faults = tuple(_certificate_faults(certificate, now))
    # x509 says so in a dozen ways, ValueError, TypeError and exceptions of its own; the bytes are the peer's.
    except Exception:
        return tls.model_copy(update={"faults": (*tls.faults, "certificate cannot be read")})
    return tls.model_copy(update={**facts, "faults": (*tls.faults, *faults)})


def _certificate_faults(certificate: x509.Certificate, now: datetime) -> Iterator[str]:
    if now > certificate.not_valid_after_utc:
        yield "certificate expired"
    if now < certificate.not_valid_before_utc:
        yield "certificate not yet valid"
    with contextlib.suppress(UnsupportedAlgorithm):
        key = certificate.public_key()
        if isinstance(key, rsa.RSAPublicKey) and key.key_size < RSA_BITS:
            yield f"certificate with RSA below {RSA_BITS} bits"
        if isinstance(key, ec.EllipticCurvePublicKey) and key.key_size < EC_BITS:
            yield f"certificate with an elliptic curve below {EC_BITS} bits"
    with contextlib.suppress(UnsupportedAlgorithm):
        signature = certificate.signature_hash_algorithm  # None: the algorithm has its own, as Ed25519
        if signature is not None and signature.name in ("sha1", "md5"):
            yield "certificate signed with SHA-1 or MD5"


def _self_signed(certificate: x509.Certificate) -> bool:
    if certificate.issuer != certificate.subject:
        return False
    try:
        certificate.verify_directly_issued_by(certificate)
    except InvalidSignature:
        return False
    except Exception:  # of a kind that is too old to be checked: the names say it
        return True
    return True


def _addresses(certificate: x509.Certificate) -> list[object]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return list(names.get_values_for_type(x509.IPAddress))


def _extensions(data: bytes, at: int) -> Iterator[tuple[int, bytes]]:
    while at + 4 <= len(data):
        end = at + 4 + _number(data[at + 2 : at + 4])
        yield _number(data[at : at + 2]), data[at + 4 : end]
        at = end


def _number(data: bytes) -> int:
    """Zero of no bytes at all: a message may be cut anywhere."""
    return int.from_bytes(data)
