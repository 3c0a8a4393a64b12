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
    OPEN = "open"

    @property
    def reachable(self) -> bool:
        return self not in UNREACHED and self is not Rung.INCONCLUSIVE


#: Nobody got through. "Closed" alone cannot tell a firewall from a dead PACS: the care path must answer too.
UNREACHED = frozenset({Rung.FILTERED, Rung.UNREACHABLE, Rung.CLOSED})


class Question(Value):
    """One question to one service from one vantage. An AE title of a peer only from that peer's own place.

    ``address`` and ``port`` are the ones that are dialled; ``service_port`` is the PACS's own.
    ``calling_ae_title`` and ``called_ae_title`` are None where the service is not DICOM.
    """

    pacs: str
    vantage: str
    kind: ServiceKind
    address: IPAddress
    port: Port
    service_port: Port
    calling_ae_title: AETitle | None = None
    called_ae_title: AETitle | None = None

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
    detail: str = ""


class CanaryReport(Value):
    """Whether a vantage could see anything at all at one moment; ``detail`` says which canary was silent."""

    vantage: str
    alive: bool
    at: datetime
    detail: str = ""
