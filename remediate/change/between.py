"""Between two waves: whether another one begins, and when."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import UTC, timedelta
from typing import NamedTuple

from nornir.core import Nornir

from remediate import tasks
from remediate.change import gates
from remediate.change.devices import Devices, Means, Progress
from remediate.change.looking import Eyes
from remediate.errors import (
    DeviceError,
    Inconclusive,
    Interrupted,
    NotAsConfirmed,
    NotInForce,
    NotKnown,
    RemediateError,
    VerificationFailed,
)
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


class Standing(NamedTuple):
    """The PACS of the waves that are confirmed. ``seen``: as they were confirmed, as was just looked at. ``doubtful``:
    they are confirmed, and were not seen to be as they were. ``fallen``: their guard is no longer there. The last two
    with why.
    """

    seen: tuple[str, ...]
    doubtful: dict[str, RemediateError]
    fallen: dict[str, RemediateError]

    @property
    def stays(self) -> tuple[str, ...]:
        return (*self.seen, *self.doubtful)

    @property
    def exit_statuses(self) -> tuple[int, ...]:
        return (
            *(NotAsConfirmed.exit_status for _ in self.fallen),
            *(error.exit_status for error in self.doubtful.values() if isinstance(error, NotAsConfirmed)),
        )


def standing(plan: Plan, progress: Mapping[int, Progress], means: Means, *, ask: bool) -> Standing:
    """What of the change still stands. Each confirmed wave is looked at on its devices, and with ``ask`` from outside
    and inside: nothing is called confirmed because it once was. Without ``ask`` the last one is left out, of which all
    that was seen a moment ago. After a Ctrl-C nobody waits for that.
    """
    found = Standing((), {}, {})
    confirmed = list(_confirmed(plan, progress))
    for wave in confirmed if ask else confirmed[:-1]:
        names = dict.fromkeys(wave.pacs)
        if (doubt := progress[wave.number].doubt) is not None:
            found.doubtful.update(dict.fromkeys(names, doubt))
            continue
        if means.cancellation.requested:
            found.doubtful.update(dict.fromkeys(names, Interrupted("not looked at again")))
            continue
        try:
            _check_devices(wave, progress[wave.number], means)
            if ask:
                _look_again(wave, progress[wave.number], means, means.steady, "still confirmed")
            found = found._replace(seen=(*found.seen, *names))
        except NotInForce as error:
            found.fallen.update(dict.fromkeys(names, error))
        except (NotAsConfirmed, DeviceError, Inconclusive) as error:
            found.doubtful.update(dict.fromkeys(names, error))
    return found


def tell(standing: Standing, means: Means) -> None:
    if standing.seen:
        said = "still confirmed" if not means.plan.reopens else "taken back for good"
        means.watch.note(f"{said}: {', '.join(standing.seen)}")
    for name, error in standing.doubtful.items():
        tell_person = means.watch.alarm if isinstance(error, NotAsConfirmed) else means.watch.note
        tell_person(f"confirmed earlier, and not seen to be so now: {name}: {error.what}")
    for name, error in standing.fallen.items():
        means.watch.alarm(f"confirmed earlier, and NO LONGER IN FORCE: {name}: {error.what}")


def _check_devices(wave: Wave, at: Progress, means: Means) -> None:
    """The wave's own sections, in force and for the next start: what others of ours are there came with later waves."""
    devices = Devices(wave, means, at)
    try:
        devices.on(tasks.read_boot, check=devices.check_own, nornir=means.steady)
    finally:
        devices.close_sessions()


def soak(plan: Plan, progress: Mapping[int, Progress], means: Means) -> None:
    """Leaves every confirmed wave alone for its time, then looks at it once more.

    Raises Interrupted on a Ctrl-C, NotAsConfirmed or Inconclusive for what is seen then.
    """
    for wave in _confirmed(plan, progress):
        at = progress[wave.number]
        if wave.soak and not at.soaked:
            _wait(wave, at, means)
            try:
                _look_again(wave, at, means, means.nornir, "soaked")
            except (NotAsConfirmed, Inconclusive) as error:
                at.doubt = error
                raise
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


_TITLES = {"soaked": "after its soak", "still confirmed": "confirmed before"}
_STAYS = "it stays confirmed; run again for the others, or remediate rollback"


def _look_again(wave: Wave, at: Progress, means: Means, nornir: Nornir, kind: str) -> None:
    """``kind``: of the entry that keeps what is seen. Raises NotAsConfirmed, Inconclusive."""
    eyes = Eyes(means.site, wave.vantages, nornir, means.loop, means.clock)
    with closing(eyes):
        eyes.open()
        look = eyes.look(
            wave.expectations,
            wave.not_asked,
            unasked=wave.unasked,
            reached_before=at.before.reached if at.before else (),
            patience=means.patience,
        )
    means.journal.append(kind, {"after_wave": wave.number, **look.record()})
    means.watch.looked(wave.number, _TITLES[kind], look.judgements)
    if wave.reopens:
        return
    try:
        gates.check_after(look, observes=wave.observes, bystanders=wave.bystanders, before=at.before)
    except VerificationFailed as error:
        raise (Inconclusive if isinstance(error, NotKnown) else NotAsConfirmed)(
            f"wave {wave.number} is no longer as it was confirmed: {error.what}", next=_STAYS
        ) from error


def _confirmed(plan: Plan, progress: Mapping[int, Progress]) -> Iterator[Wave]:
    return (wave for wave in plan.waves if progress[wave.number].state is State.CONFIRMED)
