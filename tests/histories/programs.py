"""A tree's program, as people use it: started, interrupted, waited for."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

#: Seconds. What answers on loopback answers at once, unless the machine is busy.
ENVIRONMENT = {"REMEDIATE_PATIENCE": "3", "REMEDIATE_LOOK_DEADLINE": "1.5"}


@dataclass
class Program:
    """``status``: None while it runs; negative: the signal that ended it."""

    pid: int
    out: Path
    err: Path
    status: int | None = None

    def signal(self, number: signal.Signals) -> None:
        if self.status is None:
            os.kill(self.pid, number)


@dataclass
class Prompt:
    """Where programs of one tree are started."""

    _process: subprocess.Popen[bytes]
    _programs: dict[int, Program] = field(default_factory=dict)
    _buffer: bytes = b""
    _began: list[int] = field(default_factory=list)
    _ended: dict[int, int] = field(default_factory=dict)

    def start(self, argv: Sequence[str], *, cwd: Path, env: Mapping[str, str], name: str) -> Program:
        out, err = cwd / f"{name}.out", cwd / f"{name}.err"
        command = {"argv": list(argv), "cwd": str(cwd), "env": dict(env), "out": str(out), "err": str(err)}
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command).encode() + b"\n")
        self._process.stdin.flush()
        while not self._began:
            self._hear(None)
        pid = self._began.pop()
        program = self._programs[pid] = Program(pid, out, err)
        if pid in self._ended:
            self._programs.pop(pid).status = self._ended.pop(pid)
        return program

    def wait(self, program: Program, seconds: float) -> bool:
        """Whether it has ended by then."""
        until = time.monotonic() + seconds
        while program.status is None and (left := until - time.monotonic()) > 0:
            self._hear(left)
        return program.status is not None

    def _hear(self, seconds: float | None) -> None:
        assert self._process.stdout is not None
        if not select.select([self._process.stdout], [], [], seconds)[0]:
            return
        more = os.read(self._process.stdout.fileno(), 65536)
        if not more:
            raise RuntimeError("the prompt has ended")
        *lines, self._buffer = (self._buffer + more).split(b"\n")
        for line in lines:
            words = json.loads(line)
            if "began" in words:
                self._began.append(words["began"])
            elif "ended" in words:
                program = self._programs.pop(words["ended"], None)
                if program is None:  # it ended before anybody heard that it had begun
                    self._ended[words["ended"]] = words["status"]
                else:
                    program.status = words["status"]


@contextmanager
def prompt(tree: Path, log: Path) -> Iterator[Prompt]:
    """``tree``: a checked-out tree of the project. What still runs when the context ends is killed."""
    env = {**os.environ, **ENVIRONMENT, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1", "TERM": "dumb"}
    argv = [sys.executable, "-P", str(Path(__file__).with_name("prompt.py")), str(tree)]
    with (
        log.open("ab") as errors,
        subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, env=env) as process,
    ):
        assert process.stdin is not None
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline() or "{}")
        if Path(ready.get("tree", "")) != tree / "remediate":
            raise RuntimeError(f"{log}: the program of {tree} does not start, but {ready.get('tree')}")
        made = Prompt(process)
        try:
            yield made
        finally:
            for program in list(made._programs.values()):
                program.signal(signal.SIGKILL)
                made.wait(program, 10)
            process.stdin.close()
