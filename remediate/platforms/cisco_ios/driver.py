"""One session with an IOS router.

A push is two visits to configuration mode: the first arms the revert timer and writes the push's token into a list of
remarks that is bound to nothing; once the timer is seen, the second writes there when that timer was set, and then
the candidate. So nothing is in force without a timer, and afterwards a timer is ours only if it is that very one. The
remarks stay after the confirm; a revert takes them away with the rest.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from math import ceil
from typing import NamedTuple

from remediate.errors import (
    CommandRejected,
    DeviceError,
    DeviceUnreachable,
    DriftError,
    NeedsHands,
    PendingChange,
    RemediateError,
)
from remediate.model.change import Candidate, Diff, Pending, Token
from remediate.model.site import Device
from remediate.platforms import ABSENT, ARMED, CONFIRMED, REVERTED, STUCK, PushState
from remediate.platforms.cisco_ios.config import MARKER, NUMBERS, Config, foreign, lines_of, read, redacted
from remediate.platforms.cisco_ios.plan import places
from remediate.platforms.cisco_ios.simulate import simulate
from remediate.platforms.cisco_ios.state import state
from remediate.platforms.session import Session

DEVICE_TYPE = "cisco_ios"

#: Seconds: a large configuration is generated slowly, and a revert or a save takes longer still.
_SHOWING = 120.0
_WRITING = 180.0
_LONGEST_REMARK = 100
_UNDOING = Token("taking-back")
_UNDO_MINUTES = 5

#: Instead of an answer. An answer that is read for itself is not held against this.
_REFUSED = re.compile(r"\s*(\^\s*\n\s*)?(%|command authorization failed|command rejected)", re.IGNORECASE)
#: What may come at any moment and answers nothing: log messages, and the timer's own warnings.
_UNASKED = re.compile(r"%[A-Z0-9_]+-\d-[A-Z0-9_]+:|^Rollback Confirmed Change:|^Enter \"configure confirm\"|^\s*$")
_TIMER = re.compile(
    r"Time configured[^:]*: (?P<at>.+?)\s*\n.*?Timer value: (?P<minutes>\d+) min.*?User: (?P<user>\S*)", re.DOTALL
)
_TIME = re.compile(r"(\d\d):(\d\d):(\d\d)(?:\.\d+)? \S+ \w{3} (\w{3}) +(\d+) (\d{4})")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_NUMBERED_LIST = re.compile(r"(?:Standard|Extended) IP access list (\S+)")
_NUMBERED_ENTRY = re.compile(r"\s+(\d+) (?!remark )\S")


class Timer(NamedTuple):
    """``at``: when it was set, in the device's own words."""

    at: str
    minutes: int
    user: str

    @property
    def identity(self) -> str:
        return f"{self.minutes} min {self.at}"


class Marker(NamedTuple):
    """``timer``: the identity of the timer that it was pushed under; "" until the candidate itself is typed."""

    token: Token
    timer: str


