"""What is typed at a router's command line, and how its answers are read."""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress

from remediate.errors import CommandRejected, DeviceUnreachable
from remediate.platforms.cisco_ios import marks, shown
from remediate.platforms.cisco_ios.config import bound_to, redacted
from remediate.platforms.cisco_ios.marks import Marker, Timer
from remediate.platforms.session import Session

#: Seconds: a large configuration is generated slowly, and a revert or a save takes longer still.
SHOWING = 120.0
WRITING = 180.0

#: Instead of an answer. An answer that is read for itself is not held against this.
_REFUSED = re.compile(r"\s*(\^\s*\n\s*)?(%|command authorization failed|command rejected)", re.IGNORECASE)
#: What may come at any moment and answers nothing: log messages, and the timer's own warnings.
_UNASKED = re.compile(r"%[A-Z0-9_]+-\d-[A-Z0-9_]+:|^Rollback Confirmed Change:|^Enter \"configure confirm\"|^\s*$")
#: Where a translation goes that connections use: they are to end with it, so this is agreed to.
_IN_USE = "do you want to delete child entries?"


class Terminal:
    def __init__(self, session: Session) -> None:
        self.session = session
        self._name = session.device.name

    def ask(self, command: str, timeout: float = 30) -> str:
        text = self.session.say(command, timeout=timeout).text
        if _REFUSED.match(text):
            raise CommandRejected(f"the device refuses `{command}`", words=text, where=self._name)
        return text

    def enter(self, command: str) -> None:
        """Configuration mode."""
        reply = self.session.say(command, timeout=WRITING)
        if "(config" not in reply.prompt:
            raise CommandRejected("the device cannot be configured now", words=reply.text, where=self._name)

    def type(self, lines: Iterable[str]) -> None:
        """In configuration mode, which is left whatever happens. None of our lines has an answer but a refusal."""
        try:
            for line in lines:
                reply = self.session.say(line, agrees_to=_IN_USE)
                if any(_IN_USE not in said and not _UNASKED.search(said) for said in reply.text.splitlines()):
                    raise CommandRejected(f"the device refuses the line `{line}`", words=reply.text, where=self._name)
        finally:
            with suppress(DeviceUnreachable):  # no session, no mode to leave; the error under way says what happened
                self.session.say("end")

    def in_full(self, running: str) -> str:
        """Most trains do not print sequence numbers there; only a list that is edited where it is bound needs them."""
        bound = [name for interface, _ in self.session.device.guard.named for name in bound_to(running, interface)]
        told = [self.ask(f"show ip access-lists {name}", SHOWING) for name in dict.fromkeys(bound)]
        return redacted(running) + shown.numbers("\n".join(told))

    def timer(self) -> Timer | None:
        text = self.session.say("show archive config rollback timer").text
        if "No Rollback Confirmed Change pending" in text:
            return None
        found = shown.timer(text)
        if found is None:
            raise CommandRejected("the device does not tell whether a revert timer runs", words=text, where=self._name)
        return found

    def marker(self, of: str = "running-config") -> Marker | None:
        return marks.read(self.ask(f"show {of} | include {marks.PATTERN}", SHOWING))

    def seconds_since(self, timer: Timer) -> float:
        """By the device's own clock."""
        now, since = shown.moment(self.ask("show clock")), shown.moment(timer.at)
        return (now - since).total_seconds() if now and since else 0.0
