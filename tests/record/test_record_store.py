from __future__ import annotations

import os
import sqlite3
import threading
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from remediate.errors import RecordError
from remediate.model.change import Journal
from remediate.record import Record, redact

KEYS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8).filter(
    lambda key: not any(word in key.lower() for word in ("pass", "secret", "key"))
)
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


def test_entries_come_back_in_order_and_as_written(record: Record) -> None:
    journal: Journal = record.begin("c-1", data={"plan": "abc"})
    written = [journal.append("pushing", {"device": "fw-north", "number": n}) for n in range(3)]
    entries = list(journal)
    assert [entry.seq for entry in entries] == [1, 2, 3, 4]
    assert entries[0].kind == "planned"
    assert entries[0].data == {"plan": "abc"}
    assert entries[1:] == written
    assert list(record.journal("c-1")) == entries
    assert record.verify() == []


def test_data_survives_as_json(record: Record) -> None:
    journal = record.begin("c-1", data={})

    @settings(deadline=None)  # each example waits for the disk
    @given(st.dictionaries(KEYS, JSON, max_size=5))
    def check(data: dict[str, Any]) -> None:
        entry = journal.append("step", data)
        assert entry.data == data
        assert list(journal)[-1] == entry

    check()
    assert record.verify() == []


def test_times_are_utc_and_come_from_the_clock(place: str) -> None:
    east = datetime(2026, 3, 1, 1, 30, tzinfo=timezone(timedelta(hours=2)))
    with Record.open(place, clock=lambda: east) as record:
        entry = next(iter(record.begin("c-1", data={})))
    assert entry.at == east
    assert entry.at.utcoffset() == timedelta(0)
    with (
        Record.open(place, clock=lambda: east.replace(tzinfo=None)) as record,
        pytest.raises(RecordError, match="zone"),
    ):
        record.begin("c-2", data={})


def test_changes_newest_last(place: str) -> None:
    times = iter(datetime(2026, 3, day, tzinfo=UTC) for day in (2, 1, 3))
    with Record.open(place, clock=lambda: next(times)) as record:
        record.begin("later", data={})
        record.begin("earlier", data={})
        last = record.journal("later").append("rolled back", {})
        one, two = record.changes()
    assert (one.change, one.last_kind, one.entries) == ("earlier", "planned", 1)
    assert (two.change, two.last_kind, two.entries, two.head) == ("later", "rolled back", 2, last.hash)
    assert two.begun_at == datetime(2026, 3, 2, tzinfo=UTC)


def test_a_change_begins_once(record: Record) -> None:
    record.begin("c-1", data={})
    with pytest.raises(RecordError, match=r"(?s)c-1 is in the record already.*remediate resume c-1"):
        record.begin("c-1", data={"again": True})
    assert record.changes()[0].entries == 1


@pytest.mark.parametrize("name", ["", "a b", "a\nb", "../x", "x" * 64])
def test_a_change_has_a_plain_name(record: Record, name: str) -> None:
    with pytest.raises(RecordError, match="cannot name a change"):
        record.begin(name, data={})


def test_an_unknown_change_has_no_journal(record: Record) -> None:
    with pytest.raises(RecordError, match=r"remediate record list"):
        record.journal("c-9")


@pytest.mark.parametrize(
    "data",
    [{"x": float("nan")}, {"x": {1, 2}}, {"x": "\ud800"}, {"x": {1: 2}}, {"x": SecretStr("word")}, {"x": b"bytes"}],
)
def test_what_is_not_json_is_refused_and_nothing_is_written(record: Record, data: dict[str, Any]) -> None:
    journal = record.begin("c-1", data={})
    with pytest.raises(RecordError):
        journal.append("step", data)
    assert len(list(journal)) == 1


@pytest.mark.parametrize("kind", ["", "two\nlines", "x" * 65])
def test_a_kind_is_a_word(record: Record, kind: str) -> None:
    with pytest.raises(RecordError, match="kind"):
        record.begin("c-1", kind=kind, data={})


@pytest.mark.parametrize(
    "data",
    [
        {"password": "word"},
        {"login": {"Enable-Secret": "word"}},
        {"devices": [{"ssh_private_key": "word"}]},
        {"token_secret": 7},
        {"text": "-----BEGIN OPENSSH PRIVATE KEY-----\nword"},
    ],
)
def test_secrets_are_refused_by_place_and_never_repeated(record: Record, data: dict[str, Any]) -> None:
    journal = record.begin("c-1", data={})
    with pytest.raises(RecordError, match="secret") as caught:
        journal.append("step", data)
    assert "word" not in str(caught.value).replace("password", "")
    assert len(list(journal)) == 1


