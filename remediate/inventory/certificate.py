"""A peer's client certificate: one place says whether it can be shown, to the inventory's check and to a vantage."""

from __future__ import annotations

import os
import ssl
from pathlib import Path
from typing import NoReturn

from remediate.model.site import ClientCertificate

#: Bytes; a certificate with its whole chain has a few thousand.
MOST = 1 << 20
#: Of one kind, as RSA, and not of a pair; of two kinds.
MISMATCHES = ("KEY_VALUES_MISMATCH", "NO_CERTIFICATE_ASSIGNED")


class _PassphraseWantedError(Exception):
    """OpenSSL would ask for one on the terminal."""


def show(certificate: ClientCertificate, context: ssl.SSLContext) -> str:
    """Lets the context show it in a handshake. "", or in words why it cannot."""
    try:
        for path, marker, what in (
            (certificate.certificate, b"CERTIFICATE-----", "certificate"),
            (certificate.key or certificate.certificate, b"PRIVATE KEY-----", "private key"),
        ):
            with Path(path).open("rb") as file:
                if marker not in file.read(MOST):
                    return f"the file {path!r} holds no {what} (PEM)"
        context.load_cert_chain(certificate.certificate, certificate.key, password=_refuse)
    except _PassphraseWantedError:
        return f"the private key in {certificate.key or certificate.certificate!r} has a passphrase; use one without"
    except ssl.SSLError as error:  # an OSError too, with a number of OpenSSL's
        if error.reason in MISMATCHES:
            return f"the private key does not belong to the certificate in {certificate.certificate!r}"
        return f"OpenSSL cannot read the certificate in {certificate.certificate!r}, or its private key"
    except OSError as error:
        return f"the file {error.filename or certificate.certificate!r} cannot be read: {os.strerror(error.errno or 0)}"
    return ""


def trouble(certificate: ClientCertificate) -> str:
    """Why it cannot be shown; "" where it can, however weak it is: that is the server's to judge."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    return show(certificate, context)


def _refuse() -> NoReturn:
    raise _PassphraseWantedError
