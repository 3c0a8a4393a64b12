"""The dead man's switch of a device with a POSIX shell: it takes a push back by itself unless that is confirmed.

A platform stages three scripts of its own, beside what they need: ``load.sh`` puts the push in force, or ends with
LEFT_AS_IT_WAS where it has failed and has seen that everything is as it was; ``undo.sh`` takes it back, may be run
again, and fails unless it has seen that it did; ``in_force.sh`` fails, in words, where what was loaded is in force no
more. ``after_boot.sh``, where there is one, fails where a restart of the device has not taken the push back.
"""

from __future__ import annotations

import getpass
import os
import shlex
import socket
import time
from collections.abc import Mapping
from datetime import timedelta
from hashlib import sha256

from remediate.errors import CommandRejected, DeviceError, NeedsHands, PendingChange
from remediate.model.change import Pending, Token
from remediate.platforms import ABSENT, ARMED, CONFIRMED, REVERTED, STUCK, PushState
from remediate.platforms import deadman_scripts as scripts
from remediate.platforms.deadman_scripts import FACTS, HEAD, LEFT_AS_IT_WAS, NOT_KNOWN, NOT_MADE, SOMEBODY_ELSE, STATE
from remediate.platforms.session import Completed, Session

__all__ = ["FACTS", "HEAD", "LEFT_AS_IT_WAS", "STATE", "DeadMan", "lacks"]

_STATES = {
    "staged": ABSENT,  # the program ended before anything was loaded
    "armed": ARMED,
    "confirmed": CONFIRMED,
    "reverted": REVERTED,
    "refused": REVERTED,
    "reverting": STUCK,
    "staged-before-boot": ABSENT,
    "reverted-before-boot": REVERTED,
    "refused-before-boot": REVERTED,
    "confirmed-before-boot": CONFIRMED,
    # What is not confirmed is in no file that is read at boot, so a restart has taken it back.
    "armed-before-boot": REVERTED,
    "reverting-before-boot": REVERTED,
}
_BEFORE_BOOT = "-before-boot"
#: Seconds that a timer may be late.
_TIMER_LATE = 5.0


class _Push:
    """One line of PENDING. ``alive``: its timer; ``busy``: it is being loaded or taken back."""

    def __init__(self, line: str, *, outlasts_boot: bool) -> None:
        self.token, name, left, alive, busy, down, *words = line.split(maxsplit=6)
        restarted = name.endswith(_BEFORE_BOOT)
        if restarted:  # measured before that, and of no restart since
            left, down = "0", "-"
        if outlasts_boot:
            name = name.removesuffix(_BEFORE_BOOT)
        self.alive, self.busy = alive == "yes", busy == "yes"
        self.state = PushState(
            _STATES.get(name, STUCK),
            float(left),
            None if down == "-" else float(down),
            restarted=restarted,
            why=words[0] if words else "",
        )

    @property
    def overdue(self) -> bool:
        """Its time is over, and its timer has not begun to take it back, or could not note that it did."""
        return self.state.name == ARMED and self.state.seconds_left < 0 and self.alive


