"""What is wrong with the files that an archive is to speak TLS with. Pure."""

from __future__ import annotations

from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from remediate.model.device import TlsFiles


def faults(
    files: TlsFiles, *, certificate: str, public_key: str, trusted: str | None, now: datetime
) -> tuple[str, ...]:
    """``public_key``: that of the private key. The texts are PEM; "" for what is not there or cannot be read.

    ``trusted``: None where no certificate is asked for.
    """
    own = _certificates(certificate)
    wrong = []
    if own is None:
        wrong.append(f"no certificate (PEM) can be read in {files.certificate} (config.tls.certificate)")
    else:
        wrong += [f"the certificate in {files.certificate} {said}" for said in _dates(own[0], now)]
    public = _public(public_key)
    if public is None:
        wrong.append(
            f"openssl there reads no private key without a passphrase in {files.key} (config.tls.key), or there is no "
            "openssl"
        )
    elif own is not None and public != _public(_pem(own[0])):
        wrong.append(f"the private key in {files.key} does not belong to the certificate in {files.certificate}")
    if trusted is None:
        return tuple(wrong)
    if (others := _certificates(trusted)) is None:
        wrong.append(f"no certificate (PEM) can be read in {files.trusted} (config.tls.trusted)")
    elif (said := [_dates(one, now) for one in others]) and all(said):
        wrong.append(f"no certificate in {files.trusted} counts today: the first one {said[0][0]}")
    return tuple(wrong)


def _certificates(text: str) -> list[x509.Certificate] | None:
    """None where there is none, and where one of them cannot be read."""
    try:
        return x509.load_pem_x509_certificates(text.encode())
    except ValueError:
        return None


def _dates(one: x509.Certificate, now: datetime) -> list[str]:
    if now < one.not_valid_before_utc:
        return [f"counts from {one.not_valid_before_utc:%Y-%m-%d} on"]
    if now > one.not_valid_after_utc:
        return [f"ended on {one.not_valid_after_utc:%Y-%m-%d}"]
    return []


def _pem(one: x509.Certificate) -> str:
    return one.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def _public(text: str) -> bytes | None:
    try:
        key = load_pem_public_key(text.encode())
    except ValueError:
        return None
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
