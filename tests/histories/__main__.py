"""Histories by seed, resumable: ``python -m tests.histories --help``, for `make test-histories`."""

from __future__ import annotations

import argparse
import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.histories import report
from tests.histories.generate import history
from tests.histories.language import History, read, text
from tests.histories.play import Play, Told
from tests.histories.programs import Prompt, prompt
from tests.histories.report import Outcome
from tests.histories.sites import Site

HERE = Path(__file__).parents[2]
CORPUS = Path(__file__).parent / "corpus"
PLATFORMS = ("router", "firewall")
#: Some that wait for timers and for silent ports; the processor is busy with the others meanwhile.
WORKERS = 3 * (os.cpu_count() or 1)


# -- trees ----------------------------------------------------------------------------------------------


def checked_out(tree: str) -> Path:
    """The folder of a tree: this one, or that of a commit, below build/. Its program runs in our environment."""
    if not tree:
        return HERE
    git = ["git", "-C", str(HERE)]
    name = subprocess.run(
        [*git, "rev-parse", "--verify", f"{tree}^{{commit}}"], capture_output=True, text=True, check=True
    ).stdout.strip()
    folder = HERE / "build" / "trees" / name
    if not (folder / "remediate").is_dir():
        new = Path(tempfile.mkdtemp(prefix=name, dir=_made(folder.parent)))
        with subprocess.Popen([*git, "archive", name], stdout=subprocess.PIPE) as archive:
            subprocess.run(["tar", "-x", "-C", str(new)], stdin=archive.stdout, check=True)
        new.replace(folder)
    return folder


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


# -- one after another, in a process of its own ---------------------------------------------------------


@contextmanager
def standing(platform: str, folder: Path) -> Iterator[Site]:
    if platform == "router":
        from tests.histories.router import routers

        with routers(folder) as site:
            yield site
    else:
        from tests.histories.firewall import firewalls

        with firewalls(folder) as firewall_site:
            yield firewall_site


#: Who is connected now may be cut off: the oracle asks from there too.
_MORE = {"router": (), "firewall": ("--accept", "192.0.2.10")}


class Bench:
    """A site and a tree's program, and histories on them, one after another."""

    def __init__(self, platform: str, site: Site, program: Prompt, folder: Path) -> None:
        self._platform = platform
        self._site = site
        self._program = program
        self._folder = folder
        self._number = 0

    def carry_out(self, steps: History, *, say: bool = False) -> list[Told]:
        self._number += 1
        folder = self._folder / f"history-{self._number}"
        self._site.fresh()
        told = Play(self._site, self._program, folder, _MORE[self._platform]).carry_out(steps, _say if say else _quiet)
        if not told[-1].broken:
            shutil.rmtree(folder)
        return told


def _say(told: Told) -> None:
    sys.stdout.write(f"{told.step}\n    {told.note}\n" + "".join(f"    BROKEN {one}\n" for one in told.broken))
    sys.stdout.flush()


def _quiet(told: Told) -> None:
    pass


@contextmanager
def bench(platform: str, tree: Path, folder: Path) -> Iterator[Bench]:
    with standing(platform, folder / "site") as site, prompt(tree, folder / "prompt.log") as program:
        yield Bench(platform, site, program, folder)


def shrunk(on: Bench, steps: History, told: list[Told], tries: int = 12) -> tuple[History, list[Told]]:
    """Steps left out, as long as the same rule breaks: first those that come after it, then one at a time."""
    rule = told[-1].broken[0].rule
    steps = steps[: len(told)]
    for number in range(len(steps) - 2, -1, -1):
        if tries == 0:
            break
        tries -= 1
        fewer = (*steps[:number], *steps[number + 1 :])
        again = on.carry_out(fewer)
        if again[-1].broken and again[-1].broken[0].rule == rule:
            steps, told = fewer[: len(again)], again
    return steps, told


