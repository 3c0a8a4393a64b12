"""One session with an IOS router.

A push is two visits to configuration mode: the first arms the revert timer and writes the push's token into a list of
remarks that is bound to nothing; once the timer is seen, the second writes there when that timer was set, and then
the candidate. So nothing is in force without a timer, and afterwards a timer is ours only if it is that very one. The
remarks stay after the confirm; a revert takes them away with the rest. Whoever loses the session between the two
leaves a timer that nothing tells whose it is: it is waited for, since it may be a colleague's.

A confirmed push is taken back by its inverse, which is a push of its own: its token ends in ``.undo``.
"""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Sequence
from datetime import timedelta
from math import ceil

from remediate.errors import (
    CommandRejected,
    DeviceError,
    DriftError,
    NeedsHands,
    PendingChange,
    RemediateError,
)
from remediate.model.change import Candidate, Diff, Pending, Token, Unit
from remediate.model.device import Device
from remediate.model.peers import LivePeers
from remediate.model.site import IPAddress
from remediate.model.traces import Traces
from remediate.platforms import ABSENT, ARMED, ARMING, CONFIRMED, REVERTED, STUCK, PushState, unit
from remediate.platforms.cisco_ios import evidence
from remediate.platforms.cisco_ios.config import MARKER, Config, redacted
from remediate.platforms.cisco_ios.foreign import differences, others_unsaved
from remediate.platforms.cisco_ios.plan import places
from remediate.platforms.cisco_ios.shown import Timer
from remediate.platforms.cisco_ios.simulate import simulate
from remediate.platforms.cisco_ios.state import state, state_of_text
from remediate.platforms.cisco_ios.terminal import SHOWING, WRITING, Terminal
from remediate.platforms.session import Session

DEVICE_TYPE = "cisco_ios"

#: A preflight's or a check's reading is also what runs for whoever asks at once afterwards; nobody else is given it.
_FRESH = 1.0
_LONGEST_REMARK = 100
_UNDO = ".undo"
_UNDO_MINUTES = 5


