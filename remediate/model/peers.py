"""Who uses an archive, as devices see it now and as records that were kept say of the past."""

from __future__ import annotations

from datetime import datetime, timedelta

from remediate.model.base import Port, Value
from remediate.model.site import IPAddress

#: A look-back that is shorter may lack whoever comes once a month.
LONG_ENOUGH = timedelta(days=31)


class Connection(Value):
    """A connection to an archive's service. ``port``: the archive's own.

    ``archive``: its address behind any translation; None where the archive itself tells. ``interface``: by which the
    device gets what comes from there; "" where that is not known. ``established``: False for one that has ended.
    """

    source: IPAddress
    port: Port
    archive: IPAddress | None = None
    interface: str = ""
    established: bool = True


class Noted(Value):
    """Somebody whom an observing guard would have denied. ``last``: UTC; ``packets``: since it was noted first."""

    source: IPAddress
    port: Port
    archive: IPAddress
    last: datetime
    packets: int


class LivePeers(Value):
    """The connections that a device sees now, and whom its guard has noted. ``cannot``: why it cannot tell of the
    connections; "" where it did.
    """

    connections: tuple[Connection, ...] = ()
    noted: tuple[Noted, ...] = ()
    how: str = ""
    cannot: str = ""


class Use(Value):
    """Uses of one service from one address. ``port``: the archive's own; None where the record does not say.

    ``first``, ``last``: UTC. ``ae_title``: the calling one, where the record has it. ``said_by``: which record.
    """

    address: IPAddress
    port: Port | None = None
    ae_title: str | None = None
    first: datetime
    last: datetime
    times: int
    said_by: str
    live: bool = False


class Covered(Value):
    """A file that was handed in. ``first``, ``last``: of all that stands in it, whoever it is about; UTC.

    ``used``: lines about this archive; ``others``: good lines about something else; ``bad``: where and why the
    first of those that could not be read, never with their text, which may name a patient.
    """

    file: str
    format: str
    first: datetime | None = None
    last: datetime | None = None
    used: int = 0
    others: int = 0
    bad_lines: int = 0
    bad: tuple[str, ...] = ()


class SeenPeer(Value):
    """One address that uses an archive. ``ports``: of its services; ``times``: by what said so.

    ``listed``: the peers in ``access`` whose place it is. ``unlisted_ports``: which of the ports none of them is
    there for. ``dicom``: one of them is for associations. ``open_now``: it has a connection open.
    """

    address: IPAddress
    ports: tuple[Port, ...]
    ae_titles: tuple[str, ...] = ()
    first: datetime
    last: datetime
    times: dict[str, int]
    listed: tuple[str, ...] = ()
    unlisted_ports: tuple[Port, ...] = ()
    dicom: bool = False
    open_now: bool = False

    @property
    def is_listed(self) -> bool:
        return bool(self.listed) and not self.unlisted_ports


class PeersSeen(Value):
    """All of it, for one archive. ``at``: UTC. ``asked``: by device, how it told; ``cannot_tell``: why it could not.

    ``look_back``: how much time the files cover together.
    """

    pacs: str
    at: datetime
    peers: tuple[SeenPeer, ...]
    asked: dict[str, str] = {}
    cannot_tell: dict[str, str] = {}
    files: tuple[Covered, ...] = ()
    look_back: timedelta = timedelta(0)

    @property
    def long_enough(self) -> bool:
        return self.look_back >= LONG_ENOUGH
