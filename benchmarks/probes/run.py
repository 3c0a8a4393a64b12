"""`make bench-probes`: how fast a sweep is, beside what others use, in one run on one machine.

Everything runs on loopback, on the same two cores; a rate is targets a second of a whole process, its start included.
Each peer is given as many targets as keep it busy for 5 s and more. As root it is all in a network namespace of its
own, and the filtered targets in another one, whose packet filter drops them; without root there are none of those.

usage: run.py [--quick]      --quick: a tenth of everything, to see whether it works
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from ipaddress import IPv4Address
from pathlib import Path

HERE = Path(__file__).parent
RESULTS = HERE.parent / "results"
#: IANA's port for DICOM without privileges, where nmap's dicom-ping looks.
PORT = 11112
FIRST = IPv4Address("127.1.0.0")
SCOPE = "127.0.0.0/8"
#: Where it is installed as a user would, without what only its development needs.
INSTALLED = HERE.parents[1] / "build" / "bench-probes"
PYTHON = str(INSTALLED / "bin" / "python")
FLOOR = "epoll client in C"
#: How often the two that are closest are measured, in turns.
ROUNDS = 5
#: Drops what comes to the port in a namespace where nothing else is.
DROP = f"ip link set lo up && nft 'add table ip t; add chain ip t i {{ type filter hook input priority 0; }}; \
add rule ip t i tcp dport {PORT} drop' && exec \"$@\""


@dataclass
class Run:
    """``right``: targets whose answer was the right one. ``mib``: resident memory of all its processes at most."""

    name: str
    targets: int
    seconds: float
    right: int
    mib: float

    @property
    def rate(self) -> float:
        return self.targets / self.seconds


@dataclass
class Goal:
    name: str
    wanted: float
    reached: float
    at_most: bool = False

    @property
    def met(self) -> bool:
        return self.reached <= self.wanted if self.at_most else self.reached >= self.wanted


def build(folder: Path, name: str) -> str:
    made = folder / name
    subprocess.run(["cc", "-O2", "-o", made, HERE / f"{name}.c"], check=True)
    return str(made)


def install() -> None:
    root = INSTALLED.parents[1]
    subprocess.run([sys.executable, "-m", "venv", "--clear", INSTALLED], check=True)
    subprocess.run(
        [PYTHON, "-m", "pip", "install", "-q", "--disable-pip-version-check", "-c", root / "constraints.txt", root],
        check=True,
    )


class Lists:
    """The same addresses for all, as each wants to have them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def _write(self, name: str, count: int, line: Callable[[IPv4Address], str]) -> str:
        path = self._folder / f"{count}.{name}"
        if not path.exists():
            path.write_text("".join(line(FIRST + number) + "\n" for number in range(count)))
        return str(path)

    def jsonl(self, count: int) -> str:
        return self._write("jsonl", count, lambda address: json.dumps({"address": str(address), "port": PORT}))

    def pairs(self, count: int) -> str:
        return self._write("txt", count, lambda address: f"{address} {PORT}")

    def addresses(self, count: int) -> str:
        return self._write("list", count, str)


