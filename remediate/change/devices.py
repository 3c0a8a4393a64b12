"""The devices of one wave: every task on them, what they hold, and undoing it on one of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import wraps
from itertools import count
from typing import Any

from nornir.core import Nornir
from nornir.core.task import AggregatedResult, Task

from remediate import platforms, runner, tasks
from remediate.change import guarding
from remediate.change.looking import PATIENCE, Look, raise_first
from remediate.change.watch import Stopwatch
from remediate.errors import DeviceError, Inconclusive, PendingChange, RemediateError, VerificationFailed
from remediate.model.change import Journal, Plan, State, Token, Unit, Wave
from remediate.model.site import Site
from remediate.model.watch import Watch
from remediate.runner import Cancellation, LoopRunner

#: Seconds for any one step on one device, connecting included.
DEVICE_DEADLINE = 120.0
#: Seconds beyond the timer's end until a device must have taken a change back by itself.
TIMER_SLACK = 15.0


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass
class Means:
    """What a change works with. ``steady`` runs tasks that a Ctrl-C must not end: those that take back.

    ``patience``: seconds for which a care path that does not answer yet is asked again.
    ``planned_for``: what a device ran when the plan was made, if the plan says so.
    ``now``: what windows are held against. ``needs_approval``: no wave goes on from *planned*.
    ``plan``: what is being carried out.
    ``armed``: the devices that may hold a provisional change, and when they will have taken it back by themselves.
    ``units``: who must answer at each login, by device.
    """

    site: Site
    nornir: Nornir
    steady: Nornir
    loop: LoopRunner
    journal: Journal
    watch: Watch
    clock: Stopwatch
    cancellation: Cancellation
    armed: dict[str, datetime]
    plan: Plan
    patience: float = PATIENCE
    now: Callable[[], datetime] = utc_now
    needs_approval: bool = False
    planned_for: Callable[[str], str | None] = lambda _: None
    units: dict[str, Unit] = field(default_factory=dict)


@dataclass
class Progress:
    """Where a wave stands; read from the journal after a crash. ``unsaved``: confirmed, but not for the next boot.

    ``armed_at``: before the first device was armed. ``pushed_at``: once the last one was.
    ``down``: device → seconds for which the push kept its services from answering; ``down_back``: taking it back.
    ``closed_at``: when it came to its end. ``soaked``: it was left alone since for its time, and looked at again.
    ``hooks``: where people's own steps stand, by ``change.hooks``.
    ``units``: who answered, by device.
    """

    state: State = State.PLANNED
    tokens: dict[str, Token] = field(default_factory=dict)
    before: Look | None = None
    running: dict[str, str] = field(default_factory=dict)
    armed_at: datetime | None = None
    pushed_at: datetime | None = None
    down: dict[str, float] = field(default_factory=dict)
    down_back: dict[str, float] = field(default_factory=dict)
    unsaved: bool = False
    closed_at: datetime | None = None
    soaked: bool = False
    hooks: dict[str, str] = field(default_factory=dict)
    units: dict[str, Unit] = field(default_factory=dict)


def _told(task: Callable[..., Any], devices: int, watch: Watch) -> Callable[..., Any]:
    """The task, and what became of it on each device as soon as it has ended there."""
    done, what = count(1), task.__name__.replace("_", " ")

    @wraps(task)
    def working(on: Task, **params: Any) -> Any:
        began, failed = time.monotonic(), ""
        try:
            return task(on, **params)
        except Exception as error:  # only told: it is raised again as it is
            text = error.what if isinstance(error, RemediateError) else type(error).__name__
            failed = text.partition("\n")[0]
            raise
        finally:
            watch.device(on.host.name, what, next(done), devices, seconds=time.monotonic() - began, failed=failed)

    return working


class Devices:
    """The devices of a wave. Every method raises the errors of the tasks that it runs."""

    def __init__(self, wave: Wave, means: Means, at: Progress) -> None:
        self.means = means
        self.at = at
        self._wave = wave
        self.candidates = {c.device: c for c in wave.candidates}
        #: Of the pushes: a candidate is staged under the token of the push that loads it.
        self.tokens = {name: Token(f"{means.journal.change}.{wave.number}.{name}") for name in self.candidates}
        self._applied: dict[str, str] = {}

    def on(
        self,
        task: Callable[..., Any],
        names: Iterable[str] | None = None,
        *,
        nornir: Nornir | None = None,
        **params: Any,
    ) -> AggregatedResult:
        """The task on devices of this wave, all of them unless named; raises the first failure once all are done."""
        hosts: Sequence[str] = tuple(self.candidates if names is None else names)
        told = _told(task, len(hosts), self.means.watch)
        results = runner.run(nornir or self.means.nornir, told, hosts=hosts, **params)
        for result in results.values():
            raise_first(result.exception)
        return results

    def close_sessions(self) -> None:
        if self.candidates:
            runner.run(self.means.steady, tasks.close_session, hosts=tuple(self.candidates))

    def state_on(self, name: str) -> str:
        try:
            result = self.on(tasks.read_back, (name,), tokens=self.at.tokens, nornir=self.means.steady)
        except (DeviceError, Inconclusive) as error:
            self.on(tasks.close_session, (name,), nornir=self.means.steady)
            return f"cannot be asked: {error.what}"
        running, state = result[name][0].result
        self.at.running.setdefault(name, running)
        return str(state.name)

    def check_base(self, name: str, running: str, planned: str | None = None) -> None:
        guarding.check_base(self.means.site.devices[name], self.candidates[name], running, planned)

    def check_unchanged(self, name: str, running: str) -> None:
        """Since the preflight, which has held it against the plan."""
        if running != self.at.running[name]:
            self.check_base(name, running, self.at.running[name])

    def check_applied(self, name: str, running: str) -> None:
        """It is as simulated, outside the guard too. The same text is so the second time."""
        if running != self._applied.get(name):
            guarding.check_applied(self.means.site.devices[name], self.candidates[name], running, self.at.running[name])
            self._applied[name] = running

    def check_armed(self) -> None:
        """The push is in force as simulated, provisional or (after a crash) confirmed, and nothing else changed."""

        def check(name: str, running: str, state: platforms.PushState) -> None:
            if state.name not in (platforms.ARMED, platforms.CONFIRMED):
                raise VerificationFailed(f"the push is {state.name}, no longer armed", where=name)
            self.check_applied(name, running)

        self.on(tasks.read_back, tokens=self.at.tokens, check=check)

    def time_left(self) -> float:
        """Seconds until the first device of the wave may take the change back: it may have been armed at once."""
        return self._left_since(self.at.armed_at)

    def _left_since(self, begun: datetime | None) -> float:
        gone = 0.0 if begun is None else (datetime.now(begun.tzinfo) - begun).total_seconds()
        return self._wave.revert_in.total_seconds() - gone

    def undo(self, name: str) -> None:
        """Now, or, where the device cannot be reached, once its own timer must have ended."""
        try:
            self._undo_now(name)
            return
        except (DeviceError, Inconclusive) as error:
            until = error.seconds_left if isinstance(error, PendingChange) else 0.0
            left = max(until, self._left_since(self.at.pushed_at)) + TIMER_SLACK
            self.means.watch.note(f"{name}: {error.what}; its own timer ends within {left:.0f} s")
        ends = time.monotonic() + left
        with self.means.clock.waiting_for_timer():
            while True:
                time.sleep(min(2.0, left))  # the device's timer is what is waited for; nothing tells us when it ends
                try:
                    self._undo_now(name)
                    return
                except (DeviceError, Inconclusive):
                    if time.monotonic() > ends:
                        raise

    def _undo_now(self, name: str) -> None:
        steady = self.means.steady
        try:
            self.on(tasks.take_back, (name,), tokens=self.at.tokens, candidates=self.candidates, nornir=steady)
            result = self.on(tasks.read_back, (name,), tokens=self.at.tokens, nornir=steady)
            running, state = result[name][0].result
            if state.name not in (platforms.REVERTED, platforms.ABSENT):
                raise DeviceError(f"the change is {state.name} after it was taken back", where=name)
            if state.down is not None:
                self.at.down_back[name] = state.down
            guarding.check_restored(
                self.means.site.devices[name], self.candidates[name], running, self.at.running.get(name)
            )
            self.on(tasks.forget, (name,), tokens=self.at.tokens, nornir=steady)
            self.on(tasks.discard, (name,), nornir=steady)
        except RemediateError:
            self.on(tasks.close_session, (name,), nornir=steady)  # the next try logs in afresh
            raise
