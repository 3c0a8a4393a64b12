"""What a probe has learnt so far, and how a conversation can end."""

from __future__ import annotations

from dataclasses import dataclass, field

from remediate.model.observation import Counts, Icmp, Rung, Stack, Surface, Tls
from remediate.model.site import Role
from remediate.model.stream import ByteCapExceeded, StreamEnded, StreamReset


@dataclass
class Found:
    """Facts only, as in an Observation. A later failure takes nothing away from what was reached."""

    rung: Rung
    detail: str = ""
    reject: tuple[int, int, int] | None = None
    status: int | None = None
    negotiated: frozenset[Role] = frozenset()
    surfaces: set[Surface] = field(default_factory=set)
    counts: Counts | None = None
    tls: Tls | None = None
    stack: Stack | None = None
    icmp: Icmp | None = None

    def note(self, text: str) -> None:
        """One more of our own phrases."""
        self.detail = f"{self.detail}; {text}" if self.detail else text


#: ``Question.up_to`` of web and file services: as far as a query's answer, or not limited, everything is asked that a
#: probe knows; below that, the front page or the greeting only.
EVERYTHING = (None, Rung.QUERY_REFUSED, Rung.QUERY_ANSWERED, Rung.DATA_RETURNED)
#: How a stream can fail a reader, in our words.
FAILURES: dict[type[Exception], str] = {
    StreamEnded: "connection closed",
    StreamReset: "connection reset",
    ByteCapExceeded: "more than a probe reads",
    TimeoutError: "no answer in time",
}
STREAM_FAILURES = tuple(FAILURES)
