"""What a rollback has confirmed before it stopped is open again: nobody is told that it is "still confirmed"."""

from __future__ import annotations

import pytest

from remediate.model.change import State
from remediate.model.outcome import Outcome, Waits, WaveOutcome
from remediate.report import tables


@pytest.mark.parametrize(
    ("reopens", "said"), [(False, "confirmed before: archive-a; "), (True, "taken back for good: archive-a; ")]
)
def test_the_sentence_says_which(reopens: bool, said: str) -> None:
    waves = (
        WaveOutcome(number=1, state=State.CONFIRMED, pacs=("archive-a",)),
        WaveOutcome(number=2, state=State.ROLLED_BACK, pacs=("archive-b",)),
    )
    waits = Waits(total=1, deadlines=0, pacs=0, timer=0)
    done = Outcome(change="c-1", exit_status=4, waves=waves, waits=waits, stays=("archive-a",), reopens=reopens)
    assert said in tables.sentence(done)
    assert tables.sentence(done).count("archive-a") == 1 + tables.sentence(done).count("wave 1 (archive-a)")
