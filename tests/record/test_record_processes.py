"""Several processes on one record: killed ones, competing ones, forked ones."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from remediate.errors import InventoryError, Locked, RecordError
from remediate.record import Record
from remediate.record.locks import Life, Owner
from tests.record.processes import Start, go, line


@pytest.mark.parametrize("after", [1, 40, 300])
def test_a_killed_process_loses_no_acknowledged_entry(place: str, start: Start, after: int) -> None:
    with Record.open(place) as record:
        record.begin("c-1", data={})
    child = start("append-until-killed", "c-1")
    acknowledged = [line(child) for _ in range(after)]
    child.kill()
    assert child.stdout is not None
    acknowledged += [rest.strip() for rest in child.stdout if rest.endswith("\n")]
    assert child.wait() == -signal.SIGKILL
    with Record.open(place) as record:
        assert record.verify() == []
        there = {f"{entry.seq} {entry.hash}" for entry in record.journal("c-1")}
        assert set(acknowledged) <= there
        assert record.journal("c-1").append("resumed", {}).seq == len(there) + 1


def test_four_processes_append_to_one_record(place: str, start: Start) -> None:
    with Record.open(place) as record:
        record.begin("shared", data={})
        record.begin("own", data={})
        children = [start("append", "own" if number == 3 else "shared", "100") for number in range(4)]
        for child in children:
            assert line(child) == "ready"
        for child in children:
            go(child)
        while any(child.poll() is None for child in children):
            assert record.verify() == []  # one snapshot: a chain in the making is never seen as broken
        assert [child.returncode for child in children] == [0] * 4
        assert {one.change: one.entries for one in record.changes()} == {"shared": 301, "own": 101}
        assert record.verify() == []


def test_many_processes_may_create_it_at_once(backend: str, path: Path, start: Start) -> None:
    children = [start("open", "x") for _ in range(8)]
    assert [line(child) for child in children] == ["open"] * 8
    assert [child.wait() for child in children] == [0] * 8
    if backend == "sqlite":
        assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_full_disk_is_told_and_survived(path: Path, start: Start) -> None:
    with Record.open(path) as record:
        record.begin("c-1", data={})
    child = start("fill", "c-1", place=str(path))
    assert line(child) == "refused True"
    assert line(child) == "2"
    assert child.wait() == 0
    with Record.open(path) as record:
        assert record.verify() == []
        assert [entry.kind for entry in record.journal("c-1")] == ["planned", "again"]


def test_a_record_is_not_carried_over_a_fork(record: Record) -> None:
    journal = record.begin("c-1", data={})
    pid = os.fork()
    if pid == 0:
        try:
            journal.append("step", {})
        except RecordError as error:
            os._exit(7 if "fork" in error.what else 8)
        os._exit(9)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
    assert journal.append("step", {}).seq == 2


# -- locks --------------------------------------------------------------------------------------------


def test_locks_are_all_or_nothing_and_name_their_holder(record: Record, start: Start) -> None:
    child = start("hold", "theirs", "fw-b")
    assert line(child) == "1"
    with pytest.raises(Locked) as caught:
        record.acquire(["fw-a", "fw-b", "fw-c"], "ours")
    (theirs,) = record.holders()
    assert theirs.pid == child.pid
    assert not theirs.dead
    for word in ("fw-b", "theirs", str(child.pid), theirs.host, f"{theirs.since:%Y-%m-%d %H:%M}", "wait"):
        assert word in str(caught.value)
    with pytest.raises(Locked):
        record.acquire(["fw-b"], "ours", takeover=True)
    with pytest.raises(Locked, match="being run already"):
        record.acquire(["fw-b"], "theirs", takeover=True)
    go(child)
    assert child.wait() == 0
    assert record.holders() == []
    assert [(lock.resource, lock.fence) for lock in record.acquire(["fw-c", "fw-b"], "ours")] == [
        ("fw-b", 2),
        ("fw-c", 1),
    ]


@pytest.mark.parametrize("reaped", [True, False])
def test_a_killed_holder_is_dead_even_as_a_zombie(record: Record, start: Start, reaped: bool) -> None:
    record.begin("theirs", data={})
    child = start("hold", "theirs", "fw-a")
    assert line(child) == "1"
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # dead, but still in the process table
    if reaped:
        child.wait()
    else:
        assert ") Z " in Path(f"/proc/{child.pid}/stat").read_text()
    assert record.holders()[0].dead
    with pytest.raises(Locked, match=r"(?s)which has ended.*remediate resume theirs"):
        record.acquire(["fw-a"], "ours")
    (lock,) = record.acquire(["fw-a"], "ours", takeover=True)
    assert (lock.change, lock.fence, lock.pid) == ("ours", 2, os.getpid())


@pytest.mark.parametrize("entries", [(), ("planned", "ended")], ids=["before its first entry", "after its last one"])
def test_who_was_killed_beside_the_journal_leaves_no_lock_behind(
    record: Record, start: Start, entries: tuple[str, ...]
) -> None:
    """There is nothing that could be resumed, and so nothing that would ever free the device."""
    child = start("hold", "theirs", "fw-a")
    assert line(child) == "1"
    if not entries:
        with pytest.raises(Locked):
            record.acquire(["fw-a"], "ours")
    child.kill()
    child.wait()
    for kind in entries[:1]:
        journal = record.begin("theirs", kind=kind, data={})
        with pytest.raises(Locked, match="remediate resume theirs"):
            record.acquire(["fw-a"], "ours")
        journal.append(entries[1], {})
    (lock,) = record.acquire(["fw-a"], "ours")
    assert (lock.change, lock.fence) == ("ours", 2)


def test_one_of_many_gets_a_lock(place: str, start: Start) -> None:
    Record.open(place).close()
    children = [start("compete", f"c-{number}", "fw-a", "fw-b") for number in range(6)]
    for child in children:
        assert line(child) == "ready"
    for child in children:
        go(child)
    assert sorted(line(child) for child in children) == ["got"] + ["locked"] * 5


def test_ones_own_lock_is_given_again(record: Record) -> None:
    first = record.acquire(["fw-a"], "c-1")
    assert record.acquire(["fw-a"], "c-1") == first
    assert record.acquire([], "c-1") == []
    with pytest.raises(Locked):
        record.acquire(["fw-a"], "c-2", takeover=True)
    record.release("c-2")
    assert record.holders() == first
    record.release("c-1")
    assert record.holders() == []
    assert record.acquire(["fw-a"], "c-1")[0].fence == 2


def test_who_lost_a_lock_does_not_free_its_successors(record: Record, monkeypatch: pytest.MonkeyPatch) -> None:
    record.acquire(["fw-a"], "c-1")
    here = Owner.this()
    monkeypatch.setattr(Owner, "this", staticmethod(lambda: here._replace(host="elsewhere", pid=1)))
    (lock,) = record.acquire(["fw-a"], "c-1", takeover=True)
    assert (lock.host, lock.fence) == ("elsewhere", 2)
    monkeypatch.undo()
    record.release("c-1")
    assert record.holders() == [lock]


def test_another_change_takes_no_lock_whose_holder_cannot_be_seen(
    record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = Owner.this()
    monkeypatch.setattr(Owner, "this", staticmethod(lambda: here._replace(host="elsewhere")))
    record.acquire(["fw-a"], "c-1")
    monkeypatch.undo()
    with pytest.raises(Locked, match="not known from here"):
        record.acquire(["fw-a"], "c-2", takeover=True)
    assert record.acquire(["fw-a"], "c-1", takeover=True)[0].fence == 2


HOST_KEY = "host-key SHA256:9x"


def test_one_device_under_two_names_is_held_once(record: Record, start: Start) -> None:
    """Two operators, each with an inventory of his own: what the device is known by is the same."""
    child = start("hold-device", "theirs", "fw-north", HOST_KEY)
    assert line(child) == "1"
    record.acquire(["firewall-1"], "ours")
    with pytest.raises(Locked) as caught:
        record.acquire([HOST_KEY, "serial FTX1"], "ours", device="firewall-1")
    assert caught.value.what.startswith(f"fw-north ({HOST_KEY}) is held by change theirs, process {child.pid} on ")
    assert caught.value.what.endswith("; here it is called firewall-1")
    with pytest.raises(Locked) as caught:
        record.acquire([HOST_KEY], "ours", device="fw-north")
    assert "here it is called" not in caught.value.what
    go(child)
    assert child.wait() == 0
    assert [lock.device for lock in record.acquire([HOST_KEY], "ours", device="firewall-1")] == ["firewall-1"]


def test_two_names_of_one_change_for_one_device_are_refused(record: Record) -> None:
    record.acquire(["fw-a", "fw-b"], "c-1")
    first = record.acquire([HOST_KEY, "serial FTX1"], "c-1", device="fw-a")
    assert record.acquire([HOST_KEY, "serial FTX1"], "c-1", device="fw-a") == first
    with pytest.raises(InventoryError) as caught:
        record.acquire([HOST_KEY, "serial FTX2"], "c-1", device="fw-b")
    assert str(caught.value) == (
        f"two names are one device\n  - fw-a and fw-b: both are {HOST_KEY}\n"
        "  next: keep one of the names, and name that one in every protected_by"
    )
    assert "serial FTX2" not in [lock.resource for lock in record.holders()], "all of them or none"
    record.release("c-1")
    assert record.holders() == []
    assert record.acquire([HOST_KEY], "c-2", device="fw-b")[0].fence == 2


def test_resumed_with_another_inventory_a_second_name_is_refused_too(
    record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = Owner.this()
    with monkeypatch.context() as before:
        before.setattr(Owner, "this", staticmethod(lambda: here._replace(boot_id="before the restart")))
        record.begin("c-1", data={})
        record.acquire([HOST_KEY], "c-1", device="fw-a")
    with pytest.raises(InventoryError, match="fw-a and fw-b"):
        record.acquire([HOST_KEY], "c-1", takeover=True, device="fw-b")
    assert record.acquire([HOST_KEY], "c-1", takeover=True, device="fw-a")[0].fence == 2


@pytest.mark.parametrize(
    ("other", "life"),
    [
        ({}, Life.ALIVE),
        ({"started": 1}, Life.DEAD),
        ({"boot_id": "another"}, Life.DEAD),
        ({"host": "elsewhere"}, Life.UNKNOWN),
        ({"host": "elsewhere", "boot_id": "another"}, Life.UNKNOWN),
        ({"pid_namespace": "pid:[1]"}, Life.UNKNOWN),
        ({"boot_id": ""}, Life.UNKNOWN),
        ({"pid": 2**22 + 1}, Life.DEAD),
    ],
)
def test_dead_is_said_only_where_it_is_proved(other: dict[str, str], life: Life) -> None:
    assert Owner.this()._replace(**other).life() is life  # type: ignore[arg-type]  # fields by name
