"""The command line, as a user runs it, on the real site."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from remediate.change import looking
from remediate.inventory import load
from remediate.lab.real import LabSite
from remediate.model.change import Entry
from remediate.record import Record

REMEDIATE = Path(sys.executable).with_name("remediate")
#: What a change's journal has, but for its end.
ENTRIES = (
    "planned",
    "preflight",
    "evidence",
    "live peers",
    "baseline",
    "arming",
    "pushing",
    "pushed",
    "all pushed",
    "looked",
    "verified",
    "confirming",
    "device confirmed",
)


def killed_at(*few: str) -> tuple[str, ...]:
    """The entries at which a change is killed: each one for REMEDIATE_FAULTS=all, otherwise a telling few."""
    return ENTRIES if os.environ.get("REMEDIATE_FAULTS") == "all" else few


@dataclass
class Done:
    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass
class User:
    """Somebody with an inventory, a playbook and a record, at a prompt. ``environment``: what is set there besides."""

    site: LabSite
    folder: Path
    running: list[subprocess.Popen[str]] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def record_file(self) -> Path:
        return self.folder / "record.db"

    def start(self, *args: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [str(REMEDIATE), *args],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            cwd=self.folder,
            env={**os.environ, "REMEDIATE_RECORD": str(self.record_file), **self.environment},
        )
        self.running.append(process)
        return process

    def end(self) -> None:
        for process in self.running:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
            process.communicate()

    def do(self, *args: str) -> Done:
        process = self.start(*args)
        out, err = process.communicate(timeout=300)
        return Done(process.returncode, out, err)

    def inventory(self, path: Path | None = None) -> list[str]:
        return ["-i", str(path or self.site.inventory)]

    def run(self, *more: str, revert_in: int = 300) -> list[str]:
        return [
            "run",
            str(self.site.playbook),
            *self.inventory(),
            "-e",
            f"revert_in={revert_in}",
            "--format",
            "json",
            *more,
        ]

    def verify(self) -> Done:
        return self.do("verify", *self.inventory(), "--format", "json")

    def kinds(self) -> list[str]:
        """The kinds of the newest change's entries."""
        with Record.open(self.record_file) as record:
            changes = record.changes()
            return [entry.kind for entry in record.journal(changes[-1].change)] if changes else []

    def entries(self) -> list[Entry]:
        """Of the newest change."""
        with Record.open(self.record_file) as record:
            return list(record.journal(record.changes()[-1].change))

    @contextmanager
    def halted(self, kind: str, process: subprocess.Popen[str]) -> Iterator[None]:
        """The program stands still from that entry of its newest change on, however long what is done here takes."""
        self.until(kind, process)
        process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            process.send_signal(signal.SIGCONT)

    def until(self, kind: str, process: subprocess.Popen[str]) -> None:
        """Returns as soon as the newest change has that entry, while the program runs."""
        wait_for(lambda: self.record_file.exists() and kind in self.kinds(), process)


def wait_for(
    condition: Callable[[], object], process: subprocess.Popen[str] | None = None, seconds: float = 120
) -> None:
    until = time.monotonic() + seconds
    while not condition():
        if process is not None and process.poll() is not None:
            out, err = process.communicate()
            raise AssertionError(f"the program ended with {process.returncode} too early:\n{out}\n{err}")
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.02)


def verify(site: LabSite) -> looking.Look:
    """What ``remediate verify`` does, in this process."""
    return looking.verify(load(site.inventory), None, None, lambda _: nullcontext()).look


@pytest.fixture
def user(fresh_site: LabSite, tmp_path: Path) -> Iterator[User]:
    made = User(fresh_site, tmp_path)
    yield made
    made.end()


def forms(secret: str) -> list[bytes]:
    """How a text may hide in bytes: as it is, in UTF-16, and in base64 at each of the three alignments."""
    raws = [secret.encode(), secret.encode("utf-16-le"), secret.encode("utf-16-be")]
    found = [*raws, secret.lower().encode()]
    for raw in raws:
        for shift in range(3):
            whole = raw[(3 - shift) % 3 :]  # what stands in groups of three that nothing else shares
            found.append(base64.b64encode(whole[: len(whole) // 3 * 3]))
    return found
