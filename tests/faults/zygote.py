"""Changes in processes of their own that end by SIGKILL: ``python -m tests.faults.zygote``.

Everything is imported once. Each line on standard input is a ``Job``; a child is forked for it, and one line says how
that ended (``Ended``).
"""

from __future__ import annotations

import json
import logging
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from remediate import controls, inventory, platforms, playbook
from remediate.change import change, looking, planning
from remediate.change.statuses import worst
from remediate.model.base import Value
from remediate.model.change import Entry
from remediate.platforms.cisco_ios.lacking import JUNK
from remediate.platforms.session import Reply, Session
from remediate.record import ChangeJournal, Record
from remediate.render import Renderer
from tests.quiet import Quiet


class Point(Value):
    """Where the process kills itself.

    ``entry``: at the entry of that number, once it is ``durable``, or before it is written (``lost``).
    ``write``: at the line of that number, or with these words, that changes something on the device; ``half`` of it
    is typed, all of it is ``sent``, or it is ``answered``. ``delay``: seconds after an entry that is durable.
    """

    at: Literal["entry", "write"]
    number: int = 0
    words: str = ""
    how: Literal["durable", "lost", "half", "sent", "answered"]
    device: str = "edge-router"
    delay: float = 0.0

    def is_at(self, number: int, line: str) -> bool:
        return self.words in line if self.words else self.number == number


class Job(Value):
    """``undo``: takes the newest confirmed change back. ``after``: seconds from the change's beginning to SIGKILL."""

    do: Literal["run", "undo", "resume"]
    inventory: Path
    playbook: Path
    record: Path
    point: Point | None = None
    after: float | None = None


class Ended(Value):
    """``begun``: it got past planning. ``took``: seconds from there. Without a ``status`` it was killed."""

    begun: bool
    took: float
    status: int | None = None
    writes: tuple[tuple[str, str], ...] = ()
    error: str = ""

    @property
    def killed(self) -> bool:
        return self.status is None


class Zygote:
    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def do(self, job: Job) -> Ended:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(job.model_dump_json() + "\n")
        self._process.stdin.flush()
        ended = Ended.model_validate_json(self._process.stdout.readline())
        assert not ended.error, ended.error
        return ended


@contextmanager
def zygote() -> Iterator[Zygote]:
    argv = [sys.executable, "-m", "tests.faults.zygote"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Zygote(process)
        finally:
            assert process.stdin is not None
            process.stdin.close()  # it ends when this is closed, also when we are killed


def writes(line: str) -> bool:
    """Whether a line changes something on the device."""
    return not line.startswith(("show ", "terminal ")) and not line.endswith(JUNK)


_typed: list[tuple[str, str]] = []


def _watch_writes(point: Point | None) -> None:
    say = Session.say
    lock = threading.Lock()  # devices of one wave are written to at the same time

    def watched(session: Session, line: str, **options: Any) -> Reply:
        if not writes(line):
            return say(session, line, **options)
        with lock:
            _typed.append((session.device.name, line))
            number = sum(name == session.device.name for name, _ in _typed)
        here = point is not None and point.device == session.device.name and point.is_at(number, line)
        if here and point is not None and point.how in ("half", "sent"):
            text = line[: len(line) // 2] if point.how == "half" else f"{line}\n"
            session._netmiko.remote_conn.sendall(text.encode())
            _die()
        reply = say(session, line, **options)
        if here:
            _die()
        return reply

    Session.say = watched  # type: ignore[method-assign,assignment]  # in this process, which is about to be killed


def _watch_entries(point: Point) -> None:
    begin, append = Record.begin, Record._append
    counter = iter(range(1, 10_000))

    def begun(self: Record, name: str, **more: Any) -> ChangeJournal:
        number = next(counter)
        if (number, "lost") == (point.number, point.how):
            _die()
        journal = begin(self, name, **more)
        if number == point.number:
            _die_in(point.delay)
        return journal

    def appended(self: Record, name: str, kind: str, data: Any) -> Entry:
        number = next(counter)
        if (number, "lost") == (point.number, point.how):
            _die()
        entry = append(self, name, kind, data)
        if number == point.number:
            _die_in(point.delay)
        return entry

    Record.begin, Record._append = begun, appended  # type: ignore[method-assign,assignment]  # as above


def _die_in(seconds: float) -> None:
    if seconds:
        timer = threading.Timer(seconds, _die)
        timer.daemon = True
        timer.start()
    else:
        _die()


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _carry_out(job: Job, told: int) -> int:
    looking.DEADLINE = 1.0  # loopback answers at once, or never
    if job.point is not None and job.point.at == "entry":
        _watch_entries(job.point)
    _watch_writes(job.point if job.point is not None and job.point.at == "write" else None)
    loaded = inventory.load(job.inventory, platforms=set(platforms.PLATFORMS))
    with Record.open(job.record) as record, change.desk(loaded, record, Quiet()) as desk:
        desk.patience = 2.0
        if job.do == "resume":
            os.write(told, b"!")
            statuses = [change.resume(name, desk).exit_status for name in change.unfinished(record)]
            return worst(*statuses, 0)
        if job.do == "run":
            book = playbook.load(job.playbook, controls=set(controls.CONTROLS), vantages=set(loaded.site.vantages))
            plan = planning.make(loaded, book, Renderer())
        else:
            done = [c.change for c in record.changes() if "confirmed" in {e.kind for e in record.journal(c.change)}]
            plan = change.taking_back(done[-1], desk, Renderer())
        os.write(told, b"!")
        return change.run(plan, desk).exit_status


def _child(job: Job, told: int) -> None:
    """Never returns."""
    try:
        status = _carry_out(job, told)
        text = json.dumps({"status": status, "writes": _typed})
    except BaseException as error:  # whatever it is, the other side must learn of it
        text = json.dumps({"status": -1, "error": f"{type(error).__name__}: {error}"})
    os.write(told, text.encode())
    os._exit(0)


def _attend(job: Job) -> Ended:
    heard, told = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(heard)
        _child(job, told)
    os.close(told)
    began, until, data = time.monotonic(), None, b""
    while True:
        left = None if until is None else max(0.0, until - time.monotonic())
        if not select.select([heard], [], [], left)[0]:
            os.kill(pid, signal.SIGKILL)  # not waited for yet, so that number is still its own
            until = None
            continue
        more = os.read(heard, 65536)
        if not more:
            break
        if not data:
            began = time.monotonic()
            until = None if job.after is None else began + job.after
        data += more
    os.close(heard)
    os.waitpid(pid, 0)
    facts = {} if data in (b"", b"!") else json.loads(data.removeprefix(b"!"))
    return Ended(begun=data.startswith(b"!"), took=time.monotonic() - began, **facts)


def main() -> None:
    logging.getLogger("nornir").setLevel(logging.CRITICAL)  # what a task raises is told by us
    for line in sys.stdin:
        sys.stdout.write(_attend(Job.model_validate_json(line)).model_dump_json() + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
