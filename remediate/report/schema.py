"""The exported change record. Its fields are documented in docs/record.md, and a test holds the two together.

A field is never renamed or given another meaning within one schema version; new ones may come.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from remediate.model.base import Value
from remediate.model.change import Plan, State
from remediate.model.observation import CanaryReport, Rung
from remediate.model.site import IPAddress, Role, ServiceKind
from remediate.model.traces import Traces
from remediate.model.verdict import Grade, Outcome, Purpose, Unasked, Verdict

SCHEMA_VERSION = 1


class Tool(Value):
    name: Literal["remediate"] = "remediate"
    planned_with: str | None
    exported_with: str


class Operator(Value):
    did: Literal["began", "resumed"]
    name: str
    host: str
    at: datetime


class Signature(Value):
    """``role``: ``closer`` signed the entry before, and so all that had been done.

    ``namespace``, ``message``, ``signature``: as ``ssh-keygen -Y verify`` takes them.
    """

    role: Literal["approver", "operator", "closer"]
    principal: str
    fingerprint: str
    at: datetime
    namespace: str
    message: str
    signature: str


class Change(Value):
    """``outcome``: the state that weighs most among the waves; ``exit_status`` is None until the change has ended."""

    id: str
    outcome: State
    ended: bool
    begun_at: datetime
    ended_at: datetime | None
    seconds: float
    exit_status: int | None
    reason: str
    operators: tuple[Operator, ...]
    signatures: tuple[Signature, ...]
    emergency: str
    plan_sha256: str | None
    playbook: str | None
    inventory: str | None
    takes_back: str | None
    scope: str


class Chain(Value):
    verified: bool
    forced: bool
    problems: tuple[str, ...]
    entries: int
    head: str


class Seen(Value):
    """One expectation and what was seen of it in one round; without an observation ``rung`` is None."""

    pacs: str
    vantage: str
    service: ServiceKind
    endpoint: str
    purpose: Purpose
    peer: str | None
    role: Role | None
    grade: Grade
    outcome: Outcome
    rung: Rung | None
    reject: tuple[int, int, int] | None
    status: int | None
    negotiated: tuple[Role, ...]
    attributed: bool | None
    asked_at: datetime | None
    elapsed: float | None
    why: str


class Round(Value):
    """One round of looking; ``asked_from`` and ``asked_until``: of its first question, and its last answer."""

    title: Literal["before", "after", "taken back"]
    at: datetime
    asked_from: datetime | None
    asked_until: datetime | None
    verdicts: dict[str, Verdict]
    seen: tuple[Seen, ...]
    canaries: tuple[CanaryReport, ...]


class Passage(Value):
    at: datetime
    step: str
    state: State


class HookStory(Value):
    """A step of people's own. ``failed``: why; "" where it did not, or has not ended."""

    name: str
    run: str
    when: Literal["before", "after"]
    hosts: tuple[str, ...]
    began_at: datetime | None
    ended_at: datetime | None
    failed: str


class CutOff(Value):
    """Somebody connected whom the push would cut off. ``listed``: the peers of ``access`` that it is."""

    pacs: str
    device: str
    address: IPAddress
    ports: tuple[int, ...]
    sessions: int
    listed: tuple[str, ...]
    accepted: bool


class Connected(Value):
    """Who was connected right before the push. ``told``: device → how; ``connections``: of all of them."""

    at: datetime
    told: dict[str, str]
    cannot_tell: dict[str, str]
    connections: int
    addresses: int
    cut: tuple[CutOff, ...]


class Kept(Value):
    """What the devices told of who came to the archives, kept before anything was armed. ``devices``: by name."""

    at: datetime
    devices: dict[str, Traces]


class WaveStory(Value):
    """``unasked``: PACS → the sides that its verdict does without. ``nothing_to_close``: PACS → the controls that have
    nothing to close there.
    """

    number: int
    play: str
    pacs: tuple[str, ...]
    vantages: tuple[str, ...]
    state: State
    reopens: bool
    revert_in_seconds: float
    begun_at: datetime | None
    ended_at: datetime | None
    reason: str
    passages: tuple[Passage, ...]
    rounds: tuple[Round, ...]
    restored: bool | None
    differences: tuple[str, ...]
    at_boot: dict[str, str]
    connected: Connected | None
    hooks: tuple[HookStory, ...]
    kept: Kept | None = None
    unasked: dict[str, tuple[Unasked, ...]] = {}
    nothing_to_close: dict[str, tuple[str, ...]] = {}


class DeviceStory(Value):
    """What one wave meant for one device.

    ``refused``: the device refused the push; ``found``: what it said of the push after a crash. ``down_expected``,
    ``down``: seconds for which the push was to keep its services from answering, and did; ``down_back``: for which
    taking it back did.
    """

    wave: int
    device: str
    platform: str
    sections: tuple[str, ...]
    state: Literal["not written", "provisional", "confirmed", "taken back", "needs hands"]
    token: str | None
    pushing_at: datetime | None
    pushed_at: datetime | None
    confirmed_at: datetime | None
    taken_back_at: datetime | None
    refused: bool
    found: str | None
    down_expected: float
    down: float | None
    down_back: float | None
    base: str
    candidate: str
    inverse: str
    diff: str


class Interval(Value):
    """A time in which a PACS was open to the outside, as far as it was seen.

    It began between ``not_before`` and ``first_seen`` and ended between ``last_seen`` and ``not_after``.
    """

    pacs: str
    kind: Literal["exposure", "re-exposure"]
    intended: bool
    not_before: datetime | None
    first_seen: datetime
    last_seen: datetime
    not_after: datetime | None
    seconds_at_least: float
    seconds_at_most: float | None


class Evidence(Value):
    """How near the evidence for one expectation is to whom it stands for, and what it said first and last.

    ``accepted``: by name, of a peer that is simulated only; its ``vantage`` and ``endpoint`` are empty.
    """

    pacs: str
    purpose: Purpose
    peer: str | None
    role: Role | None
    vantage: str
    endpoint: str
    grade: Grade
    first: Outcome | None
    last: Outcome | None
    accepted: bool = False


class Journalled(Value):
    """One entry as it is stored and hashed: ``at`` is text, to the microsecond."""

    seq: int
    at: str
    kind: str
    data: dict[str, Any]
    previous: str
    hash: str


class Document(Value):
    schema_version: int = SCHEMA_VERSION
    exported_at: datetime
    tool: Tool
    change: Change
    chain: Chain
    exposure: tuple[Interval, ...]
    waves: tuple[WaveStory, ...]
    devices: tuple[DeviceStory, ...]
    evidence: tuple[Evidence, ...]
    not_asked: dict[str, tuple[str, ...]]
    leaves_open: dict[str, str]
    plan: Plan | None
    steps: tuple[Journalled, ...]
