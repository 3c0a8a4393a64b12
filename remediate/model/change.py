"""Candidates, plans, what devices can do, and the journal's protocol."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, NewType, Protocol

from remediate.model.base import Name, Value, canonical, sha256
from remediate.model.hook import Hook
from remediate.model.rule import AnyIntent, Rule, Setting, Unpublished
from remediate.model.site import Addressing, IPAddress
from remediate.model.verdict import Expectation, Unasked
from remediate.model.window import Window

#: Names one push of one change on one device; it is on the device while the change is provisional.
Token = NewType("Token", str)


#: The entries of a section: of a packet filter, in order, or of an archive's configuration.
Items = tuple[Rule, ...] | tuple[Unpublished, ...] | tuple[Setting, ...]


class Section(Value):
    """Our entries for one PACS and one control on a device, after the change and before it; None: none at all."""

    name: str
    intent: AnyIntent
    rules: Items | None
    previous: Items | None


class Candidate(Value):
    """What is to be loaded on one device, and its exact inverse, in the device's own language.

    ``base``: the hash of everything that is not ours in the running configuration that it was made for; ``beside``: the
    hash of each section of ours there, by name, those that it changes too. That is what runs at plan time, or what the
    waves before leave behind. ``diff``: unified, for people. ``down``: for how long its push is expected to keep the
    device's services from answering. ``price``: what taking it back costs. ``effect``: what the proof says that it does
    to packets or associations, for people.
    """

    device: Name
    platform: str
    sections: tuple[Section, ...]
    text: str
    inverse: str
    base: str
    beside: dict[str, str] = {}
    diff: str
    down: timedelta = timedelta(0)
    price: str = ""
    effect: tuple[str, ...] = ()


class OnUnknown(StrEnum):
    """What happens to a push of which something stays unknown, and nothing is known to be wrong.

    ``hold``: it stays provisional, and is looked at again and again as long as the device's timer allows it.
    """

    ROLLBACK = "rollback"
    HOLD = "hold"


class OpenSessions(Value):
    """Of what was connected at plan time, whom the change would cut off. ``cannot``: why nobody could tell."""

    count: int = 0
    peers: tuple[str, ...] = ()
    cannot: str = ""


class Wave(Value):
    """A transaction: everything it applies is verified together, then confirmed.

    ``revert_in``: how long a device waits before it takes an unconfirmed change back.
    ``in_place``: device → sections that are there already, exactly as they would be made. ``open_sessions``: by device
    that is changed.
    ``not_asked``: PACS → what no probe looks at. ``leaves_open``: control → what it does not give. ``reopens``: it
    takes an earlier change back, so what the outside sees afterwards is recorded, not judged. ``window``: it is pushed
    only where ``takes_at_most``, the time of push, verify and rollback at the worst, fits into it. ``soak``: how long
    it is left alone before the next one. ``accept``: who may be cut off while connected, though not in ``access``.
    ``observes``: it closes nothing, and what the outside sees is recorded, not judged. ``before``, ``after``: people's
    own steps, before anything of it is armed and once it is confirmed; their time is part of ``takes_at_most``.
    ``simulated``: PACS → the peers in whose place no vantage stands: that they stay served is proved at plan time, and
    never seen. ``accept_simulated``: those of which somebody has said that this is enough.
    ``accept_unseen``: the PACS that nobody inside looks at, and of which somebody has said that what the outside sees,
    and the simulation, is enough. ``unasked``: PACS → the sides that its verdict does without. ``nothing_to_close``:
    PACS → the controls that have nothing to close there. ``step_limits``: device → seconds that one step may take
    there, where the plan has measured that it needs more than is usual.
    """

    number: int
    play: str
    pacs: tuple[Name, ...]
    vantages: tuple[Name, ...]
    revert_in: timedelta
    candidates: tuple[Candidate, ...] = ()
    in_place: dict[str, tuple[str, ...]] = {}
    open_sessions: dict[str, OpenSessions] = {}
    expectations: tuple[Expectation, ...] = ()
    not_asked: dict[str, tuple[str, ...]] = {}
    leaves_open: dict[str, str] = {}
    max_fail_percentage: float = 0
    on_unknown: OnUnknown = OnUnknown.ROLLBACK
    accept: tuple[IPAddress, ...] = ()
    simulated: dict[str, tuple[Name, ...]] = {}
    accept_simulated: tuple[Name, ...] = ()
    accept_unseen: tuple[Name, ...] = ()
    unasked: dict[str, tuple[Unasked, ...]] = {}
    nothing_to_close: dict[str, tuple[Name, ...]] = {}
    observes: bool = False
    reopens: bool = False
    window: Window | None = None
    takes_at_most: timedelta = timedelta(0)
    soak: timedelta = timedelta(0)
    before: tuple[Hook, ...] = ()
    after: tuple[Hook, ...] = ()
    step_limits: dict[Name, float] = {}

    @property
    def bystanders(self) -> frozenset[str]:
        """The PACS for which nothing is to be configured: they are looked at, and hold nothing up."""
        return frozenset(pacs for pacs, names in self.nothing_to_close.items() if set(names) >= set(self.leaves_open))


class Plan(Value):
    """Everything that would happen, frozen and hashed.

    ``inventory``, ``playbook``, ``templates``: absolute paths; None: only the templates that come along. ``inputs``:
    the hashes of what they held. ``texts``: for showing what has changed since, the text of each and of each device's
    configuration, without secrets; packed by zlib and in base64.
    ``allowed_signers``: absolute paths; in each stands who may approve. ``emergency``: why it is run without that.
    ``notify``: references to the URLs that are told how it ends. ``host_keys``: filtering device → the fingerprint of
    the host key under which it answered: one device must not be worked on under two names.
    """

    schema_version: int = 1
    tool: str
    playbook: str
    inventory: str
    templates: str | None = None
    inputs: dict[str, str]
    texts: dict[str, str] = {}
    waves: tuple[Wave, ...]
    warnings: tuple[str, ...] = ()
    allowed_signers: tuple[str, ...] = ()
    emergency: str = ""
    notify: tuple[str, ...] = ()
    host_keys: dict[str, str] = {}

    @property
    def needs_approval(self) -> bool:
        return bool(self.allowed_signers) and not self.emergency

    @property
    def reopens(self) -> bool:
        """Whether it takes an earlier change back: what it confirms is open again."""
        return any(wave.reopens for wave in self.waves)

    @property
    def digest(self) -> str:
        return sha256(canonical(self.model_dump(mode="json")))


class Capabilities(Value):
    """What a platform's own revert timer can do, and how it filters. ``price``: what a revert costs, for the plan.

    ``down``: for how long a push keeps its services from answering, as an estimate. ``leaves_open``: control → what it
    does not give there, beside what it gives nowhere.
    """

    revert_min: timedelta
    revert_max: timedelta
    revert_step: timedelta
    price: str = ""
    down: timedelta = timedelta(0)
    addressing: Addressing
    atomic: bool
    stateful: bool
    survives_reboot: bool
    leaves_open: dict[str, str] = {}


class Pending(Value):
    """A provisional change on a device: whose it is, and how long until the device takes it back.

    ``owner``: user and machine, where the device was told.
    """

    token: str
    ours: bool
    seconds_left: float
    owner: str = ""


class Unit(Value):
    """Who answers under a device's address. ``key``: the fingerprint of its host key.

    ``name``, ``serial``: what it calls itself, and what tells it from a copy of itself; "" where only the key is asked.
    """

    key: str
    name: str = ""
    serial: str = ""

    @property
    def words(self) -> str:
        known = [self.serial and f"serial number {self.serial}", f"host key {self.key}"]
        return f"{self.name or 'a unit'} ({', '.join(word for word in known if word)})"


class Diff(Value):
    text: str

    def __bool__(self) -> bool:
        return bool(self.text)


class State(StrEnum):
    PLANNED = "planned"
    APPROVED = "approved"
    PREFLIGHT = "preflight"
    BASELINE = "baseline"
    ARMED = "armed"
    PUSHED = "pushed"
    VERIFIED = "verified"
    CONFIRMED = "confirmed"
    UNCHANGED = "unchanged"
    STOPPED = "stopped"
    ROLLING_BACK = "rolling back"
    ROLLED_BACK = "rolled back"
    NEEDS_HANDS = "needs hands"


class Entry(Value):
    """One step in a change's journal. ``hash`` covers ``previous``, change, seq, at, kind and data, as stored."""

    change: str
    seq: int
    at: datetime
    kind: str
    data: dict[str, Any]
    previous: str
    hash: str


class Journal(Protocol):
    """The append-only record of one change. ``append`` returns only once the entry is durable."""

    @property
    def change(self) -> str: ...

    def append(self, kind: str, data: Mapping[str, Any]) -> Entry: ...

    def __iter__(self) -> Iterator[Entry]: ...
