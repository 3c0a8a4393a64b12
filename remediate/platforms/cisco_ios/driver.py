"""One session with an IOS router.

A push is two visits to configuration mode: the first arms the revert timer and writes the push's token, its owner and
a digest of what it is into a list of remarks that is bound to nothing; once the timer is seen, the second writes there
when that timer was set, and then the candidate. So nothing is in force without a timer, and afterwards a timer is ours
only if it is that very one. The remarks stay after the confirm; a revert takes them away with the rest. Whoever loses
the session between the two leaves a timer that nothing tells whose it is: it is waited for, since it may be a
colleague's.

A confirmed push is taken back by its inverse, which is a push of its own: its token ends in ``.undo``.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from datetime import timedelta
from math import ceil

from remediate.errors import (
    CommandRejected,
    DeviceError,
    DriftError,
    NeedsHands,
    PendingChange,
)
from remediate.model.change import Candidate, Diff, Pending, Token, Unit
from remediate.model.device import Device
from remediate.model.peers import LivePeers
from remediate.model.site import IPAddress
from remediate.model.traces import Traces
from remediate.platforms import ABSENT, ARMED, ARMING, CONFIRMED, REVERTED, STUCK, Pace, PushState, unit
from remediate.platforms.cisco_ios import evidence, lacking, marks, siblings
from remediate.platforms.cisco_ios.config import MARKER, Config, redacted
from remediate.platforms.cisco_ios.fitting import check_fits
from remediate.platforms.cisco_ios.foreign import differences, others_unsaved
from remediate.platforms.cisco_ios.marks import UNDO, Marker, Timer
from remediate.platforms.cisco_ios.plan import places
from remediate.platforms.cisco_ios.state import state_of_text
from remediate.platforms.cisco_ios.terminal import SHOWING, WRITING, Terminal
from remediate.platforms.session import Session

DEVICE_TYPE = "cisco_ios"

#: A preflight's or a check's reading is also what runs for whoever asks at once afterwards; nobody else is given it.
_FRESH = 1.0
#: Of the timer under which a confirmed push is taken back: the first that is long enough.
_UNDO_MINUTES = (5, 30, 120)
#: Lines besides the inverse's while that timer runs, and the part of it that they may take together.
_AROUND, _USABLE = 24, 0.8


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
        #: Seconds that the configuration took to be read.
        self._reading = 0.0
        #: Whether startup was seen to be what runs, since this session wrote last.
        self._saved = False
        session.enable()

    def preflight(self, controls: Collection[str] = ()) -> tuple[str, ...]:  # noqa: ARG002 -- the same for all
        """While a revert timer runs nothing is said: what is lacking may be its owner's (``pending`` tells of it)."""
        lacks = list(lacking.rights(self._at))
        try:
            if self._at.timer():
                return ()
            startup = self._at.ask("show startup-config", SHOWING)
            began = time.monotonic()
            text = self._at.ask("show running-config", SHOWING)
            running = self._at.in_full(text)
            self._reading = time.monotonic() - began
            users = self._at.ask("show users")
        except CommandRejected as error:
            return (*lacks, lacking.refused(error))
        config = state_of_text(self._device, running).config
        lacks += lacking.prompt(text, self._session.prompt_name)
        lacks += lacking.archive(config)
        lacks += lacking.lines(text, users)
        lacks += [wrong for name, key in self._device.guard.named if (wrong := siblings.wrong(config, name, key))]
        if unsaved := differences(startup, text):
            lacks.append(
                "running and startup configuration differ, and a save would keep somebody else's work; save it or "
                "take it back first: " + "; ".join(redacted(line).strip() for line in unsaved[:5])
            )
            if left := _left_unsaved(text, startup):
                lacks.append(f"the push {left.words} is confirmed there and not saved: remediate resume, on its record")
        self._read = running, time.monotonic()
        return tuple(lacks)

    def pace(self) -> Pace:
        return Pace(self._session.seconds_a_line, self._reading)

    def unit(self) -> Unit:
        return unit.of_ios(self._session)

    def running_config(self) -> str:
        """Without secrets, and with the sequence numbers of the lists that are bound where the guard stands."""
        read_before, self._read = self._read, None
        if read_before and time.monotonic() - read_before[1] < _FRESH:
            return read_before[0]
        return self._at.in_full(self._at.ask("show running-config", SHOWING))

    def boot_config(self) -> str:
        """As ``running_config``, of what the next start loads. Where IOS keeps no numbers it counts entries anew."""
        return redacted(self._at.ask("show startup-config", SHOWING))

    def objections(self, text: str) -> str:  # noqa: ARG002 -- IOS has nothing that checks a text without loading it
        return ""

    def load_merge_candidate(self, candidate: Candidate, token: Token) -> None:  # noqa: ARG002 -- nothing is staged there
        """IOS has no candidate configuration: it waits here, and is checked against what runs there now."""
        running = self.running_config()
        self._fits = running, check_fits(self._device, candidate, running)
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
        if not 1 <= minutes <= 120 or not marks.fits(token):
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
            now = check_fits(self._device, self._candidate, running)
            if state_of_text(self._device, running).foreign != state_of_text(self._device, checked).foreign:
                raise DriftError(
                    "the configuration has changed since it was checked",
                    where=self._name,
                    next="see who changed what, then plan again",
                )
        self._check_nothing_unsaved(token, running)
        self._push(token, minutes, self._candidate.text, replaced=MARKER in now.lists)
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
            owner=marker.owner if marker and mine else "",
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
        if marker is None or marker.token not in (token, token + UNDO):
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
        undoing = timer.minutes in _UNDO_MINUTES and self._may_be_ours(timer)
        return PushState(ARMING if undoing else STUCK, left)

    def confirm_commit(self, token: Token) -> None:
        """Never a timer that is not ours; read back, since the timer may be faster."""
        found, said = self.state_of(token), ""
        if found.name == ARMED:
            self._check_as_staged(token)
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

    def save(self, token: Token) -> str:  # noqa: ARG002 -- IOS saves all that runs
        """Raises DeviceError where that would also save what somebody else has changed meanwhile, PendingChange where
        that is provisional: after the confirm no timer is this push's.
        """
        self._check_no_timer()
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
        try:
            self.save(token)
        except DeviceError as error:
            raise DeviceError(
                f"the push {token} is over, and the next start would bring it back: somebody saved it while it was "
                f"provisional. What runs now is not saved in its place by this program: {error.what}",
                where=self._name,
                next="see which of these lines are to stay, type those in that are missing, and `write memory`; then: "
                "remediate resume",
            ) from error

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

    def _push(self, token: Token, minutes: int, text: str, *, replaced: bool) -> None:
        """``replaced``: whether there is a marker from before."""
        began = time.monotonic()
        self._enter(f"configure terminal revert timer {minutes}")
        try:
            self._at.type(marks.lines(token, text, replaced=replaced))
            armed = self._at.timer()
            if armed is None:
                raise CommandRejected("the revert timer is not armed", words="(nothing)", where=self._name)
            self._armed = token, armed, began
            self._enter("configure terminal")
            self._at.type([*marks.armed(armed), *_lines(text)])
        except CommandRejected:
            self._revert_now(token)
            raise

    def _check_no_timer(self) -> None:
        """One that is set a moment later makes the device refuse ours."""
        if timer := self._at.timer():
            marker = self._at.marker()
            whose = f"the push {marker.words} is provisional there, under" if marker and marker.of(timer) else ""
            raise PendingChange(
                f"{whose} a revert timer of {timer.user}, set at {timer.at}{'' if whose else ', is running'}".strip(),
                seconds_left=self._seconds_left(timer),
                where=self._name,
                next="wait until it has ended, or for its owner to end it",
            )

    def _check_nothing_unsaved(self, token: Token, running: str) -> None:
        """Another push that is confirmed and not saved is not ours to save, nor to be undone by our timer's reload."""
        marker = marks.read(running)
        if marker is None or marker.token in (token, token + UNDO):
            return
        if left := _left_unsaved(running, self._at.ask(f"show startup-config | include {marks.PATTERN}", SHOWING)):
            raise PendingChange(
                f"the push {left.words} is confirmed there and not saved yet",
                where=self._name,
                next="let that program finish; if it is gone: remediate resume, on its record",
            )

    def _check_as_staged(self, token: Token) -> None:
        """What is confirmed is what this session has staged. Another session knows only the token."""
        marker = self._at.marker()
        if self._candidate and self._pushed == token and marker and not marks.is_of(marker, self._candidate):
            raise NeedsHands(
                f"what is marked there as the push {marker.words} is not what was staged: its digest is "
                f"{marker.digest}, not {marks.digest(self._candidate.text)}",
                where=self._name,
                next="it was not confirmed: find out who pushed; the device takes it back by its own timer",
            )

    def _undo_minutes(self, inverse: str) -> int:
        line, reading = self.pace()
        needed = (len(_lines(inverse)) + _AROUND) * line + 2 * reading
        return next((m for m in _UNDO_MINUTES if m * 60 * _USABLE >= needed), _UNDO_MINUTES[-1])

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
        now = check_fits(self._device, made, self.running_config(), taking_back=True)
        undo = Token(token + UNDO)
        self._push(undo, self._undo_minutes(made.inverse), made.inverse, replaced=MARKER in now.lists)
        self.confirm_commit(undo)

    def _end_undo(self, token: Token, seconds_left: float) -> None:
        """An undo that was cut short is taken back itself; a timer that is only perhaps ours must end by itself."""
        timer, marker, undo = self._at.timer(), self._at.marker(), Token(token + UNDO)
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

    def _seconds_left(self, timer: Timer) -> float:
        """By our own clock for a timer that this session set, never too many; by the device's for any other."""
        if self._armed and self._armed[1] == timer:
            return max(0.0, timer.minutes * 60 - (time.monotonic() - self._armed[2]))
        return max(0.0, timer.minutes * 60 - self._at.seconds_since(timer))


def _left_unsaved(running: str, startup: str) -> Marker | None:
    """The marker of a push that is in force and will not outlast a restart; one that was undone leaves nothing."""
    marker = marks.read(running)
    saved = marks.read(startup)
    if marker is None or marker.token.endswith(UNDO) or (saved and saved.token == marker.token):
        return None
    return marker


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]
