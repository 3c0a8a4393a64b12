"""What a sweep over ranges found at one address."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from remediate.model.base import OrderedJsonSet, Port, Value
from remediate.model.observation import Rung, Stack, Surface
from remediate.model.site import IPAddress, Role, ServiceKind


class Likeness(StrEnum):
    """What a service gives its address away as."""

    #: It spoke DICOM or DICOMweb, or showed an archive's own pages.
    ARCHIVE = "archive"
    #: It stands where archives do and did not let us see more: TLS, an end without a word, a viewer's page.
    POSSIBLE = "possible archive"
    #: Nothing of the kind; a web server as any other.
    OTHER = "other"


class Heard(Value):
    """A service of DICOM or of the web that answered. ``negotiated``, ``surfaces``, ``stack``: as in Observation."""

    kind: ServiceKind
    port: Port
    rung: Rung
    likeness: Likeness
    negotiated: OrderedJsonSet[Role] = frozenset()
    surfaces: OrderedJsonSet[Surface] = frozenset()
    stack: Stack | None = None


class Beside(Value):
    """A port of which only that is known: ``open``, or why not. ``name``: the service that is expected there."""

    name: str
    port: Port
    rung: Rung


class Discovered(Value):
    """One address. ``at``: UTC.

    ``known_as``: what the inventory says of it, in words, "" where it does not name it. ``unlisted``: ports of archive
    services that are not in its entry there. ``whole``: every port was asked; False where the sweep was stopped.
    """

    address: IPAddress
    at: datetime
    services: tuple[Heard, ...] = ()
    others: tuple[Beside, ...] = ()
    known_as: str = ""
    unlisted: tuple[Port, ...] = ()
    whole: bool = True

    @property
    def likeness(self) -> Likeness:
        found = {one.likeness for one in self.services}
        return next((one for one in Likeness if one in found), Likeness.OTHER)

    @property
    def is_new(self) -> bool:
        """Whether an entry for it is missing."""
        return not self.known_as and self.likeness is not Likeness.OTHER

    @property
    def open(self) -> tuple[Beside, ...]:
        return tuple(one for one in self.others if one.rung.reachable)