class CiscoIos:
    def __init__(self, device: Device, session: Session) -> None:
        self._device = device
        self._session = session
        self._candidate: Candidate | None = None
        self._pushed: Token | None = None
        session.enable()

    def preflight(self) -> tuple[str, ...]:
        lacks = []
        privilege = self._session.say("show privilege").text
        if not re.search(r"level is 15\b", privilege):
            lacks.append("not privilege 15: give this user privilege 15, and commands that no parser view hides")
        text = self._ask("show running-config", _SHOWING)
        config = read(text)
        archive = next((block for block in config.blocks if block.head == "archive"), None)
        if archive is None or not any(line.strip().startswith("path ") for line in archive.children):
            lacks.append("no archive, so no revert timer: configure `archive` / `path flash:archive`, and save")
        try:
            timer = self._timer()
        except CommandRejected as error:
            lacks.append(f"no rollback confirmed change here (IOS 12.4(20)T or later): {error.words}")
            timer = None
        if timer:
            lacks.append(
                f"a revert timer of {timer.minutes} min, set by {timer.user} at {timer.at}, is pending: its owner must "
                "end it (`configure confirm` or `configure revert now`)"
            )
        lacks += [
            f"no interface {name} here (guard.interface): it has {', '.join(config.interfaces)}"
            for name in self._device.guard.interface
            if name not in config.interfaces
        ]
        unsaved = _differences(read(self._ask("show startup-config", _SHOWING)), config)
        if unsaved:
            lacks.append(
                "running and startup configuration differ, and a save would keep somebody else's work; save it or "
                "take it back first: " + "; ".join(redacted(line).strip() for line in unsaved[:5])
            )
        return tuple(lacks)

    def running_config(self) -> str:
        """Without secrets, and with the sequence numbers, which most trains do not print there."""
        running = self._ask("show running-config", _SHOWING)
        return redacted(running) + _numbers(self._ask("show ip access-lists", _SHOWING))

    def objections(self, text: str) -> str:  # noqa: ARG002 -- IOS has nothing that checks a text without loading it
        return ""

    def load_merge_candidate(self, candidate: Candidate) -> None:
        """IOS has no candidate configuration: it waits here, and is checked against what runs there now."""
        self._check_fits(candidate)
        self._candidate = candidate

    def compare_config(self) -> Diff:
        assert self._candidate is not None
        return Diff(text=self._candidate.diff)

    def discard_config(self) -> None:
        self._candidate = None

    def commit_config(self, *, token: Token, revert_in: timedelta, message: str) -> None:  # noqa: ARG002 -- no log there
        assert self._candidate is not None
        minutes = ceil(revert_in.total_seconds() / 60)
        if not 1 <= minutes <= 120 or len(f"remediate push {token}") > _LONGEST_REMARK:
            raise DeviceError(
                f"a revert timer of {minutes} min, or the token {token}, is not possible here",
                where=self._device.name,
                next="set revert_in between 1m and 120m, and keep the names of devices short",
            )
        self._check_fits(self._candidate)
        self._push(token, minutes, _lines(self._candidate.text))
        self._pushed = token

    def pending(self) -> Pending | None:
        timer = self._timer()
        if timer is None:
            return None
        marker = self._marker()
        mine = marker is not None and marker.timer in (timer.identity, "")
        return Pending(
            token=marker.token if marker and mine else f"of {timer.user or 'somebody'}, set at {timer.at}",
            ours=mine,
            seconds_left=self._seconds_left(timer),
        )

    def state_of(self, token: Token) -> PushState:
        """A revert takes the token away, so a token without a timer is a confirmed push.

        A token beside a timer that is not the one it was pushed under cannot be told: the timer may have been set
        anew. That is stuck. Reverted is known only to the session that pushed; to another one the push is unknown.
        """
        marker = self._marker()
        if marker is None or marker.token != token:
            return PushState(REVERTED if self._pushed == token else ABSENT)
        timer = self._timer()
        if timer is None:
            # The timer may have fired between the two looks.
            return PushState(CONFIRMED if self._marker() == marker else REVERTED)
        return PushState(ARMED if marker.timer in (timer.identity, "") else STUCK, self._seconds_left(timer))

    def confirm_commit(self, token: Token) -> None:
        """Never a timer that is not ours; read back, since the timer may be faster."""
        found, said = self.state_of(token), ""
        if found.name == ARMED:
            said = self._session.say("configure confirm", timeout=_WRITING).text
            found = self.state_of(token)
        self._check_state(token, found, CONFIRMED, said)

    def rollback(self, token: Token) -> None:
        """Of a push that is armed, by the device; of one that is confirmed, by its own inverse, under a new timer."""
        found = self.state_of(token)
        if found.name == ARMED:
            self._revert_now(token)
        elif found.name == CONFIRMED:
            self._take_out(token)
        self._pushed = token
        self._check_state(token, self.state_of(token), REVERTED)

    def save(self) -> str:
        """Raises DeviceError where that would also save what somebody else has changed meanwhile."""
        running = read(self._ask("show running-config", _SHOWING))
        startup = read(self._ask("show startup-config", _SHOWING))
        where = places(self._device)
        if foreign(running, where) != foreign(startup, where):
            raise DeviceError(
                "somebody else's unsaved change is on the device, which a save would keep: "
                + "; ".join(redacted(line).strip() for line in _differences(startup, running)[:5]),
                where=self._device.name,
                next="see to it, then `write memory` on the device",
            )
        said = self._ask("write memory", _WRITING)
        unsaved = _differences(read(self._ask("show startup-config", _SHOWING)), running)
        if "[OK]" not in said or unsaved:
            raise CommandRejected("the configuration is not saved", words=said, where=self._device.name)
        return "startup-config"

    def forget(self, token: Token) -> None:
        """Nothing: to remove the remarks would be a change of its own. The next push replaces them."""

    def abort(self) -> None:
        self._session.abort()

    def close(self) -> None:
        self._session.close()

    # -- pushing --------------------------------------------------------------------------------------

    def _push(self, token: Token, minutes: int, lines: Sequence[str]) -> None:
        if timer := self._timer():
            raise PendingChange(
                f"a revert timer of {timer.user} is pending", where=self._name, next="wait for its owner to end it"
            )
        mark = [f"ip access-list extended {MARKER}", f"remark remediate push {token}"]
        if self._marker():
            mark = [f"no ip access-list extended {MARKER}", *mark]
        self._enter(f"configure terminal revert timer {minutes}")
        try:
            self._type(mark)
            armed = self._timer()
            if armed is None:
                raise CommandRejected("the revert timer is not armed", words="(nothing)", where=self._name)
            self._enter("configure terminal")
            mark = [f"ip access-list extended {MARKER}", f"remark remediate armed {armed.identity}"]
            self._type([*mark, *lines])
        except CommandRejected:
            self._revert_now(token)
            raise

    def _enter(self, command: str) -> None:
        reply = self._session.say(command, timeout=_WRITING)
        if "(config" not in reply.prompt:
            raise CommandRejected("the device cannot be configured now", words=reply.text, where=self._name)

    def _type(self, lines: Iterable[str]) -> None:
        """In configuration mode, which is left whatever happens. None of our lines has an answer but a refusal."""
        try:
            for line in lines:
                reply = self._session.say(line)
                if any(not _UNASKED.search(said) for said in reply.text.splitlines()):
                    raise CommandRejected(f"the device refuses the line `{line}`", words=reply.text, where=self._name)
        finally:
            with suppress(DeviceUnreachable):  # no session, no mode to leave; the error under way says what happened
                self._session.say("end")

    def _revert_now(self, token: Token) -> None:
        said = self._session.say("configure revert now", timeout=_WRITING).text
        marker = self._marker()
        if self._timer() or (marker and marker.token == token):
            raise NeedsHands(
                f"the device did not take the change {token} back\n  the device says: {said.strip()}",
                where=self._name,
                next="on its console: `configure revert now`, or `configure replace` with the newest file of "
                "`show archive`",
            )

    def _take_out(self, token: Token) -> None:
        if self._candidate is None:
            raise NeedsHands(
                f"the change {token} is confirmed, and this session does not know its inverse",
                where=self._name,
                next="take it back as a change of its own: remediate rollback",
            )
        self._check_fits(self._candidate, taking_back=True)
        self._push(_UNDOING, _UNDO_MINUTES, _lines(self._candidate.inverse))
        self.confirm_commit(_UNDOING)

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

    @property
    def _name(self) -> str:
        return self._device.name

    # -- reading --------------------------------------------------------------------------------------

    def _check_fits(self, candidate: Candidate, *, taking_back: bool = False) -> None:
        """Sequence numbers are lost at a reload: what was planned must do today what it was planned to do."""
        now = state(self._device, read(self.running_config()))
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

    def _ask(self, command: str, timeout: float = 30) -> str:
        text = self._session.say(command, timeout=timeout).text
        if _REFUSED.match(text):
            raise CommandRejected(f"the device refuses `{command}`", words=text, where=self._name)
        return text

    def _timer(self) -> Timer | None:
        text = self._session.say("show archive config rollback timer").text
        if "No Rollback Confirmed Change pending" in text:
            return None
        found = _TIMER.search(text)
        if found is None:
            raise CommandRejected("the device does not tell whether a revert timer runs", words=text, where=self._name)
        return Timer(found["at"], int(found["minutes"]), found["user"])

    def _marker(self) -> Marker | None:
        text = self._ask("show running-config | include remark remediate (push|armed)", _SHOWING)
        token = re.search(r"remark remediate push (\S+)", text)
        at = re.search(r"remark remediate armed (.+?)\s*$", text, re.MULTILINE)
        return Marker(Token(token[1]), at[1] if at else "") if token else None

    def _seconds_left(self, timer: Timer) -> float:
        """By the device's own clock."""
        now, since = _moment(self._ask("show clock")), _moment(timer.at)
        gone = (now - since).total_seconds() if now and since else 0.0
        return max(0.0, timer.minutes * 60 - gone)


def _moment(text: str) -> datetime | None:
    """A time as IOS writes it, in whatever zone that is: only differences of two are of use."""
    if not (found := _TIME.search(text)):
        return None
    hour, minute, second, month, day, year = found.groups()
    return datetime(int(year), _MONTHS.index(month) + 1, int(day), int(hour), int(minute), int(second), tzinfo=UTC)


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


def _differences(one: Config, other: Config) -> list[str]:
    """Lines that only one of the two has; where just their order differs, that is said."""
    ours, theirs = lines_of(one), lines_of(other)
    if ours == theirs:
        return []
    return [line for line in ours if line not in theirs] + [line for line in theirs if line not in ours] or [
        "the order"
    ]


def _numbers(shown: str) -> str:
    """``show ip access-lists``, condensed to one line a list."""
    found: dict[str, list[str]] = {}
    name = ""
    for line in shown.splitlines():
        if head := _NUMBERED_LIST.match(line.strip()):
            name = head[1]
            found[name] = []
        elif name and (entry := _NUMBERED_ENTRY.match(line)):
            found[name].append(entry[1])
    return "".join(f"{NUMBERS} {' '.join([name, *numbers])}\n" for name, numbers in found.items())
