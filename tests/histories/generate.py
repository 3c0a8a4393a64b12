"""A history from a seed: the same one for the same seed, number of steps and platform."""

from __future__ import annotations

import random

from tests.histories.language import ARCHIVES, BOOKS, DEVICES, OPERATORS, Event, History, Step

#: Where a command is interrupted, and how often: around the push more often, since something is on a device there.
ENTRIES = {
    "planned": 1,
    "preflight": 1,
    "baseline": 2,
    "arming": 3,
    "pushing": 5,
    "pushed": 4,
    "all pushed": 5,
    "looked": 3,
    "verified": 3,
    "confirming": 4,
    "device confirmed": 5,
    "confirmed": 4,
    "rolling back": 2,
}
_VERBS = {"run": 11, "plan": 2, "apply": 3, "resume": 4, "rollback": 4, "go": 3, "timer": 3, "restart": 2, "edit": 2}
_ON: dict[str, dict[str, int]] = {"router": {"resequence": 1}, "firewall": {}}
_EVENTS = {"kill": 7, "hold": 2, "timer": 1, "restart": 2, "edit": 1, "care": 4, "blind": 1}
_SCOPES = ("all", "all", "a1", "a2", "a3", "a1,a2", "a2,a3")
#: Most is done by one operator: what the others do is strange only beside that.
_OPERATORS = dict(zip(OPERATORS, (7, 2, 2, 1), strict=True))
#: How many of the commands are interrupted.
_INTERRUPTED = 0.45
#: How many of a colleague's edits are left unsaved: a router takes no change until they are.
_UNSAVED = 0.12


class _Author:
    def __init__(self, numbers: random.Random, platform: str) -> None:
        self._numbers = numbers
        self._platform = platform
        self._planned: set[str] = set()

    def step(self) -> Step:
        numbers = self._numbers
        match self._one_of(_VERBS | _ON[self._platform]):
            case "apply" if self._planned:
                return Step("apply", (numbers.choice(sorted(self._planned)),), self._event())
            case "plan" | "apply":
                operator = self._one_of(_OPERATORS)
                self._planned.add(operator)
                return Step("plan", (operator, numbers.choice(_SCOPES), numbers.choice(BOOKS)))
            case "rollback":
                which = str(numbers.choice((0, 0, 0, 1, 2)))
                return Step("rollback", (self._one_of(_OPERATORS), which), self._event())
            case "resume":
                return Step("resume", (self._one_of(_OPERATORS),), self._event())
            case "go":
                return Step("go", (self._one_of(_OPERATORS),))
            case "timer":
                return Step("timer")
            case "edit":
                return Step("edit", (numbers.choice(DEVICES), self._saved()))
            case "run":
                return self.run()
            case verb:
                return Step(verb, (numbers.choice(DEVICES),))

    def run(self) -> Step:
        numbers = self._numbers
        args = (self._one_of(_OPERATORS), numbers.choice(_SCOPES), numbers.choice(BOOKS))
        return Step("run", args, self._event())

    def _event(self) -> Event | None:
        numbers = self._numbers
        if numbers.random() >= _INTERRUPTED:
            return None
        entry, number, what = self._one_of(ENTRIES), numbers.choice((1, 1, 1, 2)), self._one_of(_EVENTS)
        args: tuple[str, ...] = ()
        if what == "restart":
            args = (numbers.choice(DEVICES),)
        elif what == "edit":
            args = (numbers.choice(DEVICES), self._saved())
        elif what == "care":
            args = (numbers.choice(ARCHIVES),)
        return Event(entry, number, what, args)

    def _saved(self) -> str:
        return "unsaved" if self._numbers.random() < _UNSAVED else "saved"

    def _one_of(self, weights: dict[str, int]) -> str:
        return self._numbers.choices(tuple(weights), tuple(weights.values()))[0]


def history(seed: int, platform: str, steps: int = 12) -> History:
    """At least so many steps; the first one does something."""
    numbers = random.Random(f"{platform} {seed}")  # noqa: S311 -- histories, not secrets
    author = _Author(numbers, platform)
    length = steps + numbers.randrange(4)
    return (author.run(), *(author.step() for _ in range(length - 1)))
