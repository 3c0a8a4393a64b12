"""What was asked, and what came back."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from remediate.model.base import AETitle, OrderedJsonSet, Port, Value
from remediate.model.site import IPAddress, Role, ServiceKind


class Rung(StrEnum):
    """What a vantage can do to a service: the ladder, from least to most."""

    FILTERED = "filtered"
    #: An ICMP message said so, or a server that connects for us, which does not tell whose words it repeats.
    UNREACHABLE = "unreachable"
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

    @classmethod
    def _missing_(cls, value: object) -> Rung | None:
        return cls.UNREACHABLE if value == "administratively unreachable" else None  # in records of before 2026-12


#: Nobody got through. "Closed" alone cannot tell a firewall from a dead PACS: the care path must answer too.
UNREACHED = frozenset({Rung.FILTERED, Rung.UNREACHABLE, Rung.CLOSED})


class Icmp(Value):
    """The ICMP message that ended an attempt to connect, of RFC 792 (``version`` 4) or RFC 4443 (6).

    Only a local vantage is told its type and code.
    """

    version: int
    type: int
    code: int

    @property
    def forbids(self) -> bool:
        """Whether its sender says that a rule forbids the connection: codes 9, 10 and 13 of RFC 1812 5.2.7.1; code 1 of
        RFC 4443 3.1, and 5 and 6, which are subsets of it.
        """
        return (self.version, self.type) in _FORBIDDING and self.code in _FORBIDDING[self.version, self.type]

    def __str__(self) -> str:
        kind = _ICMP_TYPES.get((self.version, self.type), "error")
        name = _ICMP_NAMES.get((self.version, self.type, self.code), kind)
        return f"{name} (ICMP{'v6' if self.version == 6 else ''} type {self.type}, code {self.code})"


#: By version and type.
_FORBIDDING = {(4, 3): frozenset({9, 10, 13}), (6, 1): frozenset({1, 5, 6})}
_ICMP_TYPES = {
    (4, 3): "destination unreachable",
    (4, 11): "time exceeded",
    (4, 12): "parameter problem",
    (6, 1): "destination unreachable",
    (6, 2): "packet too big",
    (6, 3): "time exceeded",
    (6, 4): "parameter problem",
}
#: RFC 792, RFC 1122 3.2.2.1, RFC 1812 5.2.7.1; RFC 4443 3.1.
_ICMP_NAMES = {
    (4, 3, 0): "network unreachable",
    (4, 3, 1): "host unreachable",
    (4, 3, 2): "protocol unreachable",
    (4, 3, 6): "network unknown",
    (4, 3, 7): "host unknown",
    (4, 3, 9): "network administratively prohibited",
    (4, 3, 10): "host administratively prohibited",
    (4, 3, 13): "administratively prohibited",
    (6, 1, 0): "no route",
    (6, 1, 1): "administratively prohibited",
    (6, 1, 3): "address unreachable",
    (6, 1, 5): "source address failed a policy",
    (6, 1, 6): "route rejected",
}


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
    ``icmp``: the message that ended the attempt to connect; None where there was none, or a vantage is not told which.
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
    icmp: Icmp | None = None
    detail: str = ""


class CanaryReport(Value):
    """Whether a vantage could see anything at all at one moment; ``detail`` says which canary was silent."""

    vantage: str
    alive: bool
    at: datetime
    detail: str = ""
