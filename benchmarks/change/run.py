"""`make bench-change`: the whole loop on many devices, beside bare pushes of the same lines; see README.md.

usage: run.py [--quick] [--devices N] [--forks N] [--no-ansible]

--quick: 12 devices, to see whether it works; writes nothing. Without: benchmarks/results/change.md and change.json.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from contextlib import closing
from dataclasses import asdict, dataclass
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).parent
RESULTS = HERE.parent / "results"
RESPONDER = HERE.parent / "probes" / "responder.c"
#: Seconds that a router takes for one command.
DELAY = 0.05
REMEDIATE = [sys.executable, "-c", "from remediate.cli import main; main()"]
#: Ansible is stopped where it takes so many times as long as ours.
PATIENCE = 2
WITHOUT_ANSIBLE = (
    "Not beside Ansible: `apt-get install ansible python3-paramiko` was not done here, or it was left out."
)
WAITS = ("deadlines", "pacs", "timer", "soak")

_spec = spec_from_file_location("bench_site", HERE / "site.py")  # a plain import would find Python's own site
assert _spec is not None
assert _spec.loader is not None
site = module_from_spec(_spec)
sys.modules["bench_site"] = site
_spec.loader.exec_module(site)


@dataclass
class Run:
    """``waits``: seconds of it that were declared waits. ``done``: devices that have the change.

    ``processor``: seconds of it that the contestant used, ``simulators``: those that the routers used for it.
    ``commands``: what it typed, on all of them.
    """

    name: str
    seconds: float
    done: int
    processor: float
    simulators: float
    commands: int
    waits: float = 0.0

    @property
    def worked(self) -> float:
        return self.seconds - self.waits


@dataclass
class Goal:
    name: str
    wanted: float
    reached: float

    @property
    def met(self) -> bool:
        return self.reached <= self.wanted


class Bench:
    def __init__(self, folder: Path, devices: int, forks: int) -> None:
        self.folder = folder
        self.forks = forks
        self.site = site.make(folder / "site", devices)
        responder = str(folder / "responder")
        subprocess.run(["cc", "-O2", "-o", responder, RESPONDER], check=True)
        self.running = site.Running(self.site, responder, DELAY)
        self.lines: dict[str, list[str]] = {}

    def plan(self) -> None:
        """On the site as it stands: what ours would push is what the others push."""
        out = self.folder / "plan.json"
        command = [*REMEDIATE, "plan", "-i", self.site.inventory, self.site.playbook, "--out", out]
        with self.running.standing():
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for wave in json.loads(out.read_text())["waves"]:
            for candidate in wave["candidates"]:
                self.lines[candidate["device"]] = [line.strip() for line in candidate["text"].splitlines()]

    def ours(self) -> tuple[Run, dict[str, float], dict[str, Any]]:
        times = self.folder / "blocked.json"
        record = self.folder / f"record-{time.monotonic_ns()}.db"
        command = [sys.executable, HERE / "whole.py", times, "run", "-i", self.site.inventory, self.site.playbook]
        command += ["--record", record, "--forks", str(self.forks), "--format", "json"]
        with self.running.standing() as effort:
            took = _timed(command)
        outcome = json.loads(took.said)
        waits = outcome["waits"]
        done = sum(len(wave["pacs"]) for wave in outcome["waves"] if wave["state"] == "confirmed")
        run = _run("remediate, the whole loop", took, effort, done, sum(waits[kind] for kind in WAITS))
        return run, json.loads(times.read_text()), waits

    def bare(self) -> Run:
        jobs = self.folder / "jobs.json"
        jobs.write_text(json.dumps([self._job(place) for place in self.site.places]))
        with self.running.standing() as effort:
            took = _timed([sys.executable, HERE / "bare.py", jobs, str(self.forks)])
        return _run("Nornir + netmiko, bare push", took, effort, int(took.said))

    def _job(self, place: Any) -> dict[str, Any]:
        return {
            "name": place.router,
            "host": place.management,
            "port": site.SSH,
            "username": "admin",
            "key": str(self.site.key),
            "known_hosts": str(self.site.known_hosts),
            "lines": self.lines[place.router],
        }

    def ansible(self, patience: float) -> Run:
        """``match: none``: the module asks the device for nothing, and types the lines.

        ``patience``: seconds after which it is stopped; what it has done by then is counted.
        """
        home = self.folder / "ansible"
        home.mkdir(exist_ok=True)
        hosts = {
            place.router: {
                "ansible_host": place.management,
                "ansible_port": site.SSH,
                "push": self.lines[place.router],
            }
            for place in self.site.places
        }
        common = {
            "ansible_connection": "ansible.netcommon.network_cli",
            "ansible_network_os": "cisco.ios.ios",
            "ansible_network_cli_ssh_type": "paramiko",
            "ansible_user": "admin",
            "ansible_ssh_private_key_file": str(self.site.key),
        }
        (home / "hosts.json").write_text(json.dumps({"all": {"hosts": hosts, "vars": common}}))
        task = {"cisco.ios.ios_config": {"lines": "{{ push }}", "match": "none"}}
        (home / "push.json").write_text(json.dumps([{"hosts": "all", "gather_facts": False, "tasks": [task]}]))
        (home / ".ssh").mkdir(exist_ok=True, mode=0o700)
        shutil.copy(self.site.known_hosts, home / ".ssh" / "known_hosts")
        told = {"HOME": str(home), "ANSIBLE_HOST_KEY_CHECKING": "False", "ANSIBLE_NOCOLOR": "1"}
        command = ["ansible-playbook", "-i", home / "hosts.json", "-f", str(self.forks), home / "push.json"]
        with self.running.standing() as effort:
            took = _timed(command, told, patience)
        done = took.said.count("changed: [")
        stopped = "" if done == len(hosts) else " (stopped)"
        return _run(f"Ansible, cisco.ios.ios_config{stopped}", took, effort, done)


class Took(NamedTuple):
    """``processor``: seconds of it, of the command and of those that it waited for."""

    seconds: float
    processor: float
    said: str


def _run(name: str, took: Took, effort: Any, done: int, waits: float = 0.0) -> Run:
    return Run(name, took.seconds, done, took.processor, effort.seconds, effort.commands, waits)


def _timed(command: list[Any], environment: dict[str, str] | None = None, patience: float | None = None) -> Took:
    """In a group of its own, so that those it has started end with it."""
    began, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    with subprocess.Popen(
        [str(word) for word in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **(environment or {})},
        start_new_session=True,
    ) as process:
        try:
            out, err = process.communicate(timeout=patience)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGTERM)
            out, err = process.communicate()
    seconds, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    if process.returncode:
        sys.stderr.write(f"{out[-2000:]}\n{err[-2000:]}\n{command[0]} ended with {process.returncode}\n")
    return Took(seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, out)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--devices", type=int, default=200)
    parser.add_argument("--forks", type=int, default=20)
    parser.add_argument("--no-ansible", action="store_true")
    options = parser.parse_args()
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed program is compiled once, not at each start
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])
    load = os.getloadavg()[0]
    devices = 12 if options.quick else options.devices
    with tempfile.TemporaryDirectory(prefix="bench-change-") as made:
        bench = Bench(Path(made), devices, options.forks)
        with closing(bench.running):
            bench.plan()
            runs = [_told(bench.bare())]
            ours, blocked, waits = bench.ours()
            runs.insert(0, _told(ours))
            runs.append(_told(bench.bare()))
            if not options.no_ansible and shutil.which("ansible-playbook"):
                runs.append(_told(bench.ansible(max(60, PATIENCE * ours.seconds))))
        lines = len(next(iter(bench.lines.values())))
    goals = _goals(runs, blocked, devices)
    for goal in goals:
        sys.stderr.write(f"{goal.name}: {goal.reached:.2f}, wanted at most {goal.wanted:g}\n")
    if not options.quick:
        _write(runs, goals, waits, blocked, load, devices, lines, options.forks)


def _told(run: Run) -> Run:
    sys.stderr.write(
        f"{run.name}: {run.seconds:.1f} s, of it declared waits {run.waits:.1f} s; processor {run.processor:.1f} s, of "
        f"the routers {run.simulators:.1f} s; {run.commands} commands; {run.done} done\n"
    )
    return run


def _goals(runs: list[Run], blocked: dict[str, float], devices: int) -> list[Goal]:
    ours = runs[0]
    bare = [run.worked for run in runs if run.name.startswith("Nornir")]
    found = [Goal("ours without its waits / Nornir + netmiko", 4, ours.worked / (sum(bare) / len(bare)))]
    found += [
        Goal("ours, waits included / Ansible", 1, ours.seconds / r.seconds) for r in runs if r.name.startswith("A")
    ]
    worst = blocked.get("", 0.0) + max((s for name, s in blocked.items() if name), default=0.0)
    found.append(Goal("% of the wall time blocked in journal appends, worst device", 5, 100 * worst / ours.worked))
    without = sum(devices - run.done for run in runs if not run.name.startswith("Ansible"))
    found.append(Goal("devices without the change, in ours and in the bare pushes", 0, without))
    return found


def _write(
    runs: list[Run],
    goals: list[Goal],
    waits: dict[str, Any],
    blocked: dict[str, float],
    load: float,
    devices: int,
    lines: int,
    forks: int,
) -> None:
    RESULTS.mkdir(exist_ok=True)
    machine = f"{platform.machine()}, 2 of {os.cpu_count()} cores, Python {platform.python_version()}"
    data = {
        "machine": machine,
        "load_before": load,
        "devices": devices,
        "configuration_lines": site.LINES,
        "pushed_lines": lines,
        "seconds_a_command": DELAY,
        "forks": forks,
        "runs": [{**asdict(run), "worked": run.worked} for run in runs],
        "waits": waits,
        "blocked": blocked,
        "goals": [{**asdict(goal), "met": goal.met} for goal in goals],
    }
    (RESULTS / "change.json").write_text(json.dumps(data, indent=2) + "\n")
    own = [seconds for name, seconds in blocked.items() if name] or [0.0]
    ansible = "" if any(run.name.startswith("Ansible") for run in runs) else f"\n{WITHOUT_ANSIBLE}\n"
    text = f"""\
