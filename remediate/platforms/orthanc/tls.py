"""DICOM inside TLS → Orthanc's settings, and what its file already says about it. Pure.

The settings are those of Orthanc 1.10.1. There it has one DICOM port: with TLS on, nothing is answered in clear, and
DCMTK's profile of BCP 195 decides on versions and ciphers. DicomTlsMinimumProtocolVersion, which can lower that, came
with 1.12.4 and stays as it stands.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from remediate.model.rule import Setting, TlsIntent
from remediate.platforms.orthanc import switches
from remediate.platforms.orthanc.document import Document

#: As the keys of the file are called.
ENABLED, CERTIFICATE, KEY, TRUSTED, REQUIRED = (
    f"DicomTls{what}"
    for what in ("Enabled", "Certificate", "PrivateKey", "TrustedCertificates", "RemoteCertificateRequired")
)
OURS = (ENABLED, CERTIFICATE, KEY, TRUSTED, REQUIRED)
MINIMUM = "DicomTlsMinimumProtocolVersion"
#: What it sets, and what decides how strong that is.
KEYS = frozenset({*OURS, MINIMUM})
#: Of Orthanc's values the one that means BCP 195, and those that mean TLS 1.2 at least (Configuration.json of 1.12.4).
STRONG = (0, 4, 5)
#: In DicomModalities: the archive calls that one inside TLS.
_CALLS_INSIDE = "UseDicomTls"


def settings(intent: TlsIntent) -> tuple[Setting, ...]:
    return switches.settings(
        {ENABLED: True, CERTIFICATE: intent.certificate, KEY: intent.key, TRUSTED: intent.trusted, REQUIRED: True}
    )


def found(document: Document) -> tuple[Setting, ...]:
    return switches.found(document, OURS)


def without(document: Document) -> Document:
    return switches.without(document, OURS)


def patch(document: Document, wanted: Iterable[Setting]) -> dict[str, Any]:
    return switches.patch(document, OURS, wanted)


def lock_outs(document: Document, intent: TlsIntent) -> tuple[str, ...]:  # noqa: ARG001 -- none in the file
    return ()


def remarks(document: Document, intent: TlsIntent) -> tuple[str, ...]:  # noqa: ARG001 -- the same for all
    said = []
    minimum = json.loads(document.get((MINIMUM,)) or "0")
    if minimum not in STRONG:
        said.append(f"{MINIMUM} is {minimum} there: TLS older than 1.2 may be spoken; 0 stands for BCP 195")
    inside: list[str] = []
    clear: list[str] = []
    for name in document.keys(("DicomModalities",)):
        entry = json.loads(document.get(("DicomModalities", name)) or "null")
        (inside if isinstance(entry, dict) and entry.get(_CALLS_INSIDE) is True else clear).append(name)
    if clear:
        said.append(
            f"what Orthanc itself sends to {', '.join(clear)} goes on in clear ({_CALLS_INSIDE} is not set there)"
        )
    if inside and document.get((CERTIFICATE,)) is not None:
        said.append(f"it calls {', '.join(inside)} inside TLS: with the certificate of config.tls from now on")
    return tuple(said)
