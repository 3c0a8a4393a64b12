"""A record whose file goes away while it is open, and comes back, or does not."""

from __future__ import annotations

import shutil
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from remediate.errors import RecordError
from remediate.record import Record, writer


def test_it_waits_until_the_record_is_back(file_record: Record, path: Path) -> None:
    journal = file_record.begin("one", data={})
    journal.append("step", {"n": 1})
    away = path.parent.with_name("elsewhere")
    path.parent.rename(away)
    done = threading.Event()

    def append() -> None:
        journal.append("step", {"n": 2})
        done.set()

    thread = threading.Thread(target=append)
    thread.start()
    assert not done.wait(0.5), "nothing is taken as written meanwhile"
    away.rename(path.parent)
    thread.join(30)
    assert done.is_set()
    with Record.open(path) as again:
        assert again.verify() == []
        assert [entry.data.get("n") for entry in again.journal("one")] == [None, 1, 2]


def test_a_record_that_stays_away_is_an_error(file_record: Record, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "GONE", 0.3)
    journal = file_record.begin("one", data={})
    shutil.rmtree(path.parent)
    with pytest.raises(RecordError, match="no longer the one that was opened, or not there"):
        journal.append("step", {})
    assert not path.parent.exists()


def test_another_file_in_its_place_is_not_written(
    file_record: Record, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An older copy, say: its chain would go on as if nothing had been in between."""
    monkeypatch.setattr(writer, "GONE", 0.3)
    journal = file_record.begin("one", data={})
    copy = path.parent.with_name("copy")
    shutil.copytree(path.parent, copy)
    journal.append("step", {"n": 1})
    elsewhere = path.parent.rename(path.parent.with_name("elsewhere"))
    copy.rename(path.parent)
    with pytest.raises(RecordError):
        journal.append("step", {"n": 2})
    with Record.open(path) as other:
        assert [entry.kind for entry in other.journal("one")] == ["planned"]
    with Record.open(elsewhere / path.name) as moved:
        assert [entry.data.get("n") for entry in moved.journal("one")] == [None, 1]


def test_moved_in_the_middle_of_a_write_it_is_not_taken_as_written(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "GONE", 0.3)
    moves: list[bool] = []

    def clock() -> datetime:
        if moves:
            path.parent.rename(path.parent.with_name("elsewhere"))
            moves.clear()
        return datetime.now(UTC)

    with Record.open(path, clock=clock) as record:
        journal = record.begin("one", data={})
        moves.append(True)
        with pytest.raises(RecordError):
            journal.append("step", {})
