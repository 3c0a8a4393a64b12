"""What was taken out of the record in time shows what a chain alone cannot."""

from __future__ import annotations

import socket
import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from remediate.errors import RecordError, SignatureError
from remediate.model.base import canonical
from remediate.record import Record, anchor, chain


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "auditor"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    (tmp_path / "allowed").write_text(f"auditor {path.with_suffix('.pub').read_text()}")
    return path


def filled(path: Path) -> None:
    with Record.open(path) as record:
        for name in ("one", "two"):
            journal = record.begin(name, data={"n": 0})
            for number in range(1, 5):
                journal.append("step", {"n": number})


def rewritten(path: Path, *, entries: int, change: Callable[[int, str], str] = lambda _, body: body) -> None:
    """Somebody who may write the database makes change ``one`` anew, chain and head included."""
    with sqlite3.connect(path) as db:
        rows = db.execute("SELECT seq, at, kind, body FROM remediate_entry WHERE change='one' ORDER BY seq").fetchall()
        previous = chain.START
        for seq, at, kind, stored in rows[:entries]:
            body = change(seq, stored)
            new = chain.link(previous, "one", seq, at, kind, body)
            db.execute(
                "UPDATE remediate_entry SET body=?, previous=?, hash=? WHERE change='one' AND seq=?",
                (body, previous, new, seq),
            )
            previous = new
        db.execute("DELETE FROM remediate_entry WHERE change='one' AND seq>?", (entries,))
        db.execute("UPDATE remediate_head SET seq=?, hash=? WHERE change='one'", (entries, previous))
    db.close()


def anchored(path: Path, key: Path) -> anchor.Anchor:
    with Record.open(path) as record:
        return anchor.signed(anchor.of(record), key)


def found(path: Path, made: anchor.Anchor) -> list[str]:
    with Record.open(path) as record:
        assert record.verify() == [], "the chain alone does not show it"
        return anchor.problems(record, made)


def test_a_record_that_went_on_is_as_anchored(path: Path, key: Path, tmp_path: Path) -> None:
    filled(path)
    made = anchored(path, key)
    with Record.open(path) as record:
        record.journal("one").append("later", {})
        record.begin("three", data={})
    assert found(path, made) == []
    assert anchor.signer(made, tmp_path / "allowed").startswith("auditor (SHA256:")
    assert anchor.signer(made, None).startswith("key SHA256:")


def test_a_cut_tail(path: Path, key: Path) -> None:
    filled(path)
    made = anchored(path, key)
    rewritten(path, entries=3)
    assert found(path, made) == ["one: was anchored with 5 entries, 3 are there: its end was cut off"]


def test_a_full_rewrite(path: Path, key: Path) -> None:
    filled(path)
    made = anchored(path, key)
    rewritten(path, entries=5, change=lambda seq, body: canonical({"n": 99}) if seq == 2 else body)
    assert found(path, made) == ["one: entry 5 is not the one that was anchored: the chain was rewritten"]


def test_a_cut_tail_that_has_grown_again(path: Path, key: Path) -> None:
    filled(path)
    made = anchored(path, key)
    rewritten(path, entries=3)
    with Record.open(path) as record:
        for number in (7, 8, 9):
            record.journal("one").append("step", {"n": number})
    assert found(path, made) == ["one: entry 5 is not the one that was anchored: the chain was rewritten"]


def test_a_change_that_is_gone(path: Path, key: Path) -> None:
    filled(path)
    made = anchored(path, key)
    with sqlite3.connect(path) as db:
        db.execute("DELETE FROM remediate_entry WHERE change='one'")
        db.execute("DELETE FROM remediate_head WHERE change='one'")
    db.close()
    assert found(path, made) == ["one: was anchored with 5 entries, and is no longer in the record"]


def test_an_anchor_that_was_changed(path: Path, key: Path, tmp_path: Path) -> None:
    filled(path)
    made = anchored(path, key)
    fewer = made.model_copy(update={"heads": made.heads[1:]})
    for allowed in (None, tmp_path / "allowed"):
        with pytest.raises(SignatureError, match="the signature does not fit"):
            anchor.signer(fewer, allowed)
    with pytest.raises(SignatureError, match="the signature does not fit"):
        anchor.signer(made.model_copy(update={"signature": ""}), None)


def test_by_somebody_who_does_not_count(path: Path, key: Path, tmp_path: Path) -> None:
    filled(path)
    made = anchored(path, key)
    (tmp_path / "allowed").write_text("")
    with pytest.raises(SignatureError, match="is not among the allowed signers"):
        anchor.signer(made, tmp_path / "allowed")


def test_what_is_not_anchored(path: Path, key: Path, tmp_path: Path) -> None:
    with Record.open(path) as record, pytest.raises(RecordError, match="there is no change to anchor"):
        anchor.of(record)
    filled(path)
    with sqlite3.connect(path) as db:
        db.execute("UPDATE remediate_entry SET kind='other' WHERE change='one' AND seq=2")
    db.close()
    with Record.open(path) as record:
        with pytest.raises(RecordError, match="a broken chain is not anchored"):
            anchor.of(record)
        assert [one.change for one in anchor.of(record, "two").heads] == ["two"]
        with pytest.raises(RecordError, match="there is no change three"):
            anchor.of(record, "three")
    (tmp_path / "junk").write_text("{}")
    for name, text in (("junk", "this is not an anchor"), ("gone", "the anchor cannot be read: No such file")):
        with pytest.raises(RecordError, match=text):
            anchor.read(tmp_path / name)


def test_the_file_comes_back(path: Path, key: Path, tmp_path: Path) -> None:
    filled(path)
    made = anchored(path, key)
    (tmp_path / "anchor.json").write_text(made.model_dump_json(indent=2))
    assert anchor.read(tmp_path / "anchor.json") == made


def test_syslog(path: Path) -> None:
    filled(path)
    with Record.open(path) as record:
        made = anchor.of(record)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(5)
        anchor.to_syslog(made.heads, f"127.0.0.1:{server.getsockname()[1]}")
        lines = [server.recv(2048).decode().rstrip("\0") for _ in made.heads]
    assert lines == [f"<86>remediate: anchor change {h.change} entries 5 head {h.head}" for h in made.heads]


@pytest.mark.parametrize("address", ["/nowhere/log", "host:port"])
def test_no_syslog_there(path: Path, address: str) -> None:
    filled(path)
    with Record.open(path) as record, pytest.raises(RecordError, match="the heads could not be sent to syslog"):
        anchor.to_syslog(anchor.of(record).heads, address)
