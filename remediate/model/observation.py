"""What was asked, and what came back."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from remediate.model.base import AETitle, OrderedJsonSet, Port, Value
from remediate.model.site import IPAddress, Role, ServiceKind


class Rung(StrEnum):
    """What a vantage can do to a service: the ladder, from least to most."""

    FILTERED = "filtered"
    UNREACHABLE = "administratively unreachable"
    CLOSED = "closed"
    INCONCLUSIVE = "inconclusive"
    # reachable, behind TLS
    TLS_ONLY = "TLS only"
    TLS_CERTIFICATE_WANTED = "TLS, client certificate wanted"
    # reachable, DICOM
    NOT_DICOM = "open, not DICOM"
    REJECTED = "rejected"
    BUSY = "rejected, transient"
    ABORTED = "association aborted"
    NO_CONTEXT = "associated, no context accepted"
    ASSOCIATED = "associated"
    ECHO = "echo"
    ABORTED_AFTER_FIND = "aborted after C-FIND"
    QUERY_REFUSED = "query refused"
    QUERY_ANSWERED = "query answered"
    DATA_RETURNED = "data returned"
    # reachable, web and others
    NOT_HTTP = "open, not HTTP"
    HTTP_ERROR = "HTTP error"
    HTTP_GUARDED = "HTTP, access refused"
    HTTP_ANSWERED = "HTTP answered"
    FTP_GUARDED = "FTP, login refused"
    OPEN = "open"

    @property
    def reachable(self) -> bool:
        return self not in UNREACHED and self is not Rung.INCONCLUSIVE


#: Nobody got through. "Closed" alone cannot tell a firewall from a dead PACS: the care path must answer too.
UNREACHED = frozenset({Rung.FILTERED, Rung.UNREACHABLE, Rung.CLOSED})


class Surface(StrEnum):
    """What stands open beside the ladder. Facts only: never a name, a path or a text of the peer's."""

    PLAIN_HTTP = "plain HTTP"
    QIDO_RS = "QIDO-RS"
    QIDO_RS_GUARDED = "QIDO-RS, access refused"
    WADO_RS = "WADO-RS"
    VIEWER = "viewer"
    CONSOLE = "archive console"
    STATISTICS = "statistics"
    DIRECTORY_LISTING = "directory listing"
    ANONYMOUS_FTP = "anonymous FTP"


class Tls(Value):
    """One TLS handshake. ``version`` and ``cipher``: OpenSSL's names (RFC 8446 B.4).

    ``self_signed``, ``names_match`` (the address that was asked is one of its names): of the server's certificate; its
    names count as identifiers and are not kept. None where no certificate could be read. ``client_certificate``: the
    server asked for one. ``faults``: what BCP 195 (RFC 9325) does not allow, in our words.
    """

    version: str
    cipher: str
    not_before: datetime | None = None
    not_after: datetime | None = None
    self_signed: bool | None = None
    names_match: bool | None = None
    client_certificate: bool = False
    faults: tuple[str, ...] = ()


class Stack(Value):
    """What the peer's implementation class UID and version name suggest (PS3.7 D.3.3.2).

    ``name``, ``product``: from our own table, never the peer's text. ``source``: where the table has it from.
    """

    name: str
    product: str = "unknown"
    source: str


class Counts(Value):
    """What an archive says that it holds; None where it does not say."""

    studies: int | None = None
    instances: int | None = None
    patients: int | None = None


class Question(Value):
    """One question to one service from one vantage. An AE title of a peer only from that peer's own place.

    ``address`` and ``port`` are the ones that are dialled; ``service_port`` is the PACS's own.
    ``calling_ae_title`` is None where the service is not DICOM, ``called_ae_title`` where it is not web either.
    ``up_to``: the highest rung that is asked for; None for all of the ladder.
    ``count``: whether an archive may be asked how much it holds; never from outside.
    ``anonymous``: without the client certificate that the vantage has.
    """

    pacs: str
    vantage: str
    kind: ServiceKind
    address: IPAddress
    port: Port
    service_port: Port
    calling_ae_title: AETitle | None = None
    called_ae_title: AETitle | None = None
    up_to: Rung | None = None
    count: bool = False
    anonymous: bool = False

    def __hash__(self) -> int:
        """Of the fields that tell questions apart: pydantic's own takes as long as judging."""
        return hash((self.pacs, self.vantage, self.port, self.calling_ae_title))

    @property
    def endpoint(self) -> str:
        """``203.0.113.20:104``, ``[2001:db8::5]:104``"""
        return f"[{self.address}]:{self.port}" if self.address.version == 6 else f"{self.address}:{self.port}"


class Observation(Value):
    """The facts that one question brought. Never an identifier, never text that the peer chose.

    ``asked_at``, ``answered_at``: UTC; ``elapsed``: seconds between them by the monotonic clock.
    ``reject``: result, source, reason of an A-ASSOCIATE-RJ (PS3.8 9.3.4).
    ``status``: final DIMSE status of the C-FIND (PS3.7 C), or the HTTP status.
    ``negotiated``: roles whose presentation context was accepted; never exercised.
    ``surfaces``: what a web or file service shows. ``counts``: only where counting was asked for.
    ``tls``: of the last handshake; None where none was tried or none answered.
    ``detail``: one of our own phrases, for a person.
    """

    question: Question
    rung: Rung
    asked_at: datetime
    answered_at: datetime
    elapsed: float
    reject: tuple[int, int, int] | None = None
    status: int | None = None
    negotiated: OrderedJsonSet[Role] = frozenset()
    surfaces: OrderedJsonSet[Surface] = frozenset()
    counts: Counts | None = None
    tls: Tls | None = None
    stack: Stack | None = None
    detail: str = ""


class CanaryReport(Value):
    """Whether a vantage could see anything at all at one moment; ``detail`` says which canary was silent."""

    vantage: str
    alive: bool
    at: datetime
    detail: str = ""
