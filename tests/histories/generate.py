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
#: While a command is resumed, it goes on from where it was.
_LATE_ENTRIES = {"looked": 2, "verified": 3, "confirming": 3, "device confirmed": 4, "confirmed": 3, "rolling back": 4}
_EVENTS = {"kill": 7, "hold": 3, "timer": 1, "restart": 3, "edit": 1, "care": 4, "blind": 1}
_SCOPES = ("all", "all", "a1", "a2", "a3", "a1,a2", "a1,a2", "a2,a3")
#: Most is done by one operator: what the others do is strange only beside that.
_OPERATORS = dict(zip(OPERATORS, (6, 2, 2, 1), strict=True))
#: How many of the commands are interrupted.
_INTERRUPTED = 0.55
#: How many of a colleague's edits are left unsaved: a router takes no change until they are.
_UNSAVED = 0.12


def _archives(scope: str) -> frozenset[str]:
    return frozenset(ARCHIVES if scope == "all" else scope.split(","))


class _Author:
    """Writes step after step, with a rough idea of what they have come to: where everything is closed already, nothing
    is pushed, and nothing can be interrupted.
    """

    def __init__(self, numbers: random.Random, platform: str) -> None:
        self._numbers = numbers
        self._platform = platform
        self._closed: set[str] = set()
        self._confirmed: list[tuple[str, frozenset[str]]] = []  # by whom, and what, newest last
        self._killed: list[str] = []
        self._held: list[str] = []
        self._planned: dict[str, frozenset[str]] = {}

    def step(self) -> Step:
        verb = self._one_of({verb: weight for verb, weight in self._weights().items() if weight})
        match verb:
            case "run":
                return self.run()
            case "plan":
                operator, scope = self._one_of(_OPERATORS), self._scope()
                self._planned[operator] = _archives(scope)
                return Step("plan", (operator, scope, self._numbers.choice(BOOKS)))
            case "apply":
                operator = self._numbers.choice(sorted(self._planned))
                archives = self._planned.pop(operator)
                return Step("apply", (operator,), self._pushed(operator, archives, ENTRIES, several=False))
            case "resume":
                operator = self._killed.pop(0)
                return Step("resume", (operator,), self._pushed(operator, frozenset(), _LATE_ENTRIES, several=False))
            case "rollback":
                return self._rollback()
            case "go":
                return Step("go", (self._held.pop(self._numbers.randrange(len(self._held))),))
            case "edit":
                return Step("edit", (self._numbers.choice(DEVICES), self._saved()))
            case "timer":
                return Step("timer")
        return Step(verb, (self._numbers.choice(DEVICES),))

    def run(self) -> Step:
        operator, scope, book = self._one_of(_OPERATORS), self._scope(), self._numbers.choice(BOOKS)
        archives = _archives(scope)
        several = book != "once" and len(archives - self._closed) > 1
        return Step("run", (operator, scope, book), self._pushed(operator, archives, ENTRIES, several=several))

    def _weights(self) -> dict[str, int]:
        opened = len(self._closed) < len(ARCHIVES)
        waiting = bool(self._killed or self._held)
        return {
            "run": 12 if opened else 1,
            "plan": 2 if opened else 0,
            "apply": 6 if self._planned else 0,
            "resume": 8 if self._killed else 0,
            "go": 5 if self._held else 0,
            "rollback": 0 if not self._confirmed else 4 if opened else 14,
            "timer": 4 if waiting else 0,
            "restart": 3 if waiting else 2,
            "edit": 1,
            "resequence": 1 if self._platform == "router" else 0,
        }

    def _scope(self) -> str:
        """Something that is open, where there is anything."""
        scopes = [scope for scope in _SCOPES if _archives(scope) - self._closed]
        return self._numbers.choice(scopes or _SCOPES)

    def _rollback(self) -> Step:
        """Of one's own newest change, most often."""
        operator = self._confirmed[-1][0] if self._numbers.random() < 0.8 else self._one_of(_OPERATORS)
        number = self._numbers.choice((0, 0, 0, 1))
        back = [one for one in reversed(self._confirmed) if one[0] == operator][number : number + 1]
        event = self._event(ENTRIES, several=False)
        if event is None and back:
            self._confirmed.remove(back[0])
            self._closed -= back[0][1]
        self._interrupted(operator, event)
        return Step("rollback", (operator, str(number)), event)

    def _pushed(
        self, operator: str, archives: frozenset[str], entries: dict[str, int], *, several: bool
    ) -> Event | None:
        """What happens while that is pushed, and what it will have come to."""
        if not archives - self._closed and entries is ENTRIES:
            return None
        event = self._event(entries, several=several)
        fails = event is not None and (event.what == "blind" or (event.what == "care" and event.args[0] in archives))
        self._interrupted(operator, event)
        if not fails and (event is None or event.what not in ("kill", "hold", "timer", "restart")):
            self._confirmed.append((operator, archives - self._closed))
            self._closed |= archives
        return event

    def _interrupted(self, operator: str, event: Event | None) -> None:
        if event is not None and event.what in ("kill", "hold"):
            (self._killed if event.what == "kill" else self._held).append(operator)

    def _event(self, entries: dict[str, int], *, several: bool) -> Event | None:
        numbers = self._numbers
        if numbers.random() >= _INTERRUPTED:
            return None
        entry, what = self._one_of(entries), self._one_of(_EVENTS)
        number = numbers.choice((1, 2, 2)) if several else 1
        args: tuple[str, ...] = ()
        if what == "restart":
            args = (numbers.choice(("d1", "d1", "d2")),)
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
