"""Between two waves: whether another one begins, and when."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import UTC, timedelta

from remediate.change import gates
from remediate.change.devices import Means, Progress
from remediate.change.looking import Eyes
from remediate.errors import Inconclusive, Interrupted, NotAsConfirmed, NotKnown, VerificationFailed
from remediate.model.base import span
from remediate.model.change import Plan, State, Wave
from remediate.runner.limits import LOOK_UP

_FAILED = (State.STOPPED, State.ROLLED_BACK)


def spent(plan: Plan, progress: Mapping[int, Progress]) -> bool:
    """Whether more of a play's hosts have failed than its ``max_fail_percentage``. A wave fails as a whole."""
    hosts: dict[str, int] = {}
    failed: dict[str, int] = {}
    most: dict[str, float] = {}
    for wave in plan.waves:
        hosts[wave.play] = hosts.get(wave.play, 0) + len(wave.pacs)
        most[wave.play] = wave.max_fail_percentage
        if progress[wave.number].state in _FAILED:
            failed[wave.play] = failed.get(wave.play, 0) + len(wave.pacs)
    return any(failed[play] * 100 > most[play] * hosts[play] for play in failed)


def stays(plan: Plan, progress: Mapping[int, Progress]) -> tuple[str, ...]:
    """The PACS of the waves that are confirmed."""
    return tuple(dict.fromkeys(pacs for wave in _confirmed(plan, progress) for pacs in wave.pacs))


def soak(plan: Plan, progress: Mapping[int, Progress], means: Means) -> None:
    """Leaves every confirmed wave alone for its time, then looks at it once more.

    Raises Interrupted on a Ctrl-C, NotAsConfirmed or Inconclusive for what is seen then.
    """
    for wave in _confirmed(plan, progress):
        at = progress[wave.number]
        if wave.soak and not at.soaked:
            _wait(wave, at, means)
            _look_again(wave, at, means)
            at.soaked = True


def _wait(wave: Wave, at: Progress, means: Means) -> None:
    now = means.now()
    # A clock that was set back does not make a soak longer than it is.
    left = wave.soak if at.closed_at is None else max(timedelta(0), min(wave.soak, at.closed_at + wave.soak - now))
    until = now + left
    means.journal.append("soaking", {"after_wave": wave.number, "until": until.isoformat()})
    means.watch.stage(
        wave.number, "soak", f"{span(left)}, until {until.astimezone(UTC):%H:%M:%S} UTC; Ctrl-C: no other wave begins"
    )
    ends = time.monotonic() + left.total_seconds()  # a wait is not made longer or shorter by setting the clock
    stop = threading.Event()
    with means.clock.soaking(), means.cancellation.calling(stop.set):
        while not means.cancellation.requested and time.monotonic() < ends:
            stop.wait(min(LOOK_UP, max(0.0, ends - time.monotonic())))
    if means.cancellation.requested:
        raise Interrupted(f"{means.cancellation.reason}, while wave {wave.number} was left to soak", next=_STAYS)


_STAYS = "it stays confirmed; run again for the others, or remediate rollback"


def _look_again(wave: Wave, at: Progress, means: Means) -> None:
    eyes = Eyes(means.site, wave.vantages, means.nornir, means.loop, means.clock)
    with closing(eyes):
        eyes.open()
        look = eyes.look(
            wave.expectations,
            wave.not_asked,
            unasked=wave.unasked,
            reached_before=at.before.reached if at.before else (),
            patience=means.patience,
        )
    means.journal.append("soaked", {"after_wave": wave.number, **look.record()})
    means.watch.looked(wave.number, "after its soak", look.judgements)
    try:
        gates.check_after(look, observes=wave.observes, bystanders=wave.bystanders, before=at.before)
    except VerificationFailed as error:
        raise (Inconclusive if isinstance(error, NotKnown) else NotAsConfirmed)(
            f"wave {wave.number} is no longer as it was confirmed: {error.what}", next=_STAYS
        ) from error


def _confirmed(plan: Plan, progress: Mapping[int, Progress]) -> Iterator[Wave]:
    return (wave for wave in plan.waves if progress[wave.number].state is State.CONFIRMED)