class CiscoIos:
    def __init__(self, device: Device, session: Session) -> None:
        self._device = device
        self._session = session
        self._at = Terminal(session)
        self._candidate: Candidate | None = None
        self._pushed: Token | None = None
        #: The push for which this session set a timer, that timer, and ``time.monotonic()`` right before it did.
        self._armed: tuple[Token, Timer, float] | None = None
        #: What a preflight or a check read last, and when; see ``_FRESH``.
        self._read: tuple[str, float] | None = None
        #: What ran when the candidate was seen to fit.
        self._fits: tuple[str, Config] | None = None
        #: Whether startup was seen to be what runs, since this session wrote last.
        self._saved = False
        session.enable()

    def preflight(self, controls: Collection[str] = ()) -> tuple[str, ...]:  # noqa: ARG002 -- the same for all
        lacks = []
        privilege = self._session.say("show privilege").text
        if not re.search(r"level is 15\b", privilege):
            lacks.append("not privilege 15: give this user privilege 15, and commands that no parser view hides")
        startup = self._at.ask("show startup-config", SHOWING)
        text = self._at.ask("show running-config", SHOWING)
        running = self._at.in_full(text)
        config = state_of_text(self._device, running).config
        archive = next((block for block in config.blocks if block.head == "archive"), None)
        if archive is None or not any(line.strip().startswith("path ") for line in archive.children):
            lacks.append("no archive, so no revert timer: configure `archive` / `path flash:archive`, and save")
        try:
            timer = self._at.timer()
        except CommandRejected as error:
            lacks.append(f"no rollback confirmed change here (IOS 12.4(20)T or later): {error.words}")
            timer = None
        if timer:
            lacks.append(
                f"a revert timer of {timer.minutes} min, set by {timer.user} at {timer.at}, is pending: its owner must "
                "end it (`configure confirm` or `configure revert now`)"
            )
        lacks += [
            f"no interface {name} here ({key}): it has {', '.join(config.interfaces)}"
            for name, key in self._device.guard.named
            if name not in config.interfaces
        ]
        unsaved = differences(startup, text)
        if unsaved:
            lacks.append(
                "running and startup configuration differ, and a save would keep somebody else's work; save it or "
                "take it back first: " + "; ".join(redacted(line).strip() for line in unsaved[:5])
            )
        self._read = running, time.monotonic()
        return tuple(lacks)

    def unit(self) -> Unit:
        return unit.of_ios(self._session)

    def running_config(self) -> str:
        """Without secrets, and with the sequence numbers of the lists that are bound where the guard stands."""
        read_before, self._read = self._read, None
        if read_before and time.monotonic() - read_before[1] < _FRESH:
            return read_before[0]
        return self._at.in_full(self._at.ask("show running-config", SHOWING))

    def objections(self, text: str) -> str:  # noqa: ARG002 -- IOS has nothing that checks a text without loading it
        return ""

    def load_merge_candidate(self, candidate: Candidate) -> None:
        """IOS has no candidate configuration: it waits here, and is checked against what runs there now."""
        running = self.running_config()
        self._fits = running, self._check_fits(candidate, running)
        self._read = running, time.monotonic()
        self._candidate = candidate

    def compare_config(self) -> Diff:
        assert self._candidate is not None
        return Diff(text=self._candidate.diff)

    def discard_config(self) -> None:
        self._candidate = None

    def commit_config(self, *, token: Token, revert_in: timedelta, message: str) -> None:  # noqa: ARG002 -- no log there
        assert self._candidate is not None
        minutes = ceil(revert_in.total_seconds() / 60)
        if not 1 <= minutes <= 120 or len(f"remediate push {token}{_UNDO}") > _LONGEST_REMARK:
            raise DeviceError(
                f"a revert timer of {minutes} min, or the token {token}, is not possible here",
                where=self._device.name,
                next="set revert_in between 1m and 120m, and keep the names of devices short",
            )
        self._check_no_timer()
        self._read = None  # what runs this very moment is what counts
        running = self.running_config()
        assert self._fits is not None
        checked, now = self._fits
        if running != checked:
            now = self._check_fits(self._candidate, running)
            if state_of_text(self._device, running).foreign != state_of_text(self._device, checked).foreign:
                raise DriftError(
                    "the configuration has changed since it was checked",
                    where=self._name,
                    next="see who changed what, then plan again",
                )
        self._push(token, minutes, _lines(self._candidate.text), marked=MARKER in now.lists)
        self._pushed = token

    def pending(self) -> Pending | None:
        timer = self._at.timer()
        if timer is None:
            return None
        marker = self._at.marker()
        mine = marker is not None and marker.of(timer)
        return Pending(
            token=marker.token if marker and mine else f"of {timer.user or 'somebody'}, set at {timer.at}",
            ours=mine,
            seconds_left=self._seconds_left(timer),
        )

    def state_of(self, token: Token) -> PushState:
        """A revert takes the token away, so a token without a timer is a confirmed push.

        A token beside a timer that is not the one it was pushed under cannot be told: the timer may have been set
        anew. That is stuck, unless it is as long as the one under which a push is undone. Reverted is known only to
        the session that pushed; to another one the push is unknown. While the timer runs that this session set for
        the push, that is armed: whatever ends the push ends the timer.
        """
        timer = self._at.timer()
        if timer and self._armed and self._armed[:2] == (token, timer):
            return PushState(ARMED, self._seconds_left(timer))
        marker = self._at.marker()
        if timer is None and self._pushed != token and self._at.timer():
            return self.state_of(token)  # set between the two looks, by a session that was lost in the middle of it
        if marker is None or marker.token not in (token, token + _UNDO):
            if self._pushed == token:
                return PushState(REVERTED)
            orphan = timer is not None and self._may_be_ours(timer) and not (marker and marker.of(timer))
            return PushState(ARMING, self._seconds_left(timer)) if timer and orphan else PushState(ABSENT)
        if timer is None:
            return PushState(CONFIRMED if marker.token == token else REVERTED)
        left = self._seconds_left(timer)
        if marker.token != token:
            return PushState(ARMING, left)
        if marker.of(timer):
            return PushState(ARMED, left)
        undoing = timer.minutes == _UNDO_MINUTES and self._may_be_ours(timer)
        return PushState(ARMING if undoing else STUCK, left)

    def confirm_commit(self, token: Token) -> None:
        """Never a timer that is not ours; read back, since the timer may be faster."""
        found, said = self.state_of(token), ""
        if found.name == ARMED:
            said = self._session.say("configure confirm", timeout=WRITING).text
            found = self.state_of(token)
        self._check_state(token, found, CONFIRMED, said)

    def rollback(self, token: Token, made: Candidate) -> None:
        """Of a push that is armed, by the device; of one that is confirmed, by its own inverse, under a new timer."""
        found = self.state_of(token)
        if found.name == ARMING:
            self._end_undo(token, found.seconds_left)
            found = self.state_of(token)
        if found.name == ARMED:
            self._revert_now(token)
        elif found.name == CONFIRMED:
            self._take_out(token, made)
        self._pushed = token
        self._check_state(token, self.state_of(token), REVERTED)

    def save(self) -> str:
        """Raises DeviceError where that would also save what somebody else has changed meanwhile."""
        running = self._at.ask("show running-config", SHOWING)
        startup = self._at.ask("show startup-config", SHOWING)
        if others_unsaved(running, startup, places(self._device)):
            raise DeviceError(
                "somebody else's unsaved change is on the device, which a save would keep: "
                + "; ".join(redacted(line).strip() for line in differences(startup, running)[:5]),
                where=self._device.name,
                next="see to it, then `write memory` on the device",
            )
        said = self._at.ask("write memory", WRITING)
        unsaved = differences(self._at.ask("show startup-config", SHOWING), running)
        if "[OK]" not in said or unsaved:
            raise CommandRejected("the configuration is not saved", words=said, where=self._device.name)
        self._saved = True
        return "startup-config"

    def forget(self, token: Token) -> None:
        """The remarks stay: to remove them would be a change of its own, and the next push replaces them.

        But a push that somebody saved while it was provisional, and that is over, would come back at the next boot:
        so what runs now is saved. Raises DeviceError as ``save`` does.
        """
        if self._saved:
            return
        if self._at.marker() == (saved := self._at.marker("startup-config")) or saved is None or saved.token != token:
            return
        self.save()

    def live_peers(self, addresses: Collection[IPAddress], ports: Collection[int]) -> LivePeers:  # noqa: ARG002
        """An access list keeps no connections, and a translation that never changes is not taken away when they end."""
        return LivePeers(cannot="IOS lists no connections but translated ones, and those are not asked for")

    def evidence(self, addresses: Collection[IPAddress], ports: Collection[int]) -> Traces:
        return evidence.collect(lambda command: self._session.say(command, timeout=SHOWING).text, addresses, ports)

    def abort(self) -> None:
        self._session.abort()

    def close(self) -> None:
        self._session.close()

    # -- pushing --------------------------------------------------------------------------------------

    def _push(self, token: Token, minutes: int, lines: Sequence[str], *, marked: bool) -> None:
        """``marked``: whether there is a marker from before."""
        mark = [f"ip access-list extended {MARKER}", f"remark remediate push {token}"]
        if marked:
            mark = [f"no ip access-list extended {MARKER}", *mark]
        began = time.monotonic()
        self._enter(f"configure terminal revert timer {minutes}")
        try:
            self._at.type(mark)
            armed = self._at.timer()
            if armed is None:
                raise CommandRejected("the revert timer is not armed", words="(nothing)", where=self._name)
            self._armed = token, armed, began
            self._enter("configure terminal")
            mark = [f"ip access-list extended {MARKER}", f"remark remediate armed {armed.identity}"]
            self._at.type([*mark, *lines])
        except CommandRejected:
            self._revert_now(token)
            raise

    def _check_no_timer(self) -> None:
        """One that is set a moment later makes the device refuse ours."""
        if timer := self._at.timer():
            raise PendingChange(
                f"a revert timer of {timer.user} is pending", where=self._name, next="wait for its owner to end it"
            )

    def _enter(self, command: str) -> None:
        self._read, self._saved = None, False
        self._at.enter(command)

    def _revert_now(self, token: Token) -> None:
        self._read, self._saved = None, False
        said = self._session.say("configure revert now", timeout=WRITING).text
        marker = self._at.marker()
        if self._at.timer() or (marker and marker.token == token):
            raise NeedsHands(
                f"the device did not take the change {token} back\n  the device says: {said.strip()}",
                where=self._name,
                next="on its console: `configure revert now`, or `configure replace` with the newest file of "
                "`show archive`",
            )

    def _take_out(self, token: Token, made: Candidate) -> None:
        self._check_no_timer()
        now = self._check_fits(made, self.running_config(), taking_back=True)
        undo = Token(token + _UNDO)
        self._push(undo, _UNDO_MINUTES, _lines(made.inverse), marked=MARKER in now.lists)
        self.confirm_commit(undo)

    def _end_undo(self, token: Token, seconds_left: float) -> None:
        """An undo that was cut short is taken back itself; a timer that is only perhaps ours must end by itself."""
        timer, marker, undo = self._at.timer(), self._at.marker(), Token(token + _UNDO)
        if timer and marker and marker.token == undo and marker.of(timer):
            self._revert_now(undo)
        elif timer:
            raise PendingChange(
                f"a revert timer of {timer.user}, set at {timer.at}, may be this program's, and nothing proves it",
                seconds_left=seconds_left,
                where=self._name,
                next="wait until it has ended, then: remediate resume",
            )

    def _check_state(self, token: Token, state: PushState, wanted: str, said: str = "") -> None:
        if state.name == STUCK:
            raise NeedsHands(
                f"the push {token} is on the device, with a revert timer that is not the one it was pushed under",
                where=self._name,
                next="find out who set the timer (`show archive config rollback timer`), and end it there",
            )
        if state.name != wanted:
            raise DeviceError(
                f"the change {token} is {state.name}, not {wanted}{said and f'; the device says: {said.strip()}'}",
                where=self._name,
                next="remediate resume looks at the device and goes on from there",
            )

    def _may_be_ours(self, timer: Timer) -> bool:
        return timer.user.casefold() == self._session.username.casefold()

    @property
    def _name(self) -> str:
        return self._device.name

    # -- reading --------------------------------------------------------------------------------------

    def _check_fits(self, candidate: Candidate, running: str, *, taking_back: bool = False) -> Config:
        """What runs there now. Sequence numbers are lost at a reload: what was planned must do today what it was
        planned to do.
        """
        now = state_of_text(self._device, running)
        try:
            config = now.config if taking_back else simulate(now.config, candidate.text)
            after = state(self._device, config)
            back = state(self._device, simulate(config, candidate.inverse))
        except RemediateError as error:
            raise DriftError(
                f"what was planned does not fit the device any more: {error.what}", where=self._name, next="plan again"
            ) from error
        fits = all(
            after.sections.get(s.name) == s.rules and back.sections.get(s.name) == s.previous
            for s in candidate.sections
        )
        if not fits or now.foreign != back.foreign or now.foreign != after.foreign:
            raise DriftError(
                "what was planned, or its inverse, would not do on the device what it was planned to do",
                where=self._name,
                next="see who changed what, then plan again",
            )
        return now.config

    def _seconds_left(self, timer: Timer) -> float:
        """By our own clock for a timer that this session set, never too many; by the device's for any other."""
        if self._armed and self._armed[1] == timer:
            return max(0.0, timer.minutes * 60 - (time.monotonic() - self._armed[2]))
        return max(0.0, timer.minutes * 60 - self._at.seconds_since(timer))


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]
