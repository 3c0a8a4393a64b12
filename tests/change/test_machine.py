"""The table of states, and its picture in the docs."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from remediate.change.machine import CLOSED, IN_FLIGHT, TRANSITIONS, Step, advance
from remediate.errors import RecordError
from remediate.model.change import State

DOC = Path(__file__).parents[2] / "docs" / "life-of-a-change.md"


def reachable(start: State, without: Iterable[Step] = ()) -> set[State]:
    found, new = {start}, {start}
    while new:
        new = {to for (state, step), to in TRANSITIONS.items() if state in new and step not in without} - found
        found |= new
    return found


def test_every_state_of_a_wave_is_reached_and_every_way_ends() -> None:
    assert reachable(State.PLANNED) == set(State)
    for state in reachable(State.PLANNED):
        assert reachable(state) & CLOSED, f"{state} is a dead end"


def test_a_closed_wave_never_moves_again() -> None:
    assert not {state for state, _ in TRANSITIONS} & CLOSED


def test_only_what_was_verified_is_confirmed() -> None:
    """By way of *needs hands* too, which a wave reaches only from *verified* or on its way back."""
    assert {s for (s, _), to in TRANSITIONS.items() if to is State.CONFIRMED} == {State.VERIFIED, State.NEEDS_HANDS}
    assert {s for (s, _), to in TRANSITIONS.items() if to is State.VERIFIED} == {State.PUSHED, State.VERIFIED}
    assert State.VERIFIED not in reachable(State.PLANNED, without=[Step.VERIFIED])


def test_what_may_be_on_a_device_cannot_be_stopped_or_forgotten() -> None:
    for (state, _), to in TRANSITIONS.items():
        if state in IN_FLIGHT:
            assert to not in (State.STOPPED, State.UNCHANGED, State.PREFLIGHT)


@pytest.mark.parametrize("state", list(State))
@pytest.mark.parametrize("step", list(Step))
def test_a_step_is_in_the_table_or_refused(state: State, step: Step) -> None:
    if (state, step) in TRANSITIONS:
        assert advance(state, step) is TRANSITIONS[state, step]
    else:
        with pytest.raises(RecordError):
            advance(state, step)


def test_the_docs_show_this_table() -> None:
    rows = "\n".join(f"| {state} | {step} | {to} |" for (state, step), to in TRANSITIONS.items())
    text = DOC.read_text()
    head, _, rest = text.partition("| from | step | to |\n|---|---|---|\n")
    shown, mark, _ = rest.partition("\n<!-- /states -->")
    assert head
    assert mark
    assert shown == rows, f"put this table into {DOC.name}:\n{rows}"
