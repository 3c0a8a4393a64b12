"""One change from its plan to its end: waves, locks, the record. Also resume, and rollback of an earlier change."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from nornir.core import Nornir

from remediate import errors, runner, tasks
from remediate.change import approval as approvals
from remediate.change import between, guarding, hooks, lacking, own_code, provenance, replaying, sources, statuses
from remediate.change.approval import Approval, Hand
from remediate.change.devices import Means, Progress, utc_now
from remediate.change.durations import DEVICE_DEADLINE
from remediate.change.looking import PATIENCE, raise_first
from remediate.change.machine import CLOSED, IN_FLIGHT, Step, advance
from remediate.change.telling import Telling
from remediate.change.watch import Stopwatch
from remediate.change.wave import WaveRun
from remediate.inventory import Loaded
from remediate.model.change import Journal, Plan, Section, State, Unit, Wave
from remediate.model.outcome import Outcome, WaveOutcome
from remediate.model.site import Site
from remediate.model.watch import Watch
from remediate.record import Record
from remediate.record.locks import LAST as ENDED
from remediate.render import Renderer
from remediate.runner import Cancellation, LoopRunner


@dataclass
class Desk:
    """Everything that a change is run with; made once per command. ``now``: what windows are held against.

    ``units``: who must answer at each login, by device.
    """

    loaded: Loaded
    nornir: Nornir
    steady: Nornir
    loop: LoopRunner
    record: Record
    watch: Watch
    cancellation: Cancellation
    clock: Stopwatch
    armed: dict[str, datetime] = field(default_factory=dict)
    patience: float = PATIENCE
    now: Callable[[], datetime] = utc_now
    units: dict[str, Unit] = field(default_factory=dict)


@contextmanager
def desk(
    loaded: Loaded, record: Record, watch: Watch, *, forks: int = 20, clock: Stopwatch | None = None
) -> Iterator[Desk]:
    """Opens what a change needs and closes it on every path, device sessions included.

    ``clock``: one that has run since the command began, planning included. Raises UsageError for a watch that could
    lack what it is told.
    """
    if not isinstance(watch, Watch):
        raise errors.UsageError(
            f"{type(watch).__name__} is no remediate.model.watch.Watch",
            next="inherit from it: what you leave out does nothing",
        )
    cancellation = Cancellation()
    loop = LoopRunner(num_workers=forks, deadline=DEVICE_DEADLINE, cancellation=cancellation)
    units: dict[str, Unit] = {}
    nornir = tasks.framework(loaded.nornir, loaded.site, loop, units)
    steady = nornir.with_runner(loop.with_cancellation(Cancellation()))
    try:
        yield Desk(loaded, nornir, steady, loop, record, watch, cancellation, clock or Stopwatch(), units=units)
    finally:
        nornir.close_connections(on_good=True, on_failed=True)
        loop.close()


def run(
    plan: Plan,
    desk: Desk,
    *,
    operator: str | None = None,
    approval: Approval | None = None,
    hand: Hand | None = None,
    undo: Renderer | None = None,
) -> Outcome:
    """The whole loop. Every step is in the record, durably, before it is done.

    ``undo``: if a wave fails, also what earlier waves confirmed is taken back, by a change of its own.
    """
    change = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
    _check_site(plan, desk)
    own_code.check(own_code.hooks_of(plan), Path(plan.playbook).parent)
    signed = approvals.check(plan, approval, hand, change) if plan.needs_approval else None
    _lock(plan, desk, change)
    journal = desk.record.begin(
        change,
        data={
            "plan": plan.model_dump(mode="json"),
            "plan_sha256": plan.digest,
            "operator": operator or _operator(),
            "host": socket.gethostname(),
            "scope": "not reachable from the vantages named, at the times recorded; what was not asked is in the plan",
            **({"emergency": plan.emergency} if plan.emergency else {}),
        },
    )
    progress = {wave.number: Progress() for wave in plan.waves}
    if signed is not None:
        states = {number: advance(at.state, Step.APPROVED) for number, at in progress.items()}
        journal.append(Step.APPROVED, signed)
        for number, state in states.items():
            progress[number].state = state
    telling = Telling(plan, journal, desk.watch)
    telling.begins()
    done = _waves(desk, _means(desk, journal, plan), plan, progress, list(plan.waves), hand, telling)
    return _undone(done, desk, undo, operator) if undo and done.failed and done.stays else done


def _undone(done: Outcome, desk: Desk, renderer: Renderer, operator: str | None) -> Outcome:
    """What was confirmed before a wave failed is taken back too."""
    if any(wave.state is State.NEEDS_HANDS for wave in done.waves):
        desk.watch.note("the confirmed waves are not taken back while a device needs hands")
        return done
    desk.watch.alarm(f"taking back what was confirmed before: {', '.join(done.stays)}")
    back = run(taking_back(done.change, desk, renderer), desk, operator=operator)
    status = statuses.worst(done.exit_status, back.exit_status, errors.EXIT_ROLLED_BACK)
    return done.model_copy(update={"rollback": back, "exit_status": status, "waits": desk.clock.read()})


def resume(change: str, desk: Desk, *, hand: Hand | None = None) -> Outcome:
    """Go on after a crash: what is in flight is finished or taken back, then the waves that had not begun."""
    journal = desk.record.journal(change)
    plan, progress = replaying.replay(list(journal))
    if plan is None:
        raise errors.RecordError(f"change {change} has no plan in its record", next="remediate record show")
    _check_site(plan, desk)
    _lock(plan, desk, change, takeover=True)
    journal.append("resumed", {"operator": _operator(), "host": socket.gethostname()})
    open_waves = [w for w in plan.waves if progress[w.number].state not in CLOSED]
    ended = {progress[w.number].state for w in plan.waves}
    if between.spent(plan, progress):
        open_waves = [w for w in open_waves if progress[w.number].state in IN_FLIGHT]
    status = errors.EXIT_OK
    if State.STOPPED in ended:
        status = errors.EXIT_INCONCLUSIVE
    if State.ROLLED_BACK in ended:
        status = errors.EXIT_ROLLED_BACK
    telling = Telling(plan, journal, desk.watch)
    return _waves(desk, _means(desk, journal, plan), plan, progress, open_waves, hand, telling, status)


def unfinished(record: Record) -> list[str]:
    """The changes that have not ended, oldest first."""
    return [summary.change for summary in record.changes() if summary.last_kind != ENDED]


def _check_site(plan: Plan, desk: Desk) -> None:
    """Another inventory than the one that the change was made with may lack what it is about."""
    site = desk.loaded.site
    named = {c.device for w in plan.waves for c in w.candidates}
    missing = sorted(named - set(site.devices))
    missing += sorted({name for w in plan.waves for name in w.pacs} - set(site.pacs))
    missing += sorted({name for w in plan.waves for name in w.vantages} - set(site.vantages))
    if missing:
        raise errors.PlanError(
            f"the change is about {', '.join(missing)}, which the inventory does not have",
            where=str(desk.loaded.path),
            next=f"give the inventory that it was made with, as it was: -i {plan.inventory}",
        )


def taking_back(change: str, desk: Desk, renderer: Renderer) -> Plan:
    """The plan that undoes a confirmed change, made on what the devices run today. It may be run at any time, by one
    person alone: a care path may be at stake.

    Undone is what is ours by name. Raises DriftError where a section is no longer what the change left.
    """
    plan, progress = replaying.replay(list(desk.record.journal(change)))
    confirmed = [w for w in plan.waves if progress[w.number].state is State.CONFIRMED] if plan else []
    if plan is None or not confirmed:
        raise errors.PlanError(
            f"change {change} has confirmed nothing that could be taken back",
            next="remediate record show says how it ended; one that has not ended: remediate resume",
        )
    _check_site(plan, desk)
    site = desk.loaded.site
    names = tuple(dict.fromkeys(c.device for w in confirmed for c in w.candidates))
    running: dict[str, str] = {}
    for name, result in runner.run(desk.nornir, tasks.look_at_device, hosts=names).items():
        raise_first(result.exception)
        look: tasks.DeviceLook = result[0].result
        look.check(name)
        running[name] = look.running
    states = {name: guarding.read(site.devices[name], text) for name, text in running.items()}
    waves = []
    for number, wave in enumerate(reversed(confirmed), start=1):
        candidates = []
        for done in wave.candidates:
            device = site.devices[done.device]
            state = states[done.device]
            for section in done.sections:
                lacking.check_left(change, done.device, section, state.sections.get(section.name))
            # Something of it may have been taken out since: the rest goes, or becomes what was before.
            back = [
                Section(name=s.name, intent=s.intent, rules=s.previous, previous=state.sections.get(s.name))
                for s in done.sections
            ]
            undoing = guarding.candidate(device, back, state, renderer)
            states[done.device] = guarding.predicted(device, state, undoing)
            candidates.append(undoing)
        waves.append(
            wave.model_copy(
                update={
                    "number": number,
                    "candidates": tuple(candidates),
                    "in_place": {},
                    "reopens": True,
                    "window": None,
                    "soak": timedelta(0),
                    "before": (),
                    "after": (),
                }
            )
        )
    inputs = {**plan.inputs, "takes back": change}
    free = {"texts": sources.devices(running, names), "warnings": (), "allowed_signers": (), "emergency": ""}
    return plan.model_copy(update={"waves": tuple(waves), "inputs": inputs, **free})


def _lock(plan: Plan, desk: Desk, change: str, *, takeover: bool = False) -> None:
    """The devices by name, and those that filter by their host keys too: another inventory may name them otherwise.

    Raises Locked with nothing newly held. What a resumed change holds already stays held.
    """
    names = {name for wave in plan.waves for name in (*(c.device for c in wave.candidates), *wave.in_place)}
    desk.record.acquire(names, change, takeover=takeover)
    try:
        for name, key in plan.host_keys.items():
            desk.record.acquire([f"host-key {key}"], change, takeover=takeover, device=name)
    except errors.RemediateError:
        if not takeover:
            desk.record.release(change)
        raise


def _waves(
    desk: Desk,
    means: Means,
    plan: Plan,
    progress: dict[int, Progress],
    waves: list[Wave],
    hand: Hand | None,
    telling: Telling,
    status: int = errors.EXIT_OK,
) -> Outcome:
    """``status``: what waves that ended earlier leave to be said."""
    change = means.journal.change
    outcomes: list[WaveOutcome] = []
    failed = status != errors.EXIT_OK
    reason = ""
    stays: tuple[str, ...] = ()
    fallen: dict[str, str] = {}
    finished = False
    try:
        for wave in waves:
            if progress[wave.number].state not in IN_FLIGHT:
                try:
                    hooks.after(plan, progress, means)
                    between.soak(plan, progress, means)
                except (errors.Interrupted, errors.Inconclusive, errors.NotAsConfirmed, errors.HookFailed) as error:
                    failed = failed or not isinstance(error, errors.Interrupted | errors.HookFailed)
                    status, reason = statuses.worst(status, error.exit_status), reason or str(error)
                    _not_begun(means, progress, waves)
                    break
            made = WaveRun(wave, means, progress[wave.number])
            state = made.take_up()
            outcomes.append(
                WaveOutcome(
                    number=wave.number,
                    state=state,
                    pacs=wave.pacs,
                    reason=str(made.reason or ""),
                    judgements=made.judgements,
                    down=made.at.down,
                    down_back=made.at.down_back,
                    pushed=bool(made.at.begun),
                    leaves_open=wave.leaves_open if state in (State.CONFIRMED, State.UNCHANGED) else {},
                )
            )
            status = statuses.worst(status, statuses.status_of_wave(state, made))
            reason = reason or str(made.reason or "")
            # Neither the operator's will nor the hour is a failure of what was done before.
            halted = isinstance(made.reason, errors.Interrupted | errors.OutsideWindow | errors.NotApproved)
            failed = failed or (state in (State.STOPPED, State.ROLLED_BACK, State.NEEDS_HANDS) and not halted)
            over = between.spent(plan, progress) or state is State.NEEDS_HANDS
            if over or halted or desk.cancellation.requested:
                _not_begun(means, progress, waves)
                break
        try:
            hooks.after(plan, progress, means)
        except errors.HookFailed as error:
            status, reason = statuses.worst(status, error.exit_status), reason or str(error)
        finished = all(outcome.state in CLOSED for outcome in outcomes)
        standing = between.standing(plan, progress, means, ask=status != errors.EXIT_OK)
        if status != errors.EXIT_OK or standing.fallen:
            stays, fallen = standing.stays, {name: error.what for name, error in standing.fallen.items()}
            between.tell(standing, means)
            status = statuses.worst(status, *standing.exit_statuses)
        elif standing.doubtful:  # what cannot be looked at any more is said, though all was well a moment ago
            between.tell(standing._replace(seen=()), means)
        telling.ends((at.state for at in progress.values()), status)
    except errors.RecordError as error:
        if not means.armed:
            raise
        raise _without_record(error, means.armed) from error
    finally:
        if finished:
            if hand is not None and plan.allowed_signers:
                _close(plan, hand, means)
            said = {"stays": list(stays), "fallen": fallen}
            means.journal.append(
                ENDED,
                {"exit_status": status, "reason": reason, **{key: value for key, value in said.items() if value}},
            )
            desk.record.release(change)
    return Outcome(
        change=change,
        exit_status=status,
        waves=tuple(outcomes),
        waits=desk.clock.read(),
        reason=reason,
        stays=stays,
        fallen=fallen,
        failed=failed,
        emergency=plan.emergency,
        reopens=plan.reopens,
    )


def _without_record(error: errors.RecordError, armed: Mapping[str, datetime]) -> errors.NeedsHands:
    """Nothing is done on a device that is not in the record first, taking back included."""
    devices = "".join(
        f"\n  {name}: unless it is confirmed by now, it takes the change back by itself at {until:%H:%M:%S} UTC"
        for name, until in armed.items()
    )
    return errors.NeedsHands(
        f"{error.what}; nothing more is done without it{devices}",
        where=error.where,
        next="make the record writable again (space, permissions), then: remediate resume",
    )


def _not_begun(means: Means, progress: dict[int, Progress], waves: list[Wave]) -> None:
    left = [w.number for w in waves if progress[w.number].state in (State.PLANNED, State.APPROVED)]
    if left:
        means.watch.note(f"wave {', '.join(map(str, left))} not begun")


def _close(plan: Plan, hand: Hand, means: Means) -> None:
    """The change is over, whether this can be signed or not."""
    try:
        means.journal.append("closed", approvals.close(plan, hand, list(means.journal)[-1]))
    except errors.SignatureError as error:
        means.watch.note(f"the end of the change is not signed: {error.what}")


def _means(desk: Desk, journal: Journal, plan: Plan) -> Means:
    return Means(
        site=desk.loaded.site,
        nornir=desk.nornir,
        steady=desk.steady,
        loop=desk.loop,
        journal=journal,
        watch=desk.watch,
        clock=desk.clock,
        cancellation=desk.cancellation,
        armed=desk.armed,
        plan=plan,
        patience=desk.patience,
        now=desk.now,
        needs_approval=plan.needs_approval,
        planned_for=partial(_planned_for, plan, desk.loaded.site),
        brought=partial(provenance.brought, desk.record),
        reached=partial(provenance.reached, desk.record),
        renderer=partial(Renderer, Path(plan.templates) if plan.templates else None),
        units=desk.units,
    )


def _planned_for(plan: Plan, site: Site, device: str, wave: int) -> guarding.Running | None:
    """What the device was to run when that wave begins; None where the plan does not say what ran there."""
    text = sources.planned_for(plan, device)
    if text is None:
        return None
    running: guarding.Running = text
    for earlier in plan.waves:
        for candidate in earlier.candidates:
            if earlier.number < wave and candidate.device == device:
                running = guarding.predicted(site.devices[device], running, candidate)
    return running


def _operator() -> str:
    """Who started it: behind sudo, the person and not root."""
    return os.environ.get("SUDO_USER") or os.environ.get("USER") or f"uid {os.getuid()}"