def work(platform: str, tree: Path, folder: Path) -> None:
    """Reads a JSON line for each history, and writes one: what came of it."""
    with bench(platform, tree, folder) as on:
        for line in sys.stdin:
            given = json.loads(line)
            steps = read(given["steps"].splitlines())
            began = time.monotonic()
            told = on.carry_out(steps)
            done: dict[str, object] = {
                "name": given["name"],
                "platform": platform,
                "steps": text(steps),
                "told": [(one.step, one.note) for one in told],
                "broken": [str(one) for one in told[-1].broken],
                "seconds": time.monotonic() - began,
            }
            if told[-1].broken and given["shrink"]:
                fewer, again = shrunk(on, steps, told)
                done |= {"shrunk": text(fewer), "shrunk_broken": [str(one) for one in again[-1].broken]}
            sys.stdout.write(json.dumps(done) + "\n")
            sys.stdout.flush()


# -- several at a time ----------------------------------------------------------------------------------

#: A network, processes and a /run of its own; when it ends, the kernel ends whatever it started. As in tests/conftest.
_ALONE = ("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-ec")
_PREPARED = """
umount -R -l /run/netns 2>/dev/null || :
mount -t tmpfs -o mode=755 tmpfs /run
ip link set lo up
"$@"
"""


def worker(platform: str, tree: Path, folder: Path) -> subprocess.Popen[str]:
    argv = [sys.executable, "-m", "tests.histories", "work", "--platform", platform, "--tree-folder", str(tree)]
    argv += ["--folder", str(folder)]
    if os.geteuid() == 0:
        argv = [*_ALONE, _PREPARED, "worker", *argv]
    log = folder / "worker.log"
    with log.open("ab") as errors:
        return subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True, cwd=HERE)


def carry_out(cases: list[dict[str, object]], tree: Path, folder: Path, workers: int) -> Iterator[Outcome]:
    """In any order. A worker that ends before its time is an error of ours, and is raised."""
    waiting: dict[str, queue.SimpleQueue[dict[str, object]]] = {p: queue.SimpleQueue() for p in PLATFORMS}
    for case in cases:
        waiting[str(case["platform"])].put(case)
    done: queue.SimpleQueue[Outcome | BaseException] = queue.SimpleQueue()
    ended = threading.Event()
    used = [p for p in PLATFORMS if not waiting[p].empty()]
    if not used:
        return
    started = []
    for number in range(max(workers, len(used))):
        platform = used[number % len(used)]
        process = worker(platform, tree, _made(folder / f"{platform}-{number}"))
        thread = threading.Thread(target=_feed, args=(process, waiting[platform], done, ended, folder), daemon=True)
        thread.start()
        started.append((process, thread))
    try:
        for _ in cases:
            outcome = done.get()
            if isinstance(outcome, BaseException):
                raise outcome
            yield outcome
    finally:
        ended.set()
        for process, _ in started:
            process.kill()
        for process, thread in started:
            thread.join()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                assert pipe is not None
                with suppress(BrokenPipeError):
                    pipe.close()


