"""Killed at random moments and in the middle of device writes, then resumed. `make test-faults` does far more."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults import crashes
from tests.faults.crashes import GOES_THROUGH, ROLLBACK, TAKEN_BACK, Case
from tests.faults.places import crash, place
from tests.faults.zygote import Point

pytestmark = pytest.mark.timeout(600)

#: Lines of a push: the timer, the list with its token, the token, the guard, and what binds it.
PUSHING = ("revert timer", "extended REMEDIATE-PUSH", "remark remediate push", "deny tcp", "interface Gigabit")


def check(cases: list[Case], folder: Path) -> list[crashes.Result]:
    results = list(crashes.carry_out(cases, 3, folder))
    assert len(results) == len(cases)
    assert [(result.case, result.crash.broken) for result in results if result.crash.broken] == []
    return results


def test_twenty_at_random_moments(tmp_path: Path) -> None:
    results = check(crashes.at_random(20, seed=20), tmp_path)
    assert sum(result.crash.first.killed for result in results) >= 15


def test_in_the_middle_of_a_push(tmp_path: Path) -> None:
    hows: tuple[crashes.How, ...] = ("half", "sent")
    points = [Point(at="write", words=words, how=how) for words in PUSHING for how in hows]
    results = check([Case(GOES_THROUGH, point=point) for point in points], tmp_path)
    assert all(result.crash.first.killed and result.crash.stage == "pushing" for result in results)
    assert {result.crash.end for result in results} == {"rolled back"}


@pytest.mark.parametrize(
    ("story", "words", "stage"),
    [
        (GOES_THROUGH, "configure confirm", "confirming"),
        (GOES_THROUGH, "write memory", "device confirmed"),
        (ROLLBACK, "configure confirm", "confirming"),
        (TAKEN_BACK, "configure revert now", "rolling back"),
    ],
)
def test_in_the_middle_of_what_ends_it(tmp_path: Path, story: crashes.Story, words: str, stage: str) -> None:
    """Half of the line, and all of it without its answer."""
    with place(tmp_path, misbehave=story.misbehave) as here:
        for how in ("half", "sent"):
            crashes.make_ready(here, story)
            found = crash(here, story.do, point=Point(at="write", words=words, how=how))
            assert (found.broken, found.first.killed, found.stage) == ((), True, stage)
            assert found.end == ("rolled back" if story is TAKEN_BACK else "confirmed")
