"""Where archives listen by default, and what else is looked for beside one: data, each with where it is from."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import NamedTuple

from remediate.errors import UsageError
from remediate.model.site import ServiceKind


class How(StrEnum):
    """How a port is asked."""

    #: An A-ASSOCIATE-RQ, plain, and inside TLS where that is not taken.
    DICOM = "dicom"
    #: Pages that are known of DICOMweb, viewers and consoles.
    WEB = "web"
    #: A connection that is aborted at once: open or closed, and no more.
    OTHER = "other"

    @property
    def kind(self) -> ServiceKind:
        """As what the dial takes it; one that is not DICOM has a gate of its own."""
        return ServiceKind.DICOM if self is How.DICOM else ServiceKind.DICOMWEB


class Place(NamedTuple):
    """``name``: of the service that is expected there. ``source``: where we have that from."""

    port: int
    how: How
    name: str
    source: str

    @property
    def kind(self) -> ServiceKind:
        """What is asked of a port for TLS waits less for an answer in clear."""
        return ServiceKind.DICOM_TLS if self.name == "dicom-tls" else self.how.kind


IANA = "iana.org/assignments/service-names-port-numbers"
PLACES = (
    Place(104, How.DICOM, "acr-nema", IANA),
    Place(11112, How.DICOM, "dicom", IANA),
    Place(4242, How.DICOM, "orthanc", "orthanc.uclouvain.be/book/users/configuration.html: DicomPort"),
    Place(2762, How.DICOM, "dicom-tls", IANA),
    Place(2761, How.DICOM, "dicom-iscl", IANA),
    Place(5678, How.DICOM, "conquest", "Conquest's dicom.ini: TCPPort"),
    Place(2345, How.DICOM, "dicom", "nmap 7.93, dicom-ping.nse: its portrule"),
    Place(8042, How.WEB, "orthanc", "orthanc.uclouvain.be/book/users/configuration.html: HttpPort"),
    Place(80, How.WEB, "http", IANA),
    Place(443, How.WEB, "https", IANA),
    Place(8080, How.WEB, "http-alt", f"{IANA}; dcm4chee-arc-light behind WildFly"),
    Place(8443, How.WEB, "https-alt", "dcm4chee-arc-light behind WildFly: its HTTPS port"),
    Place(3389, How.OTHER, "rdp", f"{IANA}: ms-wbt-server"),
    Place(445, How.OTHER, "smb", f"{IANA}: microsoft-ds"),
    Place(22, How.OTHER, "ssh", IANA),
    Place(21, How.OTHER, "ftp", IANA),
    Place(3306, How.OTHER, "mysql", IANA),
    Place(5432, How.OTHER, "postgresql", IANA),
    Place(1433, How.OTHER, "mssql", f"{IANA}: ms-sql-s"),
    Place(1521, How.OTHER, "oracle", "Oracle Net Services: the default port of a listener"),
    Place(2575, How.OTHER, "hl7", IANA),
)
_KNOWN = {place.port: place for place in PLACES}
_HOW = ", ".join(How)


def chosen(texts: Iterable[str]) -> tuple[Place, ...]:
    """``104,web:8088``: a port by itself is asked as it is in PLACES, and as DICOM where it is not there.

    Raises UsageError.
    """
    found: dict[int, Place] = {}
    for text in (part.strip() for one in texts for part in one.split(",") if part.strip()):
        how, _, number = text.rpartition(":")
        if (
            not number.isascii()
            or not number.isdigit()
            or not 0 < int(number) < 65536
            or (how and how not in list(How))
        ):
            raise UsageError(
                f"--ports {text} is no port", next=f"for example --ports 104,11112,web:8088; before the colon: {_HOW}"
            )
        port = int(number)
        known = _KNOWN.get(port)
        if known is not None and how in ("", known.how):
            found[port] = known
        else:
            found[port] = Place(port, How(how or How.DICOM), how or "dicom", "--ports")
    if not found:
        raise UsageError("--ports names no port", next="for example --ports 104,11112,web:8088")
    return tuple(found.values())