def _feed(
    process: subprocess.Popen[str],
    waiting: queue.SimpleQueue[dict[str, object]],
    done: queue.SimpleQueue[Outcome | BaseException],
    ended: threading.Event,
    folder: Path,
) -> None:
    assert process.stdin is not None
    assert process.stdout is not None
    while not ended.is_set():
        try:
            case = waiting.get_nowait()
        except queue.Empty:
            return
        try:
            process.stdin.write(json.dumps(case) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
            done.put(Outcome.read(line) if line else RuntimeError(f"a worker has ended; see {folder}/*/worker.log"))
        except (OSError, ValueError) as error:
            done.put(error)


def named(platform: str, only: str = "") -> Iterator[tuple[str, str, str]]:
    """Name, comment and text of the histories that are written down for that platform."""
    for path in sorted(CORPUS.glob("*.txt")):
        said = path.read_text()
        head = said.partition("\n")[0].lstrip("# ")
        platforms, _, comment = head.partition("; ")
        if platform in platforms.split() and only in ("", path.stem):
            yield path.stem, comment, said


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.histories", description=__doc__)
    parser.add_argument("do", choices=("all", "named", "random", "repeat", "work"), nargs="?", default="all")
    parser.add_argument("--platform", choices=PLATFORMS, help="both without it")
    parser.add_argument("--tree", default="", help="a commit: its program, instead of this tree's")
    parser.add_argument("--histories", type=int, help="random ones on each platform: 300, and 30 with --tree")
    parser.add_argument("--first", type=int, default=1, metavar="SEED")
    parser.add_argument("--steps", type=int, default=12, help="at least so many in each")
    parser.add_argument("--workers", type=int, default=WORKERS)
    parser.add_argument("--name", default="", help="only this one of those that are written down")
    parser.add_argument("--stop-after", type=int, default=0, metavar="N", help="broken histories; 0: go on to the end")
    parser.add_argument("--out", type=Path, help="where the figures go; without: benchmarks/results/histories.md")
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--tree-folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started ends too
    if options.do == "work":
        work(options.platform, options.tree_folder, options.folder)
        return 0
    if options.histories is None:
        options.histories = 30 if options.tree else 300
    tree = checked_out(options.tree)
    platforms = (options.platform,) if options.platform else PLATFORMS
    if options.do == "repeat":
        return _repeat(platforms[0], tree, read(sys.stdin))
    return _run(options, tree, platforms)


def _repeat(platform: str, tree: Path, steps: History) -> int:
    """The steps on standard input, told one after another; what was written stays in a folder."""
    if os.geteuid() == 0 and not os.environ.get("REMEDIATE_HISTORIES_ALONE"):
        argv = [*_ALONE, _PREPARED, "alone", sys.executable, "-m", "tests.histories", "repeat"]
        argv += ["--platform", platform, *(["--tree", tree.name] if tree != HERE else [])]
        env = {**os.environ, "REMEDIATE_HISTORIES_ALONE": "1"}
        return subprocess.run(argv, input=text(steps), text=True, check=False, cwd=HERE, env=env).returncode
    folder = Path(tempfile.mkdtemp(prefix="remediate-histories-"))
    with bench(platform, tree, folder) as on:
        broken = on.carry_out(steps, say=True)[-1].broken
    sys.stdout.write(f"what the program printed is in {folder}\n" if broken else "nothing is broken\n")
    return 1 if broken else 0


def _run(options: argparse.Namespace, tree: Path, platforms: tuple[str, ...]) -> int:
    state = report.Kept.load(_made(HERE / "build" / "histories") / f"{tree.name if options.tree else 'here'}.jsonl")
    cases: list[dict[str, object]] = []
    for platform in platforms:
        if options.do in ("all", "named"):
            cases += [
                {"platform": platform, "name": name, "steps": steps, "shrink": False}
                for name, _, steps in named(platform, options.name)
            ]
        if options.do in ("all", "random") and not options.name:
            for seed in range(options.first, options.first + options.histories):
                name, steps = f"seed {seed}", text(history(seed, platform, options.steps))
                if not state.has(platform, name, steps):
                    cases.append({"platform": platform, "name": name, "steps": steps, "shrink": True})
    began, broken = time.monotonic(), 0
    folder = Path(tempfile.mkdtemp(prefix="remediate-histories-"))
    said = options.tree or "this tree"
    for number, outcome in enumerate(carry_out(cases, tree, folder, options.workers), start=1):
        state.keep(outcome)
        took = time.monotonic() - began
        word = "BROKEN" if outcome.broken else "holds"
        sys.stderr.write(f"{number} of {len(cases)}, {took:.0f} s: {outcome.platform}, {outcome.name}: {word}\n")
        if outcome.broken:
            broken += 1
            sys.stderr.write(report.script(outcome, options.tree))
            sys.stderr.flush()
            if options.stop_after and broken >= options.stop_after:
                break
    shutil.rmtree(folder, ignore_errors=not broken)
    out = options.out or (None if options.tree else HERE / "benchmarks" / "results" / "histories.md")
    if out is not None:
        out.write_text(report.table(state.outcomes, time.monotonic() - began, options.workers))
    comments = {(platform, name): comment for platform in platforms for name, comment, _ in named(platform)}
    for outcome in (outcome for outcome in state.outcomes if outcome.broken):
        comment = comments.get((outcome.platform, outcome.name), outcome.broken[0])
        sys.stdout.write(f"broken: {outcome.platform}, {outcome.name}: {comment}\n")
    sys.stdout.write(f"{said}: {len(cases)} histories, {broken} broken, {time.monotonic() - began:.0f} s\n")
    return 1 if broken else 0


if __name__ == "__main__":
    raise SystemExit(main())
