"""The newcomer's first minute, and everything that must hold on the embedded site too."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from remediate import inventory, platforms
from remediate.lab.embedded.demo import BREAK
from remediate.lab.embedded.site import EmbeddedSite, standing
from remediate.record import Record
from tests.e2e.conftest import REMEDIATE, wait_for

pytestmark = pytest.mark.timeout(200)


def at_prompt(folder: Path, *args: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "REMEDIATE_RECORD": str(folder / "record.db"), "TMPDIR": str(folder)}
    return subprocess.run(
        [str(REMEDIATE), *args],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        cwd=folder,
        env=env,
        check=False,
        timeout=180,
    )


def left_over(folder: Path) -> list[str]:
    """Processes that were started from a demo with that folder for temporary files."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                environment = (entry / "environ").read_bytes().split(b"\0")
                text = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if f"TMPDIR={folder}".encode() in environment and text:
                found.append(text)
    return found


@contextmanager
def site(folder: Path, misbehave: str | None = None) -> Iterator[EmbeddedSite]:
    with standing(folder / "site", misbehave=misbehave) as made:
        yield made


def test_the_demo_shows_the_whole_loop_and_leaves_nothing(tmp_path: Path) -> None:
    done = at_prompt(tmp_path, "demo")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "archive: exposed" in done.stdout
    assert re.search(r"^\+.*deny tcp", done.stdout, re.MULTILINE), "the diff is in the router's own language"
    assert "archive: protected" in done.stdout
    assert "hash chain: intact" in done.stdout
    assert "Proved:" in done.stdout
    assert "\x1b" not in done.stdout, "a pipe gets no control characters"
    assert not [path for path in tmp_path.iterdir() if "demo" in path.name]
    assert left_over(tmp_path) == []


def test_the_demo_that_breaks_is_taken_back_and_says_why(tmp_path: Path) -> None:
    done = at_prompt(tmp_path, "demo", "--break")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "taking the change back" in done.stdout
    assert "care path broken" in done.stdout
    assert "the baseline is restored" in done.stdout
    assert "Proved: the router dropped the clinic" in done.stdout


def test_loop_second_run_and_rollback(tmp_path: Path) -> None:
    with site(tmp_path) as made:
        where = ["-i", str(made.inventory)]
        assert at_prompt(tmp_path, "verify", *where).returncode == 1
        done = at_prompt(tmp_path, "run", str(made.playbook), *where)
        assert done.returncode == 0, done.stderr
        assert at_prompt(tmp_path, "verify", *where).returncode == 0
        again = at_prompt(tmp_path, "run", str(made.playbook), *where)
        assert again.returncode == 0, again.stderr
        assert "protected already" in again.stdout
        with Record.open(tmp_path / "record.db") as record:
            change = record.changes()[0].change
        back = at_prompt(tmp_path, "rollback", change)
        assert back.returncode == 0, back.stderr
        assert at_prompt(tmp_path, "verify", *where).returncode == 1


def test_killed_after_the_push_and_resumed(tmp_path: Path) -> None:
    with site(tmp_path) as made:
        env = {**os.environ, "REMEDIATE_RECORD": str(tmp_path / "record.db")}
        argv = [str(REMEDIATE), "run", str(made.playbook), "-i", str(made.inventory)]
        process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=env)

        def pushed() -> bool:
            if not (tmp_path / "record.db").exists():
                return False
            with Record.open(tmp_path / "record.db") as record:
                changes = record.changes()
                return bool(changes) and "all pushed" in [e.kind for e in record.journal(changes[-1].change)]

        try:
            wait_for(pushed)
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
        resumed = at_prompt(tmp_path, "resume")
        assert resumed.returncode == 0, resumed.stderr
        assert at_prompt(tmp_path, "verify", "-i", str(made.inventory)).returncode == 0


def test_a_line_that_the_router_rejects(tmp_path: Path) -> None:
    with site(tmp_path, "rejects-line=11112") as made:
        done = at_prompt(tmp_path, "run", str(made.playbook), "-i", str(made.inventory))
        assert done.returncode in (2, 4), done.stderr
        assert "Invalid input" in done.stderr or "%" in done.stderr
        site_of = inventory.load(made.inventory).site
        spec = platforms.platform("cisco_ios")
        device = spec.connect(site_of.devices["edge-router"], site_of.logins["edge-router"])
        try:
            assert device.pending() is None
            assert spec.read(site_of.devices["edge-router"], device.running_config()).sections == {}
        finally:
            device.close()


def test_blind_at_the_baseline_nothing_is_pushed(tmp_path: Path) -> None:
    with site(tmp_path) as made:
        hosts = (made.inventory / "hosts.yaml").read_text()
        port = str(made.layout.canary_port)
        assert port in hosts
        (made.inventory / "hosts.yaml").write_text(hosts.replace(port, "9"))
        done = at_prompt(tmp_path, "run", str(made.playbook), "-i", str(made.inventory))
        assert done.returncode == 3, done.stderr
        assert "canary" in done.stdout + done.stderr


def test_the_break_is_one_that_the_router_knows() -> None:
    argv = [sys.executable, "-m", "remediate.lab.devices.cisco_ios", "--help"]
    assert BREAK.partition("=")[0] in subprocess.run(argv, capture_output=True, text=True, check=True).stdout
