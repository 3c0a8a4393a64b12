"""The record cannot be written any more, and Ctrl-C, by the command line on the embedded site."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from remediate.lab.embedded.site import EmbeddedSite, standing
from remediate.record import Record
from tests.e2e.conftest import REMEDIATE, wait_for
from tests.faults.places import look

pytestmark = pytest.mark.timeout(200)


class Prompt:
    def __init__(self, site: EmbeddedSite, folder: Path) -> None:
        self.site = site
        self.record = folder / "record.db"
        self.before = look(site)

    def start(self, *args: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [str(REMEDIATE), *args],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "REMEDIATE_RECORD": str(self.record)},
        )

    def run_until(self, kind: str) -> subprocess.Popen[str]:
        process = self.start("run", str(self.site.playbook), "-i", str(self.site.inventory))
        wait_for(lambda: kind in self.kinds(), process)
        return process

    def resume(self) -> int:
        process = self.start("resume")
        process.communicate(timeout=120)
        return process.returncode

    def kinds(self) -> list[str]:
        if not self.record.exists():
            return []
        with Record.open(self.record) as record:
            assert record.verify() == []
            changes = record.changes()
            return [entry.kind for entry in record.journal(changes[-1].change)] if changes else []


@contextmanager
def prompt(folder: Path) -> Iterator[Prompt]:
    with standing(folder / "site", minute=15.0) as site:
        yield Prompt(site, folder)


def fill_disk(process: subprocess.Popen[str]) -> None:
    """No file of that process grows any more; what it says goes to pipes."""
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))


def test_the_disk_is_full_before_the_push(tmp_path: Path) -> None:
    with prompt(tmp_path) as here:
        process = here.run_until("preflight")
        fill_disk(process)
        _, err = process.communicate(timeout=120)
        assert process.returncode == 2, err
        assert "the record cannot be used" in err
        assert "by itself" not in err
        assert "pushing" not in here.kinds()
        now = look(here.site)
        assert (now.running, now.pending) == (here.before.running, None)
        assert here.resume() == 0, "there is room again"


def test_the_disk_is_full_after_the_push(tmp_path: Path) -> None:
    """What is not in the record is not done: neither confirmed nor undone by us. The device does it by itself."""
    with prompt(tmp_path) as here:
        process = here.run_until("all pushed")
        fill_disk(process)
        _, err = process.communicate(timeout=120)
        assert process.returncode == 5, err
        assert "the record cannot be used" in err
        assert "edge-router: unless it is confirmed by now, it takes the change back by itself at" in err
        wait_for(lambda: look(here.site).running == here.before.running)
        assert here.resume() == 4
        now = look(here.site)
        assert (now.running, now.startup, now.pending) == (here.before.running, here.before.startup, None)
        assert here.kinds()[-1] == "ended"


@pytest.mark.parametrize(("times", "status"), [(1, 4), (2, 130)])
def test_ctrl_c_once_and_twice(tmp_path: Path, times: int, status: int) -> None:
    with prompt(tmp_path) as here:
        process = here.run_until("all pushed")
        process.send_signal(signal.SIGINT)
        if times == 2:
            wait_for(lambda: "rolling back" in here.kinds(), process)
            process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=120)
        assert process.returncode == status, err
        assert here.resume() == (4 if times == 2 else 0), "there is something to resume only after the second one"
        now = look(here.site)
        assert (now.running, now.startup, now.pending) == (here.before.running, here.before.startup, None)
        assert here.kinds()[-1] == "ended"
