"""The last sentence of a run is true of every wave that it speaks of."""

from __future__ import annotations

import pytest

from remediate.model.change import State
from remediate.model.outcome import Outcome, Waits, WaveOutcome
from remediate.report import tables


def ended(*states: State, stays: tuple[str, ...] = ()) -> str:
    waves = tuple(
        WaveOutcome(number=number, state=state, pacs=(f"archive-{number}",)) for number, state in enumerate(states, 1)
    )
    waits = Waits(total=1, deadlines=0, pacs=0, timer=0)
    done = Outcome(change="c-1", exit_status=3, waves=waves, waits=waits, reason="why", stays=stays)
    return tables.sentence(done)


@pytest.mark.parametrize(
    ("states", "said"),
    [
        ((State.STOPPED,), "stopped before anything was pushed. why"),
        ((State.ROLLED_BACK,), "taken back. why"),
        ((State.CONFIRMED, State.STOPPED), "wave 2 (archive-2) stopped before anything of it was pushed. why"),
        ((State.CONFIRMED, State.CONFIRMED, State.ROLLED_BACK), "wave 3 (archive-3) was taken back. why"),
        ((State.UNCHANGED, State.ROLLED_BACK, State.PLANNED), "wave 2 (archive-2) was taken back. why"),
    ],
)
def test_of_several_waves_it_says_which(states: tuple[State, ...], said: str) -> None:
    assert ended(*states) == said


def test_what_was_confirmed_before_was_pushed() -> None:
    said = ended(State.CONFIRMED, State.STOPPED, stays=("archive-1",))
    assert said.splitlines() == [
        "wave 2 (archive-2) stopped before anything of it was pushed. why",
        "confirmed before: archive-1; `remediate rollback c-1` takes that back",
    ]
