"""A history as text: a line a step, so that one that failed can be read, cut down by hand and carried out again.

    run alice all serial
    run carol a1 once @ pushing 1 kill
    timer

``@ ENTRY N EVENT``: what happens when the command has written its N-th entry of that kind.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

OPERATORS = ("alice", "bob", "carol", "dave")
ARCHIVES = ("a1", "a2", "a3")
DEVICES = ("d1", "d2")
BOOKS = ("once", "serial", "lax")

#: Verb → how many words follow it.
VERBS = {
    "run": 3,  # operator, archives, playbook
    "plan": 3,  # the same; kept in a file of the operator's
    "apply": 1,  # operator: runs that file
    "resume": 1,
    "rollback": 2,  # operator, and which of the record's confirmed changes: 0 the newest
    "go": 1,  # operator, whose command is held
    "timer": 0,  # until no device has a revert timer
    "restart": 1,  # device
    "edit": 2,  # device; saved, unsaved
    "resequence": 1,  # device: the numbers of its list anew
    "plant": 2,  # device, and one of PLANTS: what the oracle must find
    "nibble": 1,  # device: the first of our permits there, by its number
}
#: What can be wrong on a device, for the oracle's own tests: a guard that is gone, or gone from what will be loaded at
#: boot; somebody else's rule that is not what it was; a guard, or a revert timer, that is in no record.
PLANTS = ("guard", "boot", "foreign", "stray", "timer")

#: Event → how many words follow it.
EVENTS = {
    "kill": 0,
    "hold": 0,  # stopped, and everybody else goes on until ``go``
    "timer": 0,  # stopped until no device has a revert timer
    "restart": 1,
    "edit": 2,
    "care": 1,  # an archive that nobody reaches any more, until the command ends
    "blind": 0,  # no canary answers, until the command ends
}
#: The verbs that run the program, and so may be interrupted.
COMMANDS = frozenset({"run", "apply", "resume", "rollback"})


@dataclass(frozen=True)
class Event:
    entry: str
    number: int
    what: str
    args: tuple[str, ...] = ()

    def __str__(self) -> str:
        return " ".join(("@", self.entry.replace(" ", "-"), str(self.number), self.what, *self.args))


@dataclass(frozen=True)
class Step:
    verb: str
    args: tuple[str, ...] = ()
    event: Event | None = None

    def __str__(self) -> str:
        return " ".join((self.verb, *self.args, *([str(self.event)] if self.event else [])))

    @property
    def action(self) -> str:
        """What kind of step it is, for counting."""
        return f"{self.verb}, {self.event.what}" if self.event else self.verb


History = tuple[Step, ...]


def read(lines: Iterable[str]) -> History:
    """Raises ValueError. Empty lines and what follows a # are left out."""
    texts = (line.partition("#")[0].strip() for line in lines)
    return tuple(_step(text) for text in texts if text)


def _step(text: str) -> Step:
    said, _, at = text.partition(" @ ")
    verb, *args = said.split()
    if VERBS.get(verb) != len(args):
        raise ValueError(f"no step: {text}")
    if not at:
        return Step(verb, tuple(args))
    entry, number, what, *more = at.split()
    if EVENTS.get(what) != len(more) or verb not in COMMANDS:
        raise ValueError(f"no event: {text}")
    return Step(verb, tuple(args), Event(entry.replace("-", " "), int(number), what, tuple(more)))


def text(history: Iterable[Step]) -> str:
    return "".join(f"{step}\n" for step in history)
