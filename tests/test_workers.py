"""Workers of the suite itself: two at the same time do not meet."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from tests.conftest import can_be_alone

ROOT = Path(__file__).parents[1]
HOOKS = "from tests.conftest import pytest_xdist_setupnodes\n"
SUITE = """
import socket, subprocess, time
from pathlib import Path
import pytest
from tests.test_workers import started

def until(happened):
    end = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.02)

@pytest.mark.parametrize(("me", "other"), [("a", "b"), ("b", "a")])
def test_alone(me, other):
    here = Path(__file__).parent
    with socket.create_server(("127.0.0.1", 104)):
        Path("/run/whose").write_text(me)
        subprocess.run(["setsid", "--fork", "sleep", "SECONDS"], check=True)
        until(lambda: started("SECONDS"))
        (here / me).touch()
        until((here / other).exists)
        assert Path("/run/whose").read_text() == me
        assert len(started("SECONDS")) == 1
"""


def started(seconds: str) -> list[str]:
    """The processes that sleep for so long, as far as can be seen from here."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has just ended
            if (entry / "cmdline").read_bytes().split(b"\0")[:2] == [b"sleep", seconds.encode()]:
                found.append(entry.name)
    return found


def test_each_is_alone_and_leaves_nothing(tmp_path: Path) -> None:
    if not can_be_alone():
        pytest.skip("needs root and unshare: without namespaces there are no workers")
    seconds = f"1000.{secrets.randbelow(10**9):09}1"
    (tmp_path / "conftest.py").write_text(HOOKS)
    (tmp_path / "test_two.py").write_text(SUITE.replace("SECONDS", seconds))
    argv = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-n", "2", "test_two.py"]
    done = subprocess.run(
        argv,
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=100,
    )
    assert "2 passed" in done.stdout, done.stdout + done.stderr
    assert started(seconds) == []
