"""Changes killed with SIGKILL, resumed and looked at: ``python -m tests.faults.crashes``, for `make test-faults`.

At random moments, from a seed, and (``--each``) at each journal entry and in the middle of each device write. What
came of them goes to benchmarks/results/crash-matrix.md.
"""

from __future__ import annotations

import argparse
import os
import queue
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from tests.faults.places import DROPS, Crash, Place, crash, place
from tests.faults.zygote import Point

How = Literal["half", "sent", "answered"]
HOWS: tuple[How, ...] = ("half", "sent", "answered")
RESULTS = Path(__file__).parents[2] / "benchmarks" / "results" / "crash-matrix.md"
#: How many of the resumes are killed too, the first time.
AGAIN = 0.25
#: As many journal entries every change here has, but for the last, which nothing follows.
ENTRIES = 10


class Story(NamedTuple):
    """A change, and the router that it is made on. ``undo``: an earlier change is taken back by this one."""

    name: str
    do: Literal["run", "undo"]
    misbehave: str | None


GOES_THROUGH = Story("goes through", "run", None)
TAKEN_BACK = Story("is taken back", "run", DROPS)
ROLLBACK = Story("takes an earlier one back", "undo", None)


@dataclass
class Case:
    """``after``: a part of the time that the change takes; or ``point``."""

    story: Story
    after: float | None = None
    point: Point | None = None
    again: tuple[float, ...] = ()


class Result(NamedTuple):
    case: Case
    crash: Crash
    resumes_killed: int


def at_random(kills: int, seed: int) -> list[Case]:
    numbers = random.Random(seed)  # noqa: S311 -- moments, not secrets
    made = []
    for number in range(kills):
        story = (GOES_THROUGH, ROLLBACK, TAKEN_BACK)[number % 3]
        again = (numbers.uniform(0.0, 4.0),) if numbers.random() < AGAIN else ()
        if number % 2:  # most of the time passes while it looks; so as many are killed while it does something
            delay = numbers.uniform(0.0, 0.5)
            point = Point(at="entry", number=numbers.randint(1, ENTRIES), how="durable", delay=delay)
            made.append(Case(story, point=point, again=again))
        else:
            made.append(Case(story, after=numbers.uniform(0.0, 1.0), again=again))
    return made


def at_each(story: Story, writes: int, entries: int, hows: Iterable[How] = HOWS) -> list[Case]:
    made = [Point(at="write", number=n, how=how) for n in range(1, writes + 1) for how in hows]
    made += [Point(at="entry", number=n, how=how) for n in range(1, entries + 1) for how in ("durable", "lost")]
    return [Case(story, point=point) for point in made]


def carry_out(cases: list[Case], sites: int, folder: Path) -> Iterator[Result]:
    """In any order. One at a random moment that came too late is done again."""
    done: queue.SimpleQueue[Result | BaseException] = queue.SimpleQueue()
    kinds = {case.story.misbehave for case in cases}
    by_kind = {kind: queue.SimpleQueue[Case]() for kind in kinds}
    for case in cases:
        by_kind[case.story.misbehave].put(case)
    share = {kind: max(1, round(sites * sum(c.story.misbehave == kind for c in cases) / len(cases))) for kind in kinds}
    ended = threading.Event()

    def work(number: int, kind: str | None) -> None:
        try:
            with place(folder / f"site-{number}", misbehave=kind) as here:
                _work(here, by_kind[kind], done, ended)
        except BaseException as error:  # the one that waits for results must learn of it
            done.put(error)

    places = [kind for kind in kinds for _ in range(share[kind])]
    with ThreadPoolExecutor(len(places)) as pool:
        for number, kind in enumerate(places):
            pool.submit(work, number, kind)
        try:
            for _ in cases:
                result = done.get()
                if isinstance(result, BaseException):
                    raise result
                yield result
        finally:
            ended.set()


def _work(
    here: Place,
    cases: queue.SimpleQueue[Case],
    done: queue.SimpleQueue[Result | BaseException],
    ended: threading.Event,
) -> None:
    takes: dict[str, float] = {}
    with suppress(queue.Empty):
        while not ended.is_set():
            case = cases.get_nowait()
            while True:
                make_ready(here, case.story, takes)
                after = None if case.after is None else case.after * takes[case.story.do]
                found = crash(here, case.story.do, point=case.point, after=after, again=case.again)
                if found.first.killed or found.broken or case.after is None:
                    break
                takes[case.story.do] = min(takes[case.story.do], found.first.took)
            done.put(Result(case, found, len(case.again) if found.first.killed else 0))