class DeadMan:
    """The pushes of one device on one subject, over its session.

    ``subject``: what is configured: see ``deadman_scripts``; an absolute path counts by the file that it leads to.
    ``takes``: seconds that ``load.sh`` or ``undo.sh`` may need. ``outlasts_boot``: what is loaded is in force after a
    restart of the device too, where nobody takes it back by itself any more.
    """

    def __init__(self, name: str, session: Session, *, subject: str, takes: float, outlasts_boot: bool = False) -> None:
        self._name = name
        self._session = session
        self._subject = subject
        self._takes = takes
        self._outlasts_boot = outlasts_boot
        #: What was staged in this session, and the digest of the list of its digests.
        self._staged: tuple[Token, str] | None = None

    def run(self, script: str, *args: str, stdin: str = "") -> Completed:
        """Runs a script as root; the exit status is the caller's to judge."""
        words = " ".join(map(shlex.quote, args))
        text = f"set -- {words}\n{script}" if words else script
        return self._session.execute(text, stdin=stdin, root=True, timeout=30 + self._takes)

    def must(self, script: str, failed: str, *args: str, stdin: str = "") -> Completed:
        """Raises CommandRejected: ``the device {failed}``, with its words; PendingChange where another push is in the
        way.
        """
        done = self.run(script, *args, stdin=stdin)
        if done.status == SOMEBODY_ELSE:
            raise self._somebody_else(done)
        if done.status:
            raise CommandRejected(f"the device {failed}", words=done.err or done.out, where=self._name)
        return done

    def stage(self, token: Token, files: Mapping[str, str], check: str) -> None:
        """``files``: name → text, the platform's scripts among them. ``check``: a script that is run beside them.

        What the check finds wrong is raised as CommandRejected, and nothing stays. Raises PendingChange.
        """
        files = {**files, "deadman.sh": scripts.DEADMAN, "back.sh": scripts.BACK}
        if self._outlasts_boot:
            files["outlasts"] = ""
        digests = "".join(f"{_digest(text)}  {name}\n" for name, text in sorted(files.items()))
        self._staged = None
        self.must(scripts.CLAIM, "does not take the candidate", token, self._subject, _owner())
        for name, text in {**files, "digests": digests}.items():
            self.must(scripts.STAGE, "does not take the candidate", token, self._subject, name, stdin=text)
        checked = self.run(scripts.CHECK + check, token, self._subject)
        if checked.status == SOMEBODY_ELSE:
            raise self._somebody_else(checked)
        if checked.status:
            self.run(scripts.DISCARD, token, self._subject)
            raise CommandRejected(
                "the device refuses the configuration; nothing was loaded",
                words=checked.err or checked.out,
                where=self._name,
                next="mend the template or the inventory, and plan again",
            )
        self._staged = token, _digest(digests)

    def discard(self) -> None:
        """What was staged in this session; ``forget`` removes that of another one, by its token."""
        if self._staged is not None:
            self.must(scripts.DISCARD, "does not discard the candidate", self._staged[0], self._subject)
            self._staged = None

    def commit(self, token: Token, revert_in: timedelta) -> None:
        """Raises PendingChange or CommandRejected where nothing is loaded, DeviceError where that is not known."""
        if self._staged is None or self._staged[0] != token:
            raise CommandRejected(
                "the device did not load the configuration", words=f"nothing was staged for {token}", where=self._name
            )
        done = self.run(scripts.COMMIT, token, self._subject, str(int(revert_in.total_seconds())), self._staged[1])
        if done.status == SOMEBODY_ELSE:
            raise self._somebody_else(done)
        words = (done.err or done.out).strip()
        if done.status == NOT_MADE:
            raise CommandRejected("the device did not load the configuration", words=words, where=self._name)
        if done.status:
            what = (
                f"the device could not load the configuration, and could not take all of it back: {words}"
                if done.status == NOT_KNOWN
                else f"the device was interrupted as it loaded the configuration: status {done.status}, {words}"
            )
            raise DeviceError(
                what,
                where=self._name,
                next="its timer takes back what was loaded, and goes on trying; remediate resume looks at what became "
                "of it",
            )

    def pending(self) -> Pending | None:
        for push in self._pushes().values():
            if push.state.name in (ARMED, STUCK) or push.busy:
                return Pending(token=push.token, ours=True, seconds_left=max(0.0, push.state.seconds_left))
        return None

    def state_of(self, token: Token) -> PushState:
        """A load or a revert that is under way is waited for; armed without a living timer is stuck."""
        began = time.monotonic()
        while True:
            push = self._pushes().get(token)
            if push is None:
                return PushState(ABSENT)
            gone = time.monotonic() - began
            if not (push.busy and gone < self._takes) and not (push.overdue and gone < _TIMER_LATE):
                break
            time.sleep(0.1)  # the device tells nobody when it has ended
        unwatched = push.state.name == ARMED and (push.busy or push.overdue or not push.alive)
        return push.state._replace(name=STUCK) if unwatched else push.state

    def confirm(self, token: Token) -> None:
        self.run(scripts.CONFIRM, token)
        self._must_be(token, CONFIRMED)

    def rollback(self, token: Token) -> None:
        """Raises NeedsHands where it cannot be taken back now; the device then goes on trying by itself."""
        done = self.run(scripts.REVERT, token)
        self._must_be(token, REVERTED, words=done.err.strip())

    def save(self, token: Token, script: str, *args: str) -> Completed:
        """``script``: makes the confirmed push outlast a restart; run in its folder, with ``args`` from $3 on.

        Raises PendingChange while another push on the same subject is provisional, and CommandRejected where the
        push is not confirmed, or not in force any more.
        """
        return self.must(
            scripts.SAVE + script, "does not keep the change for the next boot", token, self._subject, *args
        )

    def forget(self, token: Token) -> None:
        self.must(scripts.FORGET, "does not clean up", token, self._subject)

    def _pushes(self) -> dict[str, _Push]:
        lines = self.must(scripts.PENDING, "does not tell what is pending", self._subject).out.splitlines()
        pushes = [_Push(line, outlasts_boot=self._outlasts_boot) for line in lines]
        return {push.token: push for push in pushes}

    def _must_be(self, token: Token, wanted: str, *, words: str = "") -> None:
        """Read back: the timer may have been faster."""
        push = self._pushes().get(token)
        goes_on = push is not None and push.alive
        state = self.state_of(token)
        if state.name == STUCK:
            says = words or state.why
            raise NeedsHands(
                f"the device could not take the change {token} back" + (f": {says}" if says else ""),
                where=self._name,
                next=(
                    "it goes on trying by itself; mend what it says, then: remediate resume"
                    if goes_on
                    else f"nothing there tries again; mend what it says, then: remediate resume, or on its console: "
                    f"cd {STATE}/{token} && sh back.sh confirmed"
                ),
            )
        if state.name != wanted:
            raise DeviceError(
                f"the change {token} is {state.name}, not {wanted}",
                where=self._name,
                next="remediate resume looks at the device and goes on from there",
            )

    def _somebody_else(self, done: Completed) -> PendingChange:
        return PendingChange(
            f"another push is made on the device: {done.err.strip() or done.out.strip()}",
            where=self._name,
            next="wait until it has ended; if its program was killed: remediate resume, with its record",
        )


def lacks(facts: Mapping[str, str]) -> list[str]:
    """What FACTS found missing of what every push needs, each with advice."""
    wrong = []
    if facts.get("uid") != "0":
        wrong.append("not root: log in as root, or let this user run sudo without a password")
    if not facts.get("timer"):
        wrong.append("no revert timer: install util-linux (setsid) or run systemd")
    if not facts.get("flock"):
        wrong.append("no flock: install util-linux; two pushes at a time are kept apart by it")
    if not facts.get("sha256sum"):
        wrong.append("no sha256sum: install coreutils; what is loaded is compared with what was staged by it")
    if facts.get("state") != "writable":
        wrong.append(f"{STATE} cannot be written: the revert timer keeps its files there")
    return wrong


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def _owner() -> str:
    return f"{getpass.getuser()}@{socket.gethostname()}, process {os.getpid()}"
