"""The devices of one wave: every task on them, what they hold, and undoing it on one of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial, wraps
from itertools import count
from typing import Any

from nornir.core import Nornir
from nornir.core.task import AggregatedResult, Task

from remediate import platforms, runner, tasks
from remediate.change import guarding
from remediate.change.durations import TIMER_SLACK
from remediate.change.guarding import Running, Since
from remediate.change.looking import PATIENCE, Look, raise_first
from remediate.change.watch import Stopwatch
from remediate.errors import (
    DeviceError,
    DriftError,
    Inconclusive,
    NotInForce,
    PendingChange,
    RemediateError,
    VerificationFailed,
)
from remediate.model.change import Candidate, Items, Journal, Plan, State, Token, Unit, Wave
from remediate.model.observation import Question
from remediate.model.site import Site
from remediate.model.watch import Watch
from remediate.render import Renderer
from remediate.runner import Cancellation, LoopRunner


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass
class Means:
    """What a change works with. ``steady`` runs tasks that a Ctrl-C must not end: those that take back.

    ``patience``: seconds for which a care path that does not answer yet is asked again.
    ``planned_for``: what a device, by its name, was to run when a wave begins, by its number; if the plan says so.
    ``brought``: by which changes of the record sections of ours came to be what they are on a device, or went away.
    ``reached``: what got through to these archives before a change of the record closed them.
    ``renderer``: opens the plan's templates.
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
    planned_for: Callable[[str, int], Running | None] = lambda _device, _wave: None
    brought: Callable[[str, Collection[str]], Mapping[str, str]] = lambda _device, _sections: {}
    reached: Callable[[Collection[str]], Collection[Question]] = lambda _pacs: ()
    renderer: Callable[[], Renderer] = Renderer
    units: dict[str, Unit] = field(default_factory=dict)