def make_ready(here: Place, story: Story, takes: dict[str, float] | None = None) -> None:
    """The guard is there where it is to be taken back, and only there. ``takes``: seconds, timed once a change."""
    takes = {"run": 0.0, "undo": 0.0} if takes is None else takes
    while here.look().guarded is not (story.do == "undo") or (story.do not in takes):
        do: Literal["run", "undo"] = "undo" if here.look().guarded else "run"
        took = here.zygote.do(here.job(do))
        assert took.status == (0 if story.misbehave is None else 4), took
        takes[do] = took.took


def counted(story: Story, folder: Path) -> tuple[int, int]:
    """How many device writes and journal entries the change has when nobody disturbs it."""
    with place(folder, misbehave=story.misbehave) as here:
        make_ready(here, story)
        ended = here.zygote.do(here.job(story.do))
        return len(ended.writes), len(here.entries())


def table(title: str, results: list[Result]) -> str:
    ends = sorted({result.crash.end for result in results})
    rows: dict[tuple[str, str], Counter[str]] = {}
    for case, found, _ in results:
        rows.setdefault((case.story.name, _where(case, found)), Counter())[found.end] += 1
    broken = [result for result in results if result.crash.broken]
    resumes = sum(result.resumes_killed for result in results)
    killed = sum(result.crash.first.killed for result in results)
    lines = [f"## {title}: {killed} changes killed, {resumes} resumes killed, {len(broken)} broken", ""]
    lines += [f"| the change | killed | kills | {' | '.join(ends)} |", "|---|---|" + "---|" * (len(ends) + 1)]
    for (story, where), found_ends in sorted(rows.items()):
        counts = " | ".join(str(found_ends[end] or "") for end in ends)
        lines.append(f"| {story} | {where} | {found_ends.total()} | {counts} |")
    lines += [f"\nBROKEN: {_case(result)}: {'; '.join(result.crash.broken)}" for result in broken]
    return "\n".join([*lines, ""])


def _where(case: Case, found: Crash) -> str:
    if not found.first.killed:
        return "(over before that point)"
    if case.point is None or case.point.delay:
        return f"after entry `{found.stage}`"
    if case.point.at == "entry":
        return f"at a journal entry, {case.point.how}"
    return f"in a device write, {case.point.how}, after entry `{found.stage}`"


def _case(result: Result) -> str:
    case = result.case
    return f"{case.story.name}, {case.point or f'{case.after} of its time'}, {case.again}, stage {result.crash.stage}"


def _write(to: Path, sites: int, took: float, parts: list[tuple[str, list[Result]]]) -> None:
    head = (
        "# Changes killed with SIGKILL and resumed\n\n"
        "`make test-faults` writes this. On the embedded site: a simulated router that enforces its access lists\n"
        "on real connections, and takes a change back by a timer of its own. After each kill `resume` runs, and then\n"
        "must hold: no device was pushed to twice, none has a pending change, what was confirmed is in force and\n"
        "saved, what was not is exactly as before (running and startup configuration), the record has ended and its\n"
        "chain is intact. What is not so is counted as broken, and named.\n\n"
        f"{sites} sites side by side on {os.cpu_count()} processors, {took:.0f} s in all.\n\n"
    )
    to.parent.mkdir(parents=True, exist_ok=True)
    to.write_text(head + "\n".join(table(title, results) for title, results in parts))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=220, help="at random moments; some come too late")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--each", action="store_true", help="also at each entry and in the middle of each write")
    parser.add_argument("--sites", type=int, default=4, help="side by side")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    began = time.monotonic()
    stories = (GOES_THROUGH, ROLLBACK, TAKEN_BACK)
    parts: list[tuple[str, list[Result]]] = []
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        wanted = [(f"At random moments, seed {options.seed}", at_random(options.kills, options.seed))]
        if options.each:
            numbers = [counted(story, folder / f"count-{n}") for n, story in enumerate(stories)]
            each = [case for story, found in zip(stories, numbers, strict=True) for case in at_each(story, *found)]
            wanted.append(("At each journal entry and in each device write", each))
        for part, (title, cases) in enumerate(wanted):
            results: list[Result] = []
            parts.append((title, results))
            for result in carry_out(cases, options.sites, folder / f"part-{part}"):
                results.append(result)
                if result.crash.broken:
                    sys.stderr.write(f"BROKEN {_case(result)}: {result.crash.broken}\n")
                _write(options.out, options.sites, time.monotonic() - began, parts)  # a run may be cut short
            sys.stderr.write(f"{title}: {len(results)}\n")
    return 1 if any(result.crash.broken for _, results in parts for result in results) else 0


if __name__ == "__main__":
    raise SystemExit(main())
