"""What comes before a wave's push: preflight, the baseline, and the candidates checked by the devices themselves."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from remediate import tasks
from remediate.change import evidence, gates, lacking, live, windows
from remediate.change.devices import Devices, Means, Progress
from remediate.change.looking import Eyes
from remediate.change.machine import Step
from remediate.errors import Inconclusive, NotApproved
from remediate.model.change import State, Wave
from remediate.model.device import LOCAL
from remediate.model.rule import ArchiveIntent
from remediate.model.verdict import Judgement, Verdict


class Preparation:
    """``staged``: whether a device may hold a candidate. ``step`` journals one of the wave's."""

    def __init__(
        self, wave: Wave, means: Means, at: Progress, devices: Devices, eyes: Eyes, step: Callable[..., datetime]
    ) -> None:
        self.wave = wave
        self.means = means
        self.at = at
        self.judgements: tuple[Judgement, ...] = ()
        self.staged = False
        self._devices = devices
        self._eyes = eyes
        self._step = step

    def prepare(self) -> None:
        """Raises what stands in the way of a push."""
        watch, wave = self.means.watch, self.wave
        if self.means.needs_approval and self.at.state is State.PLANNED:
            raise NotApproved(
                "the plan needs a second person's approval, and none is in the record",
                next="nothing was changed; remediate run PLAN with its approval beside it",
            )
        self.check_window()
        self._step(Step.PREFLIGHT)
        watch.stage(wave.number, "preflight", f"{len(wave.vantages)} vantages, {len(self._devices.candidates)} devices")
        if wave.reopens:
            watch.alarm(f"this opens again what an earlier change had closed: {', '.join(wave.pacs)}")
        self._eyes.open()
        silent = [c for c in self._eyes.canaries() if not c.alive]
        if silent:
            raise Inconclusive(
                "; ".join(f"vantage {c.vantage}: {c.detail}" for c in silent),
                next="nothing was changed; a vantage whose canary is silent sees every port closed",
            )
        self._look_at_devices()
        self._keep_evidence()
        paths = self._live_paths()
        watch.stage(wave.number, "baseline", "what every vantage can do now")
        before = self._eyes.look(wave.expectations, wave.not_asked, unasked=wave.unasked)
        if before.not_credited:
            before = gates.credited(wave, before, self.means.reached(before.not_credited))
        self.at.before = before
        self.judgements = before.judgements
        units = {name: unit.model_dump() for name, unit in self.at.units.items()}
        self._step(Step.BASELINE, **before.record(), running=self.at.running, units=units)
        watch.looked(wave.number, "before", before.judgements)
        if not wave.reopens:
            own = lacking.shut_out(wave)
            for pacs, peer in gates.check_baseline(before, wave.bystanders, own):
                watch.alarm(
                    f"{peer} does not reach {pacs}, and the guard's own denials on {', '.join(own[pacs][peer])} "
                    "are the cause: what let it pass there is gone; this change puts that back"
                )
        if self._devices.candidates and self.needed():
            if paths is not None:
                paths.check()
            gates.check_simulated(wave)
            watch.stage(wave.number, "check", "the devices check the candidates and their inverses")
            self.staged = True
            self._devices.on(
                tasks.load,
                candidates=self._devices.candidates,
                tokens=self._devices.tokens,
                check=self._devices.check_unchanged,
            )

    def check_window(self, done: timedelta = timedelta(0)) -> None:
        """Raises OutsideWindow where even the worst end of this wave would not be within the window. ``done``: of its
        time."""
        if self.wave.window is not None and self._devices.candidates:
            windows.check(self.wave.window, self.means.now(), self.wave.takes_at_most - done)

    def _look_at_devices(self) -> None:
        if not self._devices.candidates:
            return

        def check(name: str, look: tasks.DeviceLook) -> None:
            look.check(name)
            tasks.check_nothing_pending(name, look.pending)
            self._devices.fit(name, look.running)

        for name in self._devices.candidates:
            self.means.units.pop(name, None)  # whoever answers now; every later login is held against that
        controls = {n: [s.intent.control for s in c.sections] for n, c in self._devices.candidates.items()}
        for name, result in self._devices.on(tasks.look_at_device, check=check, controls=controls).items():
            self.at.running[name] = result[0].result.running
            self.at.units[name] = result[0].result.unit
        self.means.units.update(self.at.units)
        # A place that lets nobody in now would only have the push taken back.
        devices = self.means.site.devices
        if elsewhere := [name for name in self._devices.candidates if set(devices[name].management) != {LOCAL}]:
            self._devices.on(tasks.log_in_afresh, elsewhere, site=self.means.site, units=self.at.units)

    def _keep_evidence(self) -> None:
        """Before our own looks are counted and logged there, too, and before a push takes rules with their counters."""
        if not self._devices.candidates:
            return
        collected = evidence.collect(self.wave, self.means.site, self.means.nornir, self.means.steady)
        kept = {name: traces.model_dump(mode="json") for name, traces in collected.items()}
        self.means.journal.append("evidence", {"wave": self.wave.number, "evidence": kept})
        for text in evidence.notes(collected):
            self.means.watch.note(text)

    def _live_paths(self) -> live.Live | None:
        """Who is connected now, in the record before anything can end it; None where nothing is closed."""
        if not self._devices.candidates or self.wave.reopens:
            return None
        found = live.look(self.wave, self.means.site, self.means.nornir, self.means.steady)
        self.means.journal.append("live peers", {"wave": self.wave.number, **found.record()})
        for text in found.notes():
            self.means.watch.note(text)
        return found

    def needed(self) -> bool:
        """Whether there is something to close, or a section of ours that is no longer as it should be.

        An archive's own filter always is: behind a firewall that is closed, no look from outside can tell it.
        """
        if self.wave.reopens or self.wave.observes:
            return True
        drifted = any(
            s.previous is not None or isinstance(s.intent, ArchiveIntent)
            for c in self._devices.candidates.values()
            for s in c.sections
        )
        bystanders = self.wave.bystanders
        return drifted or any(j.verdict is not Verdict.PROTECTED for j in self.judgements if j.pacs not in bystanders)