@dataclass
class Progress:
    """Where a wave stands; read from the journal after a crash. ``unsaved``: confirmed, but not for the next boot.

    ``armed_at``: before the first device was armed. ``pushed_at``: once the last one was.
    ``down``: device → seconds for which the push kept its services from answering; ``down_back``: taking it back.
    ``closed_at``: when it came to its end. ``soaked``: it was left alone since for its time, and looked at again.
    ``hooks``: where people's own steps stand, by ``change.hooks``.
    ``units``: who answered, by device.
    ``fitted``: the candidates that were made anew for what runs there, by device.
    ``begun``: the devices on which a push was begun; ``loaded``: those on which it was in force, as the journal tells;
    ``confirming``: those on which a confirm was begun.
    ``doubt``: why it was not seen to be as it was confirmed, when it was looked at again in this run.
    ``since``: device → what differs there from before the push, once that is taken back.
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
    fitted: dict[str, Candidate] = field(default_factory=dict)
    begun: set[str] = field(default_factory=set)
    loaded: set[str] = field(default_factory=set)
    confirming: set[str] = field(default_factory=set)
    since: dict[str, Since] = field(default_factory=dict)
    doubt: RemediateError | None = None

    def noted(self, kind: str, device: str) -> None:
        """One more entry of a device task."""
        if kind == "pushing":
            self.begun.add(device)
        elif kind == "pushed":
            self.loaded.add(device)
        elif kind == "confirming":
            self.confirming.add(device)


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
    """The devices of a wave. Every method raises the errors of the tasks that it runs.

    ``tokens``: of the pushes of this wave, made or to be made.
    """

    def __init__(self, wave: Wave, means: Means, at: Progress) -> None:
        self.means = means
        self.at = at
        self._wave = wave
        self._planned = {c.device: c for c in wave.candidates}
        self.candidates = self._planned | at.fitted
        self.tokens = {name: Token(f"{means.journal.change}.{wave.number}.{name}") for name in self._planned}
        self._applied: dict[str, str] = {}

    def on(
        self,
        task: Callable[..., Any],
        names: Iterable[str] | None = None,
        *,
        nornir: Nornir | None = None,
        told: bool = True,
        **params: Any,
    ) -> AggregatedResult:
        """The task on devices of this wave, all of them unless named; raises the first failure once all are done.

        ``told``: whether the watch hears of each device.
        """
        hosts: Sequence[str] = tuple(self.candidates if names is None else names)
        work = _told(task, len(hosts), self.means.watch) if told else task
        if limits := [limit for host, limit in self._wave.step_limits.items() if host in hosts]:
            work = runner.deadline(max(limits))(work)
        results = runner.run(nornir or self.means.nornir, work, hosts=hosts, **params)
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

    def fit(self, name: str, running: str) -> None:
        """Holds what runs there against the plan. Where nothing but sections of ours is different, the candidate is
        made anew for them; it takes the planned one's place where it is the same to whoever sees the plan, or where
        the earlier waves of this change alone made the difference and nobody has approved the plan.

        Raises DriftError, with the changes that brought the sections.
        """
        device, planned = self.means.site.devices[name], self._planned[name]
        try:
            guarding.check_base(device, planned, running, partial(self.means.planned_for, name, self._wave.number))
            self.candidates[name] = planned
            self.at.fitted.pop(name, None)
            return
        except DriftError as drift:
            sections = guarding.drifted_sections(device, planned, running)
            if sections is None:
                raise
            anew = guarding.refitted(device, planned, running, self.means.renderer())
            same = anew is not None and guarding.shown(anew) == guarding.shown(planned)
            if anew is None or not (same or self._of_earlier_waves(name, sections, running)):
                raise self._other_changes(name, sections, drift) from drift
        said = {"sections": list(sections), "same": same, "candidate": anew.model_dump(mode="json")}
        self.means.journal.append("made anew", {"wave": self._wave.number, "device": name, **said})
        if not same:
            why = "an earlier wave did not leave what was planned"
            self.means.watch.note(f"{name}: the change is made anew, since {why}:\n{anew.diff}")
        self.candidates[name] = self.at.fitted[name] = anew

    def _of_earlier_waves(self, name: str, sections: Collection[str], running: str) -> bool:
        """Whether earlier waves of this change, which were not needed or were taken back, explain the difference to a
        plan that nobody has approved."""
        if self.means.needs_approval:
            return False
        now = guarding.read(self.means.site.devices[name], running).sections
        known: dict[str, list[Items | None]] = {}
        for wave in self.means.plan.waves:
            for section in (s for c in wave.candidates if c.device == name for s in c.sections):
                if wave.number < self._wave.number:
                    known.setdefault(section.name, [section.previous]).append(section.rules)
        return all(section in known and now.get(section) in known[section] for section in sections)

    def _other_changes(self, name: str, sections: Sequence[str], drift: DriftError) -> DriftError:
        brought = self.means.brought(name, sections)
        whose = "; ".join(
            f"section {section}: {f'change {brought[section]}' if section in brought else 'no change of this record'}"
            for section in sections
        )
        return DriftError(
            f"the guard on it is not the one that the plan was made for, and what the plan shows would no longer be "
            f"true ({whose})" + drift.what.partition("made for")[2],
            where=name,
            next="plan again; a section that no change of this record made came from another record or from a person",
        )

    def check_unchanged(self, name: str, running: str) -> None:
        """Since the preflight, which has held it against the plan."""
        if running != self.at.running[name]:
            device = self.means.site.devices[name]
            guarding.check_base(device, self.candidates[name], running, partial(self.at.running.get, name))

    def check_applied(self, name: str, running: str) -> None:
        """It is as simulated, outside the guard too. The same text is so the second time."""
        if running != self._applied.get(name):
            guarding.check_applied(self.means.site.devices[name], self.candidates[name], running, self.at.running[name])
            self._applied[name] = running

    def check_in_force(self, name: str, running: str) -> None:
        """Raises NotInForce unless what this wave made of its sections is in force. Only these count: another change
        may have come beside them since, and is no reason to take ours back.
        """
        self._check_own(name, running, "in force")

    def check_own(self, name: str, boot: str, running: str) -> None:
        """As ``check_in_force``, and loaded at the next start."""
        self._check_own(name, running, "in force")
        self._check_own(name, boot, "loaded at the next start")

    def _check_own(self, name: str, text: str, place: str) -> None:
        sections = guarding.read(self.means.site.devices[name], text).sections
        if wrong := [s.name for s in self.candidates[name].sections if sections.get(s.name) != s.rules]:
            raise NotInForce(
                f"not {place} as it was confirmed: section {', '.join(wrong)} of the guard",
                where=name,
                next="see whether the device has started anew, or what changed it since (remediate record list); then "
                "run the playbook again",
            )

    def check_at_boot(self, name: str, boot: str, running: str) -> None:
        """What is in force now is what the next start loads, and is still what was pushed."""
        self.check_in_force(name, running)
        guarding.check_at_boot(self.means.site.devices[name], boot, running)

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
            until_ended = f"asked again for {left:.0f} s, when its own timer must have ended"
            self.means.watch.note(f"{name}: {error.what}; {until_ended}")
        ends = time.monotonic() + left
        with self.means.clock.waiting_for_timer():
            while True:
                time.sleep(min(2.0, left))  # the device's timer is what is waited for; nothing tells us when it ends
                try:
                    self._undo_now(name, told=False)
                    return
                except (DeviceError, Inconclusive):
                    if time.monotonic() > ends:
                        raise

    def _undo_now(self, name: str, *, told: bool = True) -> None:
        """``told``: whether the watch hears of it; the same failure again and again is told once."""
        steady = self.means.steady
        on = partial(self.on, names=(name,), nornir=steady, told=told)
        device, candidate = self.means.site.devices[name], self.candidates[name]
        over = (platforms.REVERTED, platforms.ABSENT)
        try:
            standing, found = on(tasks.read_back, tokens=self.at.tokens)[name][0].result
            if found.name not in over:
                on(tasks.take_back, tokens=self.at.tokens, candidates=self.candidates)
            running, state = on(tasks.read_back, tokens=self.at.tokens)[name][0].result
            if state.name not in over:
                raise DeviceError(f"the change is {state.name} after it was taken back", where=name)
            if state.down is not None:
                self.at.down_back[name] = state.down
            # A push that was over before, and that nobody of ours had begun to confirm, cannot be what stands there.
            settled = found.name in over and name not in self.at.confirming
            before = self.at.running.get(name)
            self.at.since[name] = guarding.check_restored(device, candidate, running, before, settled=settled)
            if found.name not in over:
                guarding.check_neighbours(device, candidate, standing, running)
            on(tasks.forget, tokens=self.at.tokens)
            on(tasks.discard)
        except RemediateError:
            on(tasks.close_session)  # the next try logs in afresh
            raise