def resident(pid: int) -> float:
    """MiB of a process and all that it started; pages that they share count once (PSS)."""
    total, todo = 0.0, [pid]
    while todo:
        one = todo.pop()
        try:
            for thread in Path(f"/proc/{one}/task").iterdir():
                todo += map(int, (thread / "children").read_text().split())
            for line in Path(f"/proc/{one}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) / 1024
        except (OSError, ValueError):  # it has just ended
            continue
    return total


def measure(name: str, targets: int, command: Iterable[str], right: Callable[[str], int]) -> Run:
    """Runs it once; its output goes to a file, as a user's would."""
    most = 0.0
    with tempfile.TemporaryFile("w+") as output:
        began = time.monotonic()
        process = subprocess.Popen(list(command), stdout=output, stderr=subprocess.DEVNULL)
        done = threading.Event()

        def watch() -> None:
            nonlocal most
            while not done.wait(1):
                most = max(most, resident(process.pid))

        watcher = threading.Thread(target=watch)
        watcher.start()
        process.wait()
        seconds = time.monotonic() - began
        done.set()
        watcher.join()
        output.seek(0)
        run = Run(name, targets, seconds, right(output.read()), most)
    sys.stderr.write(
        f"{name}: {targets} targets in {seconds:.1f} s, {run.rate:.0f}/s, {run.right} right, {most:.0f} MiB\n"
    )
    return run


def median(runs: list[Run]) -> Run:
    return sorted(runs, key=lambda one: one.seconds)[len(runs) // 2]


def sweep(lists: Lists, count: int) -> list[str]:
    remediate = str(INSTALLED / "bin" / "remediate")
    return [remediate, "verify", "--targets", lists.jsonl(count), "--scope", SCOPE, "--format", "jsonl"]


def interrupted(command: list[str], lines: int) -> float:
    """Seconds from Ctrl-C, sent after so many lines, to its end; and all its lines are whole."""
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
    ) as process:
        assert process.stdout is not None
        for _ in range(lines):
            process.stdout.readline()
        os.killpg(process.pid, signal.SIGINT)
        pressed = time.monotonic()
        for line in process.stdout:
            json.loads(line)
        process.wait()
        seconds = time.monotonic() - pressed
    if process.returncode != 130:
        raise SystemExit(f"Ctrl-C ended it with {process.returncode}")
    return seconds


def main() -> None:
    if "--inside" not in sys.argv:
        install()
    scale = 10 if "--quick" in sys.argv else 1
    if os.geteuid() == 0 and shutil.which("unshare") and "--inside" not in sys.argv:  # nobody else is on that loopback
        inside = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
        os.execvp("unshare", [*inside, sys.executable, __file__, *sys.argv[1:], "--inside"])  # noqa: S606 -- no shell is wanted
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed program is compiled once, not at each start
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])
    load = os.getloadavg()[0]
    runs: dict[str, Run] = {}
    with tempfile.TemporaryDirectory() as made:
        folder, lists = Path(made), Lists(Path(made))
        floor = build(folder, "floor")
        responder = subprocess.Popen(
            [build(folder, "responder"), str(PORT)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert responder.stdout is not None
        if responder.stdout.readline() != "ready\n":
            raise SystemExit(f"the responder does not listen: is port {PORT} taken?")

        def run(name: str, targets: int, command: Iterable[str], word: str) -> None:
            runs[name] = measure(name, targets, command, lambda output: output.count(word))

        try:
            few, many, very_many = 16384 // scale, 131072 // scale, 200_000 // scale
            pool, dcmtk = 2048 // scale, 256 // scale
            measure("warming up", 256, sweep(lists, 256), len)
            ours, least = [], []
            for _ in range(ROUNDS):  # one after the other: the machine may be faster at one time than at another
                ours.append(measure("remediate", few, sweep(lists, few), lambda output: output.count('"rung":"echo"')))
                least.append(measure(FLOOR, many, [floor, lists.pairs(many)], lambda output: output.count(" echo")))
            runs["remediate"], runs[FLOOR] = median(ours), median(least)
            script = str(HERE / "pynetdicom_pool.py")
            run("pynetdicom, 20 threads", pool, [PYTHON, script, lists.pairs(pool)], " echo")
            if shutil.which("nmap"):
                nmap = ["nmap", "--script", "dicom-ping", "-T5", "-Pn", "-n", "-p", str(PORT), "-iL"]
                run("nmap dicom-ping", few, [*nmap, lists.addresses(few)], "DICOM Service Provider discovered")
            if shutil.which("echoscu"):
                echoscu = ["xargs", "-a", lists.pairs(dcmtk), "-P", "8", "-n", "2", "sh", "-c"]
                run("echoscu, 8 processes", dcmtk, [*echoscu, 'echoscu "$0" "$1" && echo right'], "right")
            run("remediate, long list", very_many, sweep(lists, very_many), '"rung":"echo"')
            ctrl_c = interrupted(sweep(lists, very_many), very_many // 10)
        finally:
            responder.stdin.close()  # type: ignore[union-attr]  # it was asked for
            responder.wait()
        if os.geteuid() == 0 and shutil.which("nft"):
            dropped = 4096 // scale
            alone = ["unshare", "--net", "sh", "-c", DROP, "sh"]
            run(
                "remediate, filtered", dropped, [*alone, *sweep(lists, dropped), "--deadline", "3"], '"rung":"filtered"'
            )
            if shutil.which("nmap"):
                run("nmap dicom-ping, filtered", dropped, [*alone, *nmap, lists.addresses(dropped)], "/tcp filtered ")
        if scale == 1:
            write(runs, ours, goals(runs, ctrl_c), load)
        else:
            for goal in goals(runs, ctrl_c):
                sys.stderr.write(f"{goal}\n")


def goals(runs: dict[str, Run], ctrl_c: float) -> list[Goal]:
    found = []
    for peer, least in (
        ("pynetdicom, 20 threads", 18),
        ("nmap dicom-ping", 1.7),
        ("echoscu, 8 processes", 50),
        (FLOOR, 0.25),
    ):
        if peer in runs:
            found.append(Goal(f"rate / {peer}", least, runs["remediate"].rate / runs[peer].rate))
    ours, long = runs["remediate"], runs["remediate, long list"]
    if "nmap dicom-ping, filtered" in runs:
        ratio = runs["remediate, filtered"].rate / runs["nmap dicom-ping, filtered"].rate
        found.append(Goal("rate / nmap dicom-ping, filtered targets", 20, ratio))
    found.append(Goal("time a target, 200,000 / 16,384", 1.2, ours.rate / long.rate, at_most=True))
    found.append(Goal("more memory with 200,000 than with 16,384, MiB", 30, long.mib - ours.mib, at_most=True))
    found.append(Goal("seconds from Ctrl-C to the end", 1, ctrl_c, at_most=True))
    return found


def write(runs: dict[str, Run], ours: list[Run], found: list[Goal], load: float) -> None:
    RESULTS.mkdir(exist_ok=True)
    machine = f"{platform.machine()}, 2 of {os.cpu_count()} cores, Python {platform.python_version()}"
    rates = [round(run.rate) for run in ours]
    (RESULTS / "probes.json").write_text(
        json.dumps(
            {
                "machine": machine,
                "load_before": load,
                "runs": [{**asdict(run), "rate": run.rate} for run in runs.values()],
                "remediate_rates": rates,
                "goals": [{**asdict(goal), "met": goal.met} for goal in found],
            },
            indent=2,
        )
        + "\n"
    )
    lines = [
        "# Probes, side by side",
        "",
        f"Made by `make bench-probes` on {machine}; load average before it: {load:.1f}. All on loopback, responder and",
        "peers on the same two cores; whole processes, start included. What `remediate` does: association, C-ECHO,",
        "release. Its line and that of the client in C are the medians of their runs, which took turns; it made",
        f"{min(rates)} to {max(rates)}/s.",
        "",
        "| who | targets | seconds | targets/s | answered rightly | MiB |",
        "|---|---|---|---|---|---|",
        *(
            f"| {run.name} | {run.targets} | {run.seconds:.1f} | {run.rate:.0f} | {run.right} | {run.mib:.0f} |"
            for run in runs.values()
        ),
        "",
        "| what | wanted | reached | |",
        "|---|---|---|---|",
        *(
            f"| {goal.name} | {'at most' if goal.at_most else 'at least'} {goal.wanted:g} | {goal.reached:.2f} "
            f"| {'met' if goal.met else 'missed'} |"
            for goal in found
        ),
        "",
        f"Median of all rates of `remediate`: {statistics.median(rates):.0f}/s.",
        "",
    ]
    (RESULTS / "probes.md").write_text("\n".join(lines))
    sys.stderr.write((RESULTS / "probes.md").read_text())


main()