# A change on many devices, side by side

Made by `make bench-change` on {machine}; load average before it {load:.1f}, \
after it {os.getloadavg()[0]:.1f}.
{devices} simulated IOS routers with configurations of {site.LINES} lines, {DELAY * 1000:.0f} ms for every command, on \
the same two cores; {forks} forks
for all; {lines} lines are pushed to each. Whole processes, start included. Ours plans first, then goes in waves
(`serial: [1, 10%, 100%]`).

| who | seconds | of it declared waits | without them | devices done | its processor seconds | the routers' | commands |
|---|---|---|---|---|---|---|---|
{_rows(_row(run) for run in runs)}

| what | wanted, at most | reached | |
|---|---|---|---|
{_rows(f"{g.name} | {g.wanted:g} | {g.reached:.2f} | {'met' if g.met else 'missed'}" for g in goals)}

Declared waits of ours, in seconds: silence taken for *filtered* {waits["deadlines"]:.1f}, answers of archives \
{waits["pacs"]:.1f}, revert timers
{waits["timer"]:.1f}, soak {waits["soak"]:.1f}. Blocked in journal appends: the change itself \
{blocked.get("", 0.0):.2f} s; a device's own tasks {sum(own) / len(own):.3f} s on
average, {max(own):.3f} s at most.
{ansible}"""
    (RESULTS / "change.md").write_text(text)
    sys.stderr.write(text)


def _row(r: Run) -> str:
    times = f"{r.seconds:.1f} | {r.waits:.1f} | {r.worked:.1f}"
    return f"{r.name} | {times} | {r.done} | {r.processor:.1f} | {r.simulators:.1f} | {r.commands}"


def _rows(rows: Iterable[str]) -> str:
    return "\n".join(f"| {row} |" for row in rows)


if __name__ == "__main__":
    main()
