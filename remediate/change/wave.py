"""One wave: everything that it applies is verified together, then confirmed, or taken back together."""

from __future__ import annotations

import threading
import time
from contextlib import closing
from datetime import datetime, timedelta
from typing import Any

from remediate import platforms, tasks
from remediate.change import gates, hooks
from remediate.change.devices import Devices, Means, Progress
from remediate.change.durations import KEPT_FREE
from remediate.change.looking import Eyes, Look
from remediate.change.machine import CLOSED, IN_FLIGHT, Step, advance
from remediate.change.preparing import Preparation
from remediate.change.undoing import Undoing
from remediate.errors import (
    DriftError,
    Inconclusive,
    Interrupted,
    NeedsHands,
    NotAsConfirmed,
    NotInForce,
    NotKnown,
    RemediateError,
    VerificationFailed,
)
from remediate.model.change import OnUnknown, State, Wave
from remediate.model.verdict import Judgement

#: Seconds between two looks at a change that is held open.
HOLD_PAUSE = 10.0


class WaveRun:
    def __init__(self, wave: Wave, means: Means, progress: Progress | None = None) -> None:
        self.wave = wave
        self.means = means
        self.at = progress or Progress()
        self.judgements: tuple[Judgement, ...] = ()
        self.reason: RemediateError | None = None
        self._devices = Devices(wave, means, self.at)
        self._eyes = Eyes(means.site, wave.vantages, means.nornir, means.loop, means.clock)
        self._ready = Preparation(wave, means, self.at, self._devices, self._eyes, self._step)

    @property
    def state(self) -> State:
        return self.at.state

    def run(self) -> State:
        """From the start to a closed state. A wave that was stopped or taken back holds its ``reason``."""
        try:
            with closing(self._eyes):
                try:
                    self._ready.prepare()
                except (RemediateError, KeyboardInterrupt) as error:
                    return self._stopped(error)
                finally:
                    self.judgements = self._ready.judgements
                if not self._devices.candidates or not self._ready.needed():
                    self._discard()
                    why = "; ".join(gates.reasons(j for j in self.judgements if j.pacs not in self.wave.bystanders))
                    self.reason = Inconclusive(why, next=self._next_where_unchanged()) if why else None
                    said = {"why": why} if why else {}
                    self._step(Step.UNCHANGED, verdicts={j.pacs: j.verdict for j in self.judgements}, **said)
                    return self.state
                return self._transaction()
        finally:
            self._devices.close_sessions()

    def take_up(self) -> State:
        """After a crash: look at the record, then at the devices, then decide. Nothing is pushed twice."""
        if self.state not in IN_FLIGHT:
            return self.run()
        self.means.units.update(self.at.units)
        try:
            with closing(self._eyes):
                states = {name: self._devices.state_on(name) for name in self.at.tokens}
                self.means.watch.stage(
                    self.wave.number, "resume", ", ".join(f"{name}: {state}" for name, state in states.items())
                )
                self.means.journal.append("found on the devices", {"wave": self.wave.number, "states": states})
                found = set(states.values())
                if found == {platforms.CONFIRMED} and (self.state is State.VERIFIED or self.at.unsaved):
                    return self._saved_before_the_crash()
                undecided = self.state in (State.ARMED, State.PUSHED, State.VERIFIED)
                if undecided and found <= {platforms.ARMED, platforms.CONFIRMED}:
                    if self.state is State.ARMED and (error := self._cut_short()):
                        return self._take_back(error)
                    try:
                        self._eyes.open(all_needed=self.wave.on_unknown is not OnUnknown.HOLD)
                    except RemediateError as error:
                        return self._take_back(error)  # what cannot be looked at cannot be confirmed
                    if self.state is State.ARMED:
                        self._step(Step.PUSHED)
                    return self._finish()
                texts = [f"{name}: {self._what_became(name, state)}" for name, state in states.items()]
                return self._take_back(VerificationFailed("; ".join(texts) or "nothing was pushed"))
        finally:
            self._devices.close_sessions()

    def _what_became(self, name: str, state: str) -> str:
        """Of a push, in words, by what its device says of it."""
        if state == platforms.REVERTED:
            return "the device has taken the change back by its own timer"
        if state == platforms.ARMING:
            return "the program ended while it set the revert timer, which must end first"
        if state != platforms.ABSENT:
            return state
        # Not every device remembers what its timer took back.
        if name in self.at.loaded:
            return "the device has taken the change back by its own timer, or has started anew"
        before = "the program ended before the push reached the device"
        return f"{before}, or its own timer has taken the change back" if name in self.at.begun else before

    def _next_where_unchanged(self) -> str:
        if not self.wave.in_place:
            return "see what is open, or asked of nobody"
        sections = ", ".join(name for names in self.wave.in_place.values() for name in names)
        return (
            f"when the plan was made {sections} stood there already: see whether a change has taken that away since "
            "(remediate record list), and plan again"
        )

    def _saved_before_the_crash(self) -> State:
        """Confirmed before; what it is now is looked at before anything is said of it."""
        if self._saved() is not State.CONFIRMED:
            return self.state
        try:
            self._eyes.open(all_needed=False)
            look = self._eyes.look(
                self.wave.expectations,
                self.wave.not_asked,
                unasked=self.wave.unasked,
                reached_before=self.at.before.reached if self.at.before else (),
                patience=0.0 if self.wave.reopens else self.means.patience,
            )
            self.judgements = look.judgements
            self.means.journal.append("looked", {"wave": self.wave.number, **look.record()})
            self.means.watch.looked(self.wave.number, "now", look.judgements)
            if not self.wave.reopens:
                gates.check_after(
                    look, observes=self.wave.observes, bystanders=self.wave.bystanders, before=self.at.before
                )
        except RemediateError as error:
            self.reason = NotAsConfirmed(
                f"confirmed, in force and saved, but not seen to be closed and served now: {error.what}",
                next="see what differs; to take it back: remediate rollback",
            )
        return self.state

    def _cut_short(self) -> RemediateError | None:
        """Of a push whose end nobody has seen: that not all of it is there, which was nobody else's doing."""
        try:
            self._devices.check_armed()
        except DriftError as error:
            return VerificationFailed(
                f"the program ended in the middle of the push, and not all of it has reached {error.where}",
                next="run again",
            )
        except RemediateError as error:
            return error  # what cannot be asked cannot be confirmed
        return None

    # -- nothing pushed -------------------------------------------------------------------------------

    def _stopped(self, error: BaseException) -> State:
        """Nothing was pushed, and nothing will be."""
        self.reason = _as_ours(error)
        try:
            self._discard()
        except RemediateError as failed:
            self.means.watch.note(f"a staged candidate may be left, which nothing loads: {failed.what}")
        self._step(Step.STOPPED, why=str(self.reason))
        return self.state

    def _discard(self) -> None:
        if self._ready.staged:
            self._devices.on(tasks.discard, nornir=self.means.steady)

    # -- the transaction ------------------------------------------------------------------------------

    def _transaction(self) -> State:
        try:
            self._check_cancelled()
            hooks.before(self.wave, self.means, self.at)
            self._push()
        except (RemediateError, KeyboardInterrupt) as error:
            return self._take_back(error) if self.state in IN_FLIGHT else self._stopped(error)
        return self._finish()

    def _push(self) -> None:
        """Arm and load, every device at the same time. No retry. What runs there was compared with the planned base as
        it was staged, and is once more where people's own steps came in between.
        """
        watch, wave = self.means.watch, self.wave
        if wave.before:
            self._devices.on(tasks.compare, check=self._devices.check_unchanged)
        self._ready.check_window(sum((hook.timeout for hook in self.wave.before), timedelta()))
        self._check_cancelled()
        self.at.tokens = dict(self._devices.tokens)
        entry = self._step(Step.ARMING, tokens=self.at.tokens, revert_in=wave.revert_in.total_seconds())
        self.at.armed_at = entry
        self.means.armed.update(dict.fromkeys(self._devices.candidates, entry + wave.revert_in))
        watch.stage(wave.number, "push", f"{', '.join(self._devices.candidates)}; revert in {_seconds(wave.revert_in)}")
        pushed = self._devices.on(
            tasks.push,
            tokens=self.at.tokens,
            revert_in=wave.revert_in,
            journal=self._device_journal(),
            check=self._devices.check_applied,
        )
        states = {name: result[0].result for name, result in pushed.items()}
        self.at.down = {name: state.down for name, state in states.items() if state.down is not None}
        for name, down in self.at.down.items():
            watch.note(f"{name}: its services did not answer for {down:.1f} s")
        self.at.pushed_at = self._step(Step.PUSHED)

    def _finish(self) -> State:
        try:
            after = self._verified()
            self._step(Step.VERIFIED, verdicts={j.pacs: j.verdict for j in after.judgements})
            self._confirm()
        except (RemediateError, KeyboardInterrupt) as error:
            return self._take_back(error)
        return self._saved()

    def _verified(self) -> Look:
        """Only a round in which everything is known and right ends this well, however often it is asked."""
        while True:
            try:
                return self._verify()
            except NotKnown as error:
                if self.wave.on_unknown is not OnUnknown.HOLD:
                    raise
                self._hold(error)

    def _hold(self, error: NotKnown) -> None:
        """A person has time to bring back what is missing. Raises ``error`` once nothing can be confirmed any more."""
        means, left = self.means, self._devices.time_left() - KEPT_FREE * self.wave.revert_in.total_seconds()
        if left <= 0:
            raise error
        self._step(Step.HELD, unknown=error.what, seconds_left=left)
        means.watch.alarm(f"held open, not confirmed: {error.what}")
        means.watch.stage(
            self.wave.number,
            "hold",
            f"{left:.0f} s are left to bring that back, then it is taken back; looking again every {HOLD_PAUSE:g} s; "
            "Ctrl-C takes it back now",
        )
        stop = threading.Event()
        with means.clock.waiting_for_timer(), means.cancellation.calling(stop.set):
            if not means.cancellation.requested:
                stop.wait(min(HOLD_PAUSE, left))
        self._check_cancelled()
        self._eyes.reopen()

    def _verify(self) -> Look:
        """Everything must be known and as expected, well before the timer ends. Raises what is not."""
        watch, wave = self.means.watch, self.wave
        left = self._devices.time_left()
        until = time.monotonic() + left - KEPT_FREE * wave.revert_in.total_seconds()
        watch.stage(
            wave.number, "verify", f"a new login, every vantage, the rules read back; {left:.0f} s on the timer"
        )
        self._devices.on(tasks.log_in_afresh, site=self.means.site, units=self.at.units)
        before = self.at.before
        after = self._eyes.look(
            wave.expectations,
            wave.not_asked,
            unasked=wave.unasked,
            asked_after=self.at.pushed_at,
            reached_before=before.reached if before else (),
            patience=0.0
            if wave.reopens
            else self.means.patience,  # what is opened again may have been broken all the time
            until=until,
        )
        self.judgements = after.judgements
        # Before the gate: what was seen is evidence whichever way it is decided.
        self.means.journal.append("looked", {"wave": wave.number, **after.record()})
        watch.looked(wave.number, "after", after.judgements)
        self._check_cancelled()
        self._devices.check_armed()  # first: that it is gone is why it is open again
        if not wave.reopens:
            gates.check_after(after, observes=wave.observes, bystanders=wave.bystanders, before=before)
        if self._devices.time_left() <= KEPT_FREE * wave.revert_in.total_seconds():
            raise VerificationFailed(
                "the last fifth of the revert timer has begun", next="set a longer revert_in and run again"
            )
        return after

    def _confirm(self) -> None:
        self.means.watch.stage(self.wave.number, "confirm", ", ".join(self._devices.candidates))
        self._check_cancelled()
        self._devices.on(tasks.confirm, tokens=self.at.tokens, journal=self._device_journal(), nornir=self.means.steady)

    def _saved(self) -> State:
        """Confirmed on every device. That is said once it is seen, after the save, to be in force and to be loaded at
        the next start. What only may not outlast a restart does not open anything again: a person must see to it.
        """
        devices = self._devices
        try:
            devices.on(tasks.compare, check=devices.check_in_force, nornir=self.means.steady)
            results = devices.on(
                tasks.save, tokens=self.at.tokens, check=devices.check_at_boot, nornir=self.means.steady
            )
        except NotInForce as error:
            return self._take_back(error)
        except RemediateError as error:
            self.reason = NeedsHands(
                f"the change is confirmed, but it may not outlast a restart: {error}",
                next="mend that on the device, then: remediate resume",
            )
            self.means.watch.alarm(str(self.reason))
            if self.state is not State.NEEDS_HANDS:
                self._step(Step.NEEDS_HANDS, why=str(error), unsaved=True)
            return self.state
        how = {name: result[0].result for name, result in results.items()}
        for name, text in how.items():
            loader = f"loaded at boot by {text}" if text else "nothing of ours is left to be loaded at boot"
            self.means.watch.note(f"{name}: {loader}")
        self._step(Step.CONFIRMED, at_boot=how)
        return self.state

    def _take_back(self, error: BaseException) -> State:
        """Undo every push of the wave, prove it, and say so. A Ctrl-C no longer stops this; a second one does."""
        undoing = Undoing(self.wave, self.means, self.at, self._devices, self._step)
        self.reason = undoing.take_back(_as_ours(error))
        self.judgements = undoing.judgements or self.judgements
        return self.state

    # -- small things ---------------------------------------------------------------------------------

    def _step(self, step: Step, **data: Any) -> datetime:
        """The transition is checked and durable before anything that follows from it is done."""
        state = advance(self.at.state, step)
        entry = self.means.journal.append(step, {"wave": self.wave.number, "state": state, **data})
        self.at.state = state
        if state in CLOSED:
            self.at.closed_at = entry.at
            self.means.armed.clear()
        return entry.at

    def _device_journal(self) -> tasks.DeviceJournal:
        return tasks.DeviceJournal(self.means.journal, self.wave.number, self.at.noted)

    def _check_cancelled(self) -> None:
        if self.means.cancellation.requested:
            raise Interrupted(self.means.cancellation.reason)


def _as_ours(error: BaseException) -> RemediateError:
    return error if isinstance(error, RemediateError) else Interrupted("stopped by the operator")


def _seconds(duration: timedelta) -> str:
    return f"{duration.total_seconds():g} s"
