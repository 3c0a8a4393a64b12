"""A history from a seed: the same one for the same seed, number of steps and platform."""

from __future__ import annotations

import random

from tests.histories.language import ARCHIVES, BOOKS, DEVICES, OPERATORS, Event, History, Step

#: Where a command is interrupted. The entries around the push more often: something is on a device there.
ENTRIES = (
    "planned",
    "preflight",
    "baseline",
    "arming",
    "pushing",
    "pushed",
    "all pushed",
    "looked",
    "verified",
    "confirming",
    "device confirmed",
    "confirmed",
    "rolling back",
)
_ENTRY_WEIGHTS = (1, 1, 2, 3, 5, 4, 4, 3, 3, 4, 5, 4, 2)
_VERBS = {
    "router": {"run": 10, "plan": 2, "apply": 3, "resume": 4, "rollback": 4, "go": 2, "timer": 3, "restart": 2,
               "edit": 2, "resequence": 1},
    "firewall": {"run": 10, "plan": 2, "apply": 3, "resume": 4, "rollback": 4, "go": 2, "timer": 3, "restart": 3,
                 "edit": 2},
}  # fmt: skip
_EVENTS = {"kill": 7, "hold": 3, "timer": 1, "restart": 2, "edit": 1, "care": 3, "blind": 1}
_SCOPES = ("all", "all", "a1", "a2", "a3", "a1,a2", "a2,a3")
#: Most is done by one operator: what a second one does is strange only beside that.
_WEIGHTS = (6, 2, 2, 1)
#: How many of the commands are interrupted.
_INTERRUPTED = 0.45


def history(seed: int, platform: str, steps: int = 12) -> History:
    """At least so many steps; the first one does something."""
    numbers = random.Random(f"{platform} {seed}")  # noqa: S311 -- histories, not secrets
    length = steps + numbers.randrange(4)
    return (_run(numbers), *(_step(numbers, platform) for _ in range(length - 1)))


def _run(numbers: random.Random) -> Step:
    return Step("run", (_operator(numbers), numbers.choice(_SCOPES), numbers.choice(BOOKS)), _event(numbers))


def _operator(numbers: random.Random) -> str:
    return numbers.choices(OPERATORS, _WEIGHTS)[0]


def _step(numbers: random.Random, platform: str) -> Step:
    verbs = _VERBS[platform]
    match numbers.choices(tuple(verbs), tuple(verbs.values()))[0]:
        case "run":
            return _run(numbers)
        case "plan":
            return Step("plan", (_operator(numbers), numbers.choice(_SCOPES), numbers.choice(BOOKS)))
        case "rollback":
            which = str(numbers.choice((0, 0, 1, 2)))
            return Step("rollback", (_operator(numbers), which), _event(numbers))
        case "apply" | "resume" as verb:
            return Step(verb, (_operator(numbers),), _event(numbers))
        case "go":
            return Step("go", (_operator(numbers),))
        case "timer":
            return Step("timer")
        case "edit":
            return Step("edit", (numbers.choice(DEVICES), _saved(numbers)))
        case verb:
            return Step(verb, (numbers.choice(DEVICES),))


def _saved(numbers: random.Random) -> str:
    return numbers.choice(("saved", "saved", "saved", "unsaved"))


def _event(numbers: random.Random) -> Event | None:
    if numbers.random() >= _INTERRUPTED:
        return None
    entry = numbers.choices(ENTRIES, _ENTRY_WEIGHTS)[0]
    number = numbers.choice((1, 1, 1, 2))
    what = numbers.choices(tuple(_EVENTS), tuple(_EVENTS.values()))[0]
    args: tuple[str, ...] = ()
    if what == "restart":
        args = (numbers.choice(DEVICES),)
    elif what == "edit":
        args = (numbers.choice(DEVICES), _saved(numbers))
    elif what == "care":
        args = (numbers.choice(ARCHIVES),)
    return Event(entry, number, what, args)
