"""Addresses that somebody else, such as a CERT, reported as open: whose they are, what is seen there and was before."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from remediate.model.base import Name, Port, Value
from remediate.model.site import IPAddress
from remediate.model.verdict import Finding, Outcome


class Whose(StrEnum):
    ARCHIVE = "an archive of the inventory"
    #: An archive that the playbook's hosts or --limit leave out.
    LEFT_OUT = "an archive that was not selected"
    #: In a network of ``scope``, and no archive of the inventory.
    UNLISTED = "in scope, and no archive of the inventory"
    ENDED = "in scope, but the authorisation has ended"
    FOREIGN = "not ours"

    @property
    def is_ours(self) -> bool:
        return self is not Whose.FOREIGN


class Now(StrEnum):
    OPEN = "open"
    CLOSED = "closed"
    UNKNOWN = "unknown"
    NOT_ASKED = "not asked"


class Before(Value):
    """The last time that it was protected: the first change that saw it so, and the ports that were closed.

    ``opened_by``, ``opened_at``: the first change after it that saw one of them open.
    """

    change: str
    at: datetime
    ports: tuple[Port, ...]
    opened_by: str | None = None
    opened_at: datetime | None = None


class Reported(Value):
    """One address. ``ports``, ``lines``: of the list. ``known_as``: what the inventory says of it, in words.

    ``protected_by``: archive → the devices that protect it. ``before``: None where no change saw it protected.
    """

    address: IPAddress
    ports: tuple[Port, ...] = ()
    lines: tuple[int, ...]
    whose: Whose
    known_as: str = ""
    protected_by: dict[Name, tuple[Name, ...]] = {}
    why_not_asked: str = ""
    findings: tuple[Finding, ...] = ()
    before: Before | None = None

    @property
    def now(self) -> Now:
        outcomes = {finding.outcome for finding in self.findings}
        if not outcomes:
            return Now.NOT_ASKED
        if Outcome.UNMET in outcomes:
            return Now.OPEN
        return Now.UNKNOWN if Outcome.UNKNOWN in outcomes else Now.CLOSED

    @property
    def open_ports(self) -> tuple[int, ...]:
        found = {f.expectation.question.port for f in self.findings if f.outcome is Outcome.UNMET}
        return tuple(sorted(found))

    @property
    def came_back(self) -> tuple[int, ...]:
        """The ports that a change saw closed and that are open now."""
        return tuple(port for port in self.open_ports if self.before is not None and port in self.before.ports)
