"""Sweeps over real connections on loopback: `remediate verify --targets` as a process of its own."""

from __future__ import annotations

import contextlib
import json
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import date
from ipaddress import ip_address, ip_network
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from remediate.change import lanes, listing, sweep, written
from remediate.change.sweep import Answer, Sweep, Tally
from remediate.inventory import targets
from remediate.inventory.kept import Kept
from remediate.model.observation import Rung
from remediate.model.site import Authorisation, Canary, Scope
from remediate.model.verdict import Outcome
from remediate.runner import Cancellation

from .responder import FIRST

HERE = Path(__file__).parent
SCOPE = "127.0.0.0/8"
REMEDIATE = [sys.executable, "-c", "from remediate.cli import main; main()"]
#: Runs a command, and says on standard error how many KiB the largest process of it had.
MEASURED = """
import resource, subprocess, sys
code = subprocess.run(sys.argv[1:]).returncode
print("KiB", resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr)
sys.exit(code)
"""


@pytest.fixture
def responder() -> Iterator[Callable[..., int]]:
    """Starts one; its port."""
    with contextlib.ExitStack() as stack:

        def start(count: int, *more: str) -> int:
            process = stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-m", "tests.change.responder", str(count), *more],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                    cwd=HERE.parent.parent,
                )
            )
            assert process.stdin is not None and process.stdout is not None
            stack.callback(process.stdin.close)
            return int(process.stdout.readline())

        yield start


@pytest.fixture
def kept() -> Iterator[Kept]:
    with Kept() as one:
        yield one


@pytest.fixture
def listed(tmp_path: Path) -> Callable[..., Path]:
    def write(count: int, port: int, *more: dict[str, Any]) -> Path:
        path = tmp_path / f"list-{count}.jsonl"
        rows = [{"address": str(FIRST + number), "port": port} for number in range(count)]
        path.write_text("".join(json.dumps(row) + "\n" for row in (*rows, *more)))
        return path

    return write


def unused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def verify(path: Path, *options: str, scope: str | None = SCOPE) -> subprocess.CompletedProcess[str]:
    scoped = [] if scope is None else ["--scope", scope]
    command = [*REMEDIATE, "verify", "--targets", str(path), *scoped, *options]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=100)


