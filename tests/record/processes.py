"""Other processes on a record, as `child.py` has them; the fixture `start` begins one, and ends what is left."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Protocol

CHILD = Path(__file__).with_name("child.py")


class Start(Protocol):
    def __call__(self, what: str, change: str, *rest: str, place: str | None = None) -> subprocess.Popen[str]:
        """``place``: of the record; without it, that of the test."""


def begin(what: str, place: str, change: str, *rest: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-W", "error", str(CHILD), what, place, change, *rest]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def line(child: subprocess.Popen[str]) -> str:
    assert child.stdout is not None
    return child.stdout.readline().strip()


def go(child: subprocess.Popen[str]) -> None:
    assert child.stdin is not None
    child.stdin.write("\n")
    child.stdin.flush()
