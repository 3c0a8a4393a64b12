"""The states of a wave and the steps between them, as one table.

A step that the table does not have is refused before its journal entry is written, and so before any device is
touched. The docs' state table is drawn from this one.
"""

from __future__ import annotations

from enum import StrEnum

from remediate.errors import RecordError
from remediate.model.change import State


class Step(StrEnum):
    """A journal entry's kind, where it moves a wave on."""

    APPROVED = "approved"
    PREFLIGHT = "preflight"
    BASELINE = "baseline"
    UNCHANGED = "unchanged"
    STOPPED = "stopped"
    ARMING = "arming"
    PUSHED = "all pushed"
    HELD = "held"
    VERIFIED = "verified"
    CONFIRMED = "confirmed"
    ROLLING_BACK = "rolling back"
    ROLLED_BACK = "rolled back"
    NEEDS_HANDS = "needs hands"


TRANSITIONS: dict[tuple[State, Step], State] = {
    (State.PLANNED, Step.APPROVED): State.APPROVED,
    (State.APPROVED, Step.PREFLIGHT): State.PREFLIGHT,
    (State.APPROVED, Step.STOPPED): State.STOPPED,
    # a plan that asks for no approval, or an emergency
    (State.PLANNED, Step.PREFLIGHT): State.PREFLIGHT,
    (State.PREFLIGHT, Step.BASELINE): State.BASELINE,
    (State.PLANNED, Step.STOPPED): State.STOPPED,
    (State.PREFLIGHT, Step.STOPPED): State.STOPPED,
    (State.BASELINE, Step.STOPPED): State.STOPPED,
    (State.BASELINE, Step.UNCHANGED): State.UNCHANGED,
    (State.BASELINE, Step.ARMING): State.ARMED,
    (State.ARMED, Step.PUSHED): State.PUSHED,
    (State.ARMED, Step.ROLLING_BACK): State.ROLLING_BACK,
    (State.PUSHED, Step.VERIFIED): State.VERIFIED,
    # something is unknown, and the play wants a person to have time for it
    (State.PUSHED, Step.HELD): State.PUSHED,
    (State.VERIFIED, Step.HELD): State.VERIFIED,
    (State.PUSHED, Step.ROLLING_BACK): State.ROLLING_BACK,
    (State.VERIFIED, Step.CONFIRMED): State.CONFIRMED,
    (State.VERIFIED, Step.ROLLING_BACK): State.ROLLING_BACK,
    (State.VERIFIED, Step.NEEDS_HANDS): State.NEEDS_HANDS,
    # after a crash, where nothing had been pushed, a wave starts again
    (State.PREFLIGHT, Step.PREFLIGHT): State.PREFLIGHT,
    (State.BASELINE, Step.PREFLIGHT): State.PREFLIGHT,
    # after a crash the evidence is made anew
    (State.VERIFIED, Step.VERIFIED): State.VERIFIED,
    (State.ROLLING_BACK, Step.ROLLING_BACK): State.ROLLING_BACK,
    (State.ROLLING_BACK, Step.ROLLED_BACK): State.ROLLED_BACK,
    (State.ROLLING_BACK, Step.NEEDS_HANDS): State.NEEDS_HANDS,
    # a person has acted, or the device has answered again
    (State.NEEDS_HANDS, Step.ROLLING_BACK): State.ROLLING_BACK,
    (State.NEEDS_HANDS, Step.CONFIRMED): State.CONFIRMED,
}

#: Nothing of the wave is provisional on any device, and nothing more will be done for it.
CLOSED = frozenset({State.UNCHANGED, State.STOPPED, State.CONFIRMED, State.ROLLED_BACK})
#: A device may hold a provisional change.
IN_FLIGHT = frozenset({State.ARMED, State.PUSHED, State.VERIFIED, State.ROLLING_BACK, State.NEEDS_HANDS})


def advance(state: State, step: Step) -> State:
    try:
        return TRANSITIONS[state, step]
    except KeyError:
        raise RecordError(f"a wave that is {state} cannot be {step}", next="this is a fault of the program") from None