def lines(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_each_target_is_asked_once_and_told_with_its_line(
    responder: Callable[..., int], listed: Callable[..., Path]
) -> None:
    port, closed = responder(20), unused_port()
    again = {"address": str(FIRST), "port": port}
    dead = {"address": str(FIRST + 3), "port": closed, "name": "dead-1", "called_ae_title": "ARCHIVE"}
    done = verify(listed(20, port, again, dead), "--format", "jsonl")
    told = {line["line"]: line for line in lines(done)}
    assert sorted(told) == [*range(1, 21), 22]
    for number in range(1, 21):
        line = told[number]
        assert (line["address"], line["port"], line["kind"]) == (str(FIRST + number - 1), port, "dicom")
        assert (line["rung"], line["outcome"], line["called_ae_title"]) == ("echo", "unmet", "ANY-SCP")
    assert (told[22]["rung"], told[22]["outcome"], told[22]["name"]) == ("closed", "unknown", "dead-1")
    assert done.returncode == 1
    assert "asking 21 targets" in done.stderr and "1 lines ask for one again" in done.stderr
    assert "21 targets: 21 asked" in done.stderr and "0 of them could not be asked, 0 not reached" in done.stderr
    assert "20 reachable, 0 not, 1 unknown" in done.stderr


def test_what_is_closed_proves_something_once_a_canary_answers(
    responder: Callable[..., int], listed: Callable[..., Path]
) -> None:
    port, closed = responder(1), unused_port()
    path = listed(3, closed)
    alone = verify(path, "--format", "jsonl")
    assert alone.returncode == 3 and {line["outcome"] for line in lines(alone)} == {"unknown"}
    assert "--canary" in alone.stderr
    with_canary = verify(path, "--format", "jsonl", "--canary", f"{FIRST}:{port}")
    assert with_canary.returncode == 0 and {line["outcome"] for line in lines(with_canary)} == {"met"}
    dead = verify(path, "--format", "jsonl", "--canary", f"{FIRST}:{closed}")
    assert dead.returncode == 3 and {line["outcome"] for line in lines(dead)} == {"unknown"}


def test_a_table_of_counts(responder: Callable[..., int], listed: Callable[..., Path]) -> None:
    done = verify(listed(5, responder(5)))
    assert done.returncode == 1
    (row,) = [line for line in done.stdout.splitlines() if "echo" in line]
    assert "5" in row and "anybody may associate" in row


@pytest.mark.parametrize(
    ("more", "scope", "options", "told"),
    [
        ({"address": "192.0.2.1", "port": 104}, SCOPE, (), "line 2: 192.0.2.1 is in no network of the scope"),
        ({"address": "127.0.0.1"}, SCOPE, (), "line 2: port is missing"),
        ({"address": "127.0.0.1", "port": 1}, "0.0.0.0/0", (), "wider than anybody's leave"),
        ({"address": "127.0.0.1", "port": 1}, "127.0.0.1/8", (), "is no network"),
        ({"address": "::1", "port": 1}, SCOPE, (), "line 2: ::1 is in no network of the scope"),
        ({"address": "127.0.0.1", "port": 1}, SCOPE, ("--source", "192.0.2.7"), "192.0.2.7 cannot be used"),
        ({"address": "127.0.0.1", "port": 1}, SCOPE, ("--canary", "127.0.0.1"), "has no port"),
        ({"address": "127.0.0.1", "port": 1}, SCOPE, ("--format", "junit"), "--format jsonl or table"),
        ({"address": "127.0.0.1", "port": 1}, None, (), "inventory"),
    ],
)
def test_nothing_is_sent_if_anything_is_wrong(
    listed: Callable[..., Path], more: dict[str, Any], scope: str | None, options: tuple[str, ...], told: str
) -> None:
    with socket.create_server((str(FIRST), 0)) as server:
        done = verify(listed(1, server.getsockname()[1], more), *options, scope=scope)
        assert done.returncode in (2, 3) and done.stdout == ""
        assert told in done.stderr
        server.setblocking(False)
        with pytest.raises(BlockingIOError):
            server.accept()


def started(path: Path, *options: str) -> subprocess.Popen[str]:
    command = [*REMEDIATE, "verify", "--targets", str(path), "--scope", SCOPE, "--format", "jsonl", *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)


def test_ctrl_c_returns_at_once_with_what_is_known(responder: Callable[..., int], listed: Callable[..., Path]) -> None:
    """Two silent archives would hold it for their whole deadline, and then be among what is known."""
    port, silent = responder(2000), responder(2, "silent")
    path = listed(2000, port, *({"address": str(FIRST + n), "port": silent} for n in range(2)))
    with started(path, "--deadline", "60") as process:
        assert process.stdout is not None and process.stderr is not None
        first = process.stdout.readline()
        process.send_signal(signal.SIGINT)
        rest, told = process.stdout.read(), process.stderr.read()
    assert process.returncode == 130
    known = [json.loads(line) for line in (first + rest).splitlines()]
    assert 0 < len(known) <= 2000 and all(line["rung"] == "echo" for line in known)
    assert f"2002 targets: {len(known)} asked" in told and f"{2002 - len(known)} not reached" in told
    assert "stopped by SIGINT" in told


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_closed_standard_stream_leads_nowhere(
    responder: Callable[..., int], listed: Callable[..., Path], closed: str
) -> None:
    command = [*REMEDIATE, "verify", "--targets", str(listed(1, responder(1))), "--scope", SCOPE, "--format", "jsonl"]
    shell = ["sh", "-c", f'exec "$@" {closed}', "sh", *command]
    done = subprocess.run(shell, check=False, capture_output=True, text=True, timeout=100)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert len(done.stdout.splitlines()) == (">&-" not in closed.replace("2>&-", ""))
    assert ("1 targets: 1 asked" in done.stderr) == ("2>&-" not in closed)


def test_a_reader_that_goes_ends_the_sweep(responder: Callable[..., int], listed: Callable[..., Path]) -> None:
    with started(listed(2000, responder(2000))) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        told = process.stderr.read()
        assert process.wait(30) == 130
    assert "cannot be written" in told


def test_a_reader_that_waits_loses_nothing(responder: Callable[..., int], listed: Callable[..., Path]) -> None:
    with started(listed(2000, responder(2000))) as process:
        assert process.stdout is not None and process.stderr is not None
        first = process.stdout.read(1)  # 2,000 lines are many times what a pipe holds
        rest = process.stdout.read()
    assert len((first + rest).splitlines()) == 2000 and process.returncode == 1


class Reader:
    """In place of ``select`` and of the clock: it reads nothing for ``stalled`` looks of ten seconds each. Then the
    sweep is stopped, and it takes everything, or still nothing.
    """

    def __init__(self, cancellation: Cancellation, *, stalled: int, then_reads: bool) -> None:
        self.now = 0.0
        self._cancellation = cancellation
        self._left = stalled
        self._then_reads = then_reads

    def select(self, _: list[int], descriptors: list[int], __: list[int], ___: float) -> tuple[list[int], ...]:
        self._left -= 1
        if self._left > 0:
            self.now += 10
        elif self._left == 0:
            self._cancellation.request("stopped by a test")
        else:
            self.now += written.ENDING / 3
            return [], descriptors if self._then_reads else [], []
        return [], [], []


@pytest.mark.parametrize("then_reads", [True, False])
def test_when_it_is_stopped_a_reader_has_some_time_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, then_reads: bool
) -> None:
    cancellation = Cancellation()
    reader = Reader(cancellation, stalled=5, then_reads=then_reads)
    monkeypatch.setattr(written, "select", SimpleNamespace(select=reader.select, PIPE_BUF=select.PIPE_BUF))
    monkeypatch.setattr(written, "time", SimpleNamespace(monotonic=lambda: reader.now))
    with (tmp_path / "lines").open("wb") as file:
        written.Written(file.fileno(), cancellation, written.Ending(cancellation)).write(b"a line\n")
    assert (tmp_path / "lines").read_bytes() == (b"a line\n" if then_reads else b"")