def test_words_about_secrets_are_no_secrets() -> None:
    redact({"secrets_resolved": True, "password": None, "token": "c1-fw", "note": "the password was asked for"})


def test_eight_threads_append_two_hundred_each(record: Record) -> None:
    journal = record.begin("c-1", data={})
    seen: list[int] = []

    def work(number: int) -> None:
        seen.extend([journal.append("step", {"thread": number, "step": step}).seq for step in range(200)])

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(seen) == list(range(2, 1602))
    entries = list(journal)
    for number in range(8):
        steps = [one.data["step"] for one in entries if one.data.get("thread") == number]
        assert steps == list(range(200))
    assert record.verify() == []


def test_one_bad_write_in_a_group_harms_no_other(record: Record) -> None:
    """All in one commit: the writer is held up until they all wait."""
    journal = record.begin("c-1", data={})
    held, go = threading.Event(), threading.Event()
    outcomes: dict[str, object] = {}

    def block(_: object) -> None:
        held.set()
        go.wait()

    def append(name: str, change: str) -> None:
        try:
            outcomes[name] = record._append(change, "step", {"name": name}).seq
        except RecordError as error:
            outcomes[name] = error.what

    threads = [threading.Thread(target=record._writer.write, args=(block,))]
    threads[0].start()
    held.wait()
    for name, change in (("a", "c-1"), ("b", "missing"), ("c", "c-1")):
        threads.append(threading.Thread(target=append, args=(name, change)))
        threads[-1].start()
    while record._writer._queue.qsize() < 3:
        assert threads[-1].is_alive()
    go.set()
    for thread in threads:
        thread.join()
    assert outcomes["b"] == "there is no change missing in the record"
    assert {outcomes["a"], outcomes["c"]} == {2, 3}
    assert len(list(journal)) == 3
    assert record.verify() == []


def test_closed_is_closed_and_the_thread_is_gone(place: str) -> None:
    before = threading.active_count()
    record = Record.open(place)
    journal = record.begin("c-1", data={})
    record.close()
    record.close()
    assert threading.active_count() == before
    with pytest.raises(RecordError, match="closed"):
        journal.append("step", {})


# -- opening ------------------------------------------------------------------------------------------


def test_only_the_owner_can_read_it(path: Path) -> None:
    old = os.umask(0)
    try:
        with Record.open(path) as record:
            record.begin("c-1", data={})
            modes = {file.name: oct(file.stat().st_mode & 0o777) for file in path.parent.iterdir()}
    finally:
        os.umask(old)
    assert oct(path.parent.stat().st_mode & 0o777) == "0o700"
    assert modes == dict.fromkeys(("changes.db", "changes.db-wal", "changes.db-shm"), "0o600")


def test_it_is_durable_at_commit(file_record: Record, path: Path) -> None:
    with file_record._engine.connect() as connection:
        assert connection.exec_driver_sql("pragma journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("pragma synchronous").scalar() == 2  # FULL


def test_a_url_opens_the_same_file(path: Path) -> None:
    with Record.open(path) as record:
        record.begin("c-1", data={})
    with Record.open(f"sqlite:///{path}") as record:
        assert [one.change for one in record.changes()] == ["c-1"]


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "mysql://user:word@192.0.2.1/x", "://"])
def test_no_record_elsewhere(url: str) -> None:
    with pytest.raises(RecordError) as caught:
        Record.open(url)
    assert caught.value.next
    assert "word" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"- hosts: pacs\n" * 100])
def test_another_file_is_refused_and_untouched(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "playbook.yaml"
    file.write_bytes(content)
    with pytest.raises(RecordError) as caught:
        Record.open(file)
    assert caught.value.next
    assert file.read_bytes() == content


def test_another_database_is_refused_and_untouched(tmp_path: Path) -> None:
    file = tmp_path / "other.db"
    raw = sqlite3.connect(file)
    raw.execute("create table theirs (a)")
    raw.close()
    before = file.read_bytes()
    with pytest.raises(RecordError, match="no change record"):
        Record.open(file)
    assert file.read_bytes() == before


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for place in (tmp_path / "file" / "x.db", tmp_path):
        with pytest.raises(RecordError, match="permissions"):
            Record.open(place)


def test_nothing_is_left_beside_it(file_record: Record, path: Path) -> None:
    assert not [file for file in path.parent.iterdir() if file.name.startswith(".")]
