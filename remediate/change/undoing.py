"""Taking a wave back: every push of it is undone, that is proved, and said as it was."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from datetime import datetime
from typing import Any

from remediate.change import gates
from remediate.change.devices import Devices, Means, Progress
from remediate.change.looking import Eyes, restored
from remediate.change.machine import Step
from remediate.errors import AuthenticationFailed, DeviceUnreachable, NeedsHands, RemediateError
from remediate.model.change import Wave
from remediate.model.verdict import Judgement, Verdict


class Undoing:
    """``step`` journals one of the wave's."""

    def __init__(self, wave: Wave, means: Means, at: Progress, devices: Devices, step: Callable[..., datetime]) -> None:
        self.judgements: tuple[Judgement, ...] = ()
        self._wave = wave
        self._means = means
        self._at = at
        self._devices = devices
        self._step = step

    def take_back(self, reason: RemediateError) -> RemediateError:
        """A Ctrl-C no longer stops this; a second one does. Returns what the wave ends with."""
        self._step(Step.ROLLING_BACK, why=reason.what)
        self._means.watch.alarm(
            f"taking the change back: {reason.what}" if self._at.begun else f"nothing was pushed: {reason.what}"
        )
        stuck: dict[str, RemediateError] = {}
        for name in self._at.tokens:
            try:
                self._devices.undo(name)
            except RemediateError as error:
                stuck[name] = error
        if stuck:
            needs = _needs(stuck)
            self._step(Step.NEEDS_HANDS, devices={name: str(error) for name, error in stuck.items()})
            self._means.watch.alarm(str(needs))
            return needs
        self._prove_restored(reason)
        return reason

    def _prove_restored(self, reason: RemediateError) -> None:
        watch, wave, before = self._means.watch, self._wave, self._at.before
        watch.stage(wave.number, "look again", "is everything as it was before?")
        eyes = Eyes(self._means.site, wave.vantages, self._means.steady, self._means.loop, self._means.clock)
        differences: list[str]
        evidence: dict[str, Any] = {}
        with closing(eyes):
            try:
                eyes.open()
                patience = self._means.patience if gates.served(before) else 0.0
                after = eyes.look(wave.expectations, wave.not_asked, unasked=wave.unasked, patience=patience)
                self.judgements = after.judgements
                watch.looked(wave.number, "taken back" if self._at.begun else "nothing was pushed", after.judgements)
                evidence = after.record()
                differences = restored(before, after) if before else ["the baseline is not in the record"]
                exposed = [j.pacs for j in after.judgements if j.verdict is Verdict.EXPOSED]
            except RemediateError as error:
                differences, exposed = [f"could not be looked at again: {error}"], []
        for name, down in self._at.down_back.items():
            watch.note(f"{name}: its services did not answer for {down:.1f} s while it was taken back")
        others = {name: since.more for name, since in self._at.since.items() if since.more}
        for name, text in others.items():
            watch.note(f"{name}: others have changed it since before the push; that is left as it is:\n{text}")
        differences += [
            f"{name}: section {section} of the guard, which is not this change's, is not as it was before the push"
            for name, since in self._at.since.items()
            for section in since.lost
        ]
        more: Mapping[str, Any] = {"down": self._at.down_back, "others": others}
        said = {
            "why": reason.what,
            "was_in_force": sorted(self._at.loaded),
            "restored": not differences,
            "differences": differences,
        }
        self._step(Step.ROLLED_BACK, **said, **{key: value for key, value in more.items() if value}, **evidence)
        if exposed and not wave.reopens and not wave.observes:
            # As long as nobody knows that it was closed for a moment, it is open as it was.
            again = "OPEN TO THE OUTSIDE AGAIN" if self._at.loaded else "OPEN TO THE OUTSIDE, as before the change"
            watch.alarm(f"{again}: {', '.join(exposed)}")
        for text in differences:
            watch.alarm(f"not as before: {text}")
        if not differences:
            watch.note("the baseline is restored: rules read back, every vantage sees what it saw before")


def _needs(stuck: Mapping[str, RemediateError]) -> NeedsHands:
    texts = "\n".join(f"{name}: {error}" for name, error in stuck.items())
    if all(isinstance(error, DeviceUnreachable | AuthenticationFailed) for error in stuck.values()):
        return NeedsHands(
            f"nobody could see whether the change is taken back everywhere:\n{texts}",
            next="its own timer takes it back on each device; once they can be logged in to again: remediate resume",
        )
    return NeedsHands(
        f"the change could not be taken back everywhere:\n{texts}",
        next="log in on the console of each device named, see what is loaded, then: remediate resume",
    )
