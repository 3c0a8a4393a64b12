"""What came of histories: kept line by line, so that a run can be taken up again; told as scripts, and in figures."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path

from tests.histories.language import read


@dataclass(frozen=True)
class Outcome:
    """``told``: each step that was done, and what came of it. ``shrunk``: fewer steps that break the same rule."""

    name: str
    platform: str
    steps: str
    told: list[tuple[str, str]]
    broken: list[str]
    seconds: float
    shrunk: str = ""
    shrunk_broken: list[str] = field(default_factory=list)

    @classmethod
    def read(cls, line: str) -> Outcome:
        given = json.loads(line)
        return cls(**given | {"told": [(step, note) for step, note in given["told"]]})


class Kept:
    """A file of the histories that were carried out; a broken one is carried out again."""

    def __init__(self, path: Path, outcomes: list[Outcome]) -> None:
        self._path = path
        self.outcomes = outcomes

    @classmethod
    def load(cls, path: Path) -> Kept:
        lines = path.read_text().splitlines() if path.exists() else []
        found = {(one.platform, one.name): one for one in map(Outcome.read, lines)}
        return cls(path, list(found.values()))

    def has(self, platform: str, name: str, steps: str) -> bool:
        return any(
            (one.platform, one.name, one.steps) == (platform, name, steps) and not one.broken for one in self.outcomes
        )

    def keep(self, outcome: Outcome) -> None:
        with self._path.open("a") as file:
            file.write(json.dumps(asdict(outcome)) + "\n")
        self.outcomes = [one for one in self.outcomes if (one.platform, one.name) != (outcome.platform, outcome.name)]
        self.outcomes.append(outcome)


def script(outcome: Outcome, tree: str) -> str:
    """What repeats a broken history."""
    steps, broken = (outcome.shrunk, outcome.shrunk_broken) if outcome.shrunk else (outcome.steps, outcome.broken)
    at = f" --tree {tree}" if tree else ""
    notes = "".join(f"# {step}: {note}\n" for step, note in outcome.told)
    return (
        f"#!/bin/sh\n# {outcome.platform}, {outcome.name}\n"
        + "".join(f"# broken: {line}\n" for line in broken)
        + f"# as it was carried out:\n{notes}"
        + f".venv/bin/python -m tests.histories repeat --platform {outcome.platform}{at} <<'END'\n{steps}END\n"
    )


def table(outcomes: Iterable[Outcome], seconds: float, workers: int) -> str:
    outcomes = list(outcomes)
    lines = [
        "# Random histories",
        "",
        "`make test-histories` writes this. Several operators, three archives behind two devices, two records and two",
        "inventories; after each step an oracle of its own reads the devices, the records and the wire. Platforms,",
        "actions and rules: [testing](../../docs/testing.md#histories).",
        "",
        f"{workers} sites side by side on {os.cpu_count()} processors; the last run took {seconds:.0f} s.",
        "",
        "| platform | histories | steps | commands that ended | killed | not done in time | broken |",
        "|---|---|---|---|---|---|---|",
    ]
    for platform in sorted({one.platform for one in outcomes}):
        here = [one for one in outcomes if one.platform == platform and one.name.startswith("seed ")]
        steps = sum(len(one.told) for one in here)
        notes = [note for one in here for _, note in one.told]
        ended = sum(re.search(r"(^|; )\d+: ", note) is not None for note in notes)
        late = sum(note.startswith("late; ") for note in notes)
        killed = sum(note == "killed" for note in notes)
        broken = sum(bool(one.broken) for one in here)
        lines.append(f"| {platform} | {len(here)} | {steps} | {ended} | {killed} | {late} | {broken} |")
    for platform in sorted({one.platform for one in outcomes}):
        here = [one for one in outcomes if one.platform == platform and one.name.startswith("seed ")]
        lines += ["", f"## {platform}: how often an action came right after another", ""]
        lines += _pairs(here)
    failed = [one for one in outcomes if one.broken]
    if failed:
        lines += ["", "## Broken", ""]
        lines += [f"- {one.platform}, {one.name}: {'; '.join(one.broken)}" for one in failed]
    return "\n".join([*lines, ""])


def _pairs(outcomes: Iterable[Outcome]) -> list[str]:
    pairs: Counter[tuple[str, str]] = Counter()
    for outcome in outcomes:
        done = [step.action for step in read(outcome.steps.splitlines())[: len(outcome.told)]]
        pairs.update(pairwise(done))
    actions = sorted({action for pair in pairs for action in pair})
    lines = [f"| first, below: then | {' | '.join(actions)} |", "|---|" + "---|" * len(actions)]
    rows = (" | ".join(str(pairs[first, then] or "") for first in actions) for then in actions)
    return [*lines, *(f"| {then} | {row} |" for then, row in zip(actions, rows, strict=True))]