@pytest.mark.parametrize("conversations", [lanes.CONVERSATIONS, 2000])
def test_a_busy_consumer_makes_no_open_port_filtered(
    responder: Callable[..., int],
    listed: Callable[..., Path],
    kept: Kept,
    monkeypatch: pytest.MonkeyPatch,
    conversations: int,
) -> None:
    """3,000 open targets, a deadline of 1 s, and 2 ms of work on the loop for each answer; once with so many under way
    that a turn of the loop takes longer than the deadline.
    """
    monkeypatch.setattr(lanes, "CONVERSATIONS", conversations)
    network = ip_network(SCOPE)
    scope = Scope(addresses=None, authorised=(Authorisation(network=network, reference="test", expires=date.max),))
    tally = Tally(*targets.check(listed(3000, responder(3000)), listing.refusing(scope, None), kept))

    def consume(_: Answer) -> None:
        until = time.monotonic() + 0.002
        while time.monotonic() < until:
            pass

    what = Sweep(kept, sweep.vantage(None), scope, deadline=1.0)
    sweep.run(what, consume, lambda _: contextlib.nullcontext(), tally)
    assert tally.rungs.total() == 3000
    assert tally.rungs[Rung.FILTERED] == 0
    assert sum(count for rung, count in tally.rungs.items() if rung.reachable) > 0
    assert tally.outcomes[Outcome.MET] == 0


def test_a_canary_that_falls_silent_meanwhile_is_told(listed: Callable[..., Path], kept: Kept) -> None:
    network = ip_network(SCOPE)
    scope = Scope(addresses=None, authorised=(Authorisation(network=network, reference="test", expires=date.max),))
    tally = Tally(*targets.check(listed(1, unused_port()), listing.refusing(scope, None), kept))
    canary = socket.create_server(("127.0.0.1", 0))
    where = Canary(address=ip_address("127.0.0.1"), port=canary.getsockname()[1])

    def consume(_: Answer) -> None:
        canary.close()

    with canary:
        sweep.run(Sweep(kept, sweep.vantage(None, [where]), scope), consume, lambda _: contextlib.nullcontext(), tally)
    assert tally.outcomes[Outcome.MET] == 1 and tally.exit_status == 3
    assert tally.blind == f"canary 127.0.0.1 port {where.port}: closed, connection refused"


def test_memory_does_not_grow_with_the_list(listed: Callable[..., Path]) -> None:
    def most(count: int) -> int:
        path = listed(count, unused_port())
        command = [sys.executable, "-c", MEASURED, *REMEDIATE, "verify", "--targets", str(path), "--scope", SCOPE]
        done = subprocess.run([*command, "--format", "jsonl"], check=False, capture_output=True, text=True, timeout=100)
        assert done.returncode == 3 and len(done.stdout.splitlines()) == count
        return int(done.stderr.split("KiB")[1])

    assert most(14_000) < most(2_000) + (20 << 10)
