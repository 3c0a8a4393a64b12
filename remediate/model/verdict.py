"""What an observation must be, and what was judged."""

from __future__ import annotations

from enum import StrEnum

from remediate.model.base import OrderedJsonSet, Value
from remediate.model.observation import Observation, Question, Rung
from remediate.model.site import Role


class Purpose(StrEnum):
    OUTSIDE_CLOSED = "outside closed"
    #: From inside, by somebody who shows neither certificate nor password.
    STRANGERS_REFUSED = "strangers refused"
    CARE_PATH = "care path"

    @property
    def forbids(self) -> bool:
        """Whether getting further than the expectation says is what must not be."""
        return self is not Purpose.CARE_PATH


class Grade(StrEnum):
    """How near the evidence for a peer is to that peer."""

    DIRECT = "direct"
    SAME_SEGMENT = "same segment"
    OBSERVED = "observed"
    SIMULATED = "simulated"


class Expectation(Value):
    """What the answer to ``question`` must be: one of ``rungs``, and all of ``negotiated`` accepted.

    ``attributable``: a canary of the vantage that stands behind a device of the PACS answers on the same port, so that
    *filtered* is that device's doing even where nobody got through before.
    """

    question: Question
    purpose: Purpose
    rungs: OrderedJsonSet[Rung]
    negotiated: OrderedJsonSet[Role] = frozenset()
    peer: str | None = None
    role: Role | None = None
    grade: Grade = Grade.DIRECT
    attributable: bool = False


class Outcome(StrEnum):
    MET = "met"
    UNMET = "unmet"
    UNKNOWN = "unknown"


class Finding(Value):
    """One expectation against its observation; ``why`` is for a person. No observation is unknown."""

    expectation: Expectation
    outcome: Outcome
    observation: Observation | None = None
    attributed: bool | None = None
    why: str = ""


class Verdict(StrEnum):
    PROTECTED = "protected"
    EXPOSED = "exposed"
    CARE_PATH_BROKEN = "care path broken"
    INCONCLUSIVE = "inconclusive"


class Unasked(Value):
    """A side of a PACS that nobody asks, and why its verdict may do without: it has nothing there, or somebody has
    accepted by name that it is not seen. ``why``: a clause for people.
    """

    purpose: Purpose
    why: str


class Judgement(Value):
    """The verdict on one PACS, always with its scope: which vantages said so, and what was not asked.

    ``unasked``: what it rests on beside what was seen.
    """

    pacs: str
    verdict: Verdict
    findings: tuple[Finding, ...]
    vantages: tuple[str, ...] = ()
    not_asked: tuple[str, ...] = ()
    unasked: tuple[Unasked, ...] = ()
