"""A record that an older version wrote is opened, migrated and gone on with, on both databases."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from remediate.errors import RecordError
from remediate.record import Record, anchor, schema
from remediate.record.migrations import MIGRATIONS
from tests.record.conftest import BACKENDS
from tests.record.dump import HOLDER, STORED, fill
from tests.record.processes import Start, line
from tests.record.server import Server

#: Of every version: what an anchor says that was kept elsewhere since before the migration.
HEADS = (
    ("20260301-091500-1a2b", 3, "7ccba7c5f7cd622d178540fbd48ebc9bb168287d363f7fd59f0cc16cb7f0eccb"),
    ("20260301-100000-3c4d", 3, "bb87c059e69e573236c667438ec8ab6787082e72dae9529f3f187c797ab7e2ef"),
    ("20260301-110000-5e6f", 2, "106e3fec82867f4bb8949189fbda41cb3ef3c6c5bb2585534f056319f285b4fa"),
)
ANCHOR = anchor.Anchor(
    at=datetime(2026, 3, 2, tzinfo=UTC),
    heads=tuple(anchor.AnchoredHead(change=change, seq=seq, head=head) for change, seq, head in HEADS),
)
IN_FLIGHT = HEADS[-1][0]
Store = Callable[[int], str]


@pytest.fixture
def store(backend: str, tmp_path: Path, request: pytest.FixtureRequest) -> Store:
    """Makes a record as the program of that version left it, and says where it is."""

    def sqlite(version: int) -> str:
        path = tmp_path / f"version-{version}.db"
        with closing(sqlite3.connect(path)) as raw:
            raw.execute("PRAGMA journal_mode=WAL")
            raw.executescript((STORED / f"version-{version}.sqlite.sql").read_text())
        return str(path)

    def postgresql(version: int) -> str:
        server: Server = request.getfixturevalue("server")
        name = server.database()
        server.say((STORED / f"version-{version}.postgresql.sql").read_text(), name)
        return server.url(name)

    return sqlite if backend == "sqlite" else postgresql


def raw_engine(place: str) -> sa.Engine:
    return sa.create_engine(
        place.replace("postgresql:", "postgresql+psycopg:") if ":" in place else f"sqlite:///{place}"
    )


def rows(place: str) -> dict[str, list[Any]]:
    """All that is stored, read past the program."""
    engine = raw_engine(place)
    try:
        with engine.connect() as connection:
            names = sa.inspect(connection).get_table_names()
            return {
                name: sorted(connection.execute(sa.select(sa.text("*")).select_from(sa.table(name))).all(), key=repr)
                for name in names
            }
    finally:
        engine.dispose()


def tables(place: str) -> dict[str, list[Any]]:
    """Columns with types, and keys, as the database has them."""
    engine = raw_engine(place)
    try:
        inspector = sa.inspect(engine)
        return {
            name: [
                *((column["name"], str(column["type"]), column["nullable"]) for column in inspector.get_columns(name)),
                inspector.get_pk_constraint(name)["constrained_columns"],
                inspector.get_indexes(name),
            ]
            for name in inspector.get_table_names()
        }
    finally:
        engine.dispose()


def version_of(place: str) -> int:
    ((version,),) = rows(place)["remediate_schema"]
    return int(version)


# -- each version that ever was -----------------------------------------------------------------------


@pytest.mark.parametrize("name", BACKENDS)
def test_every_version_has_its_stored_record_and_its_step(name: str) -> None:
    stored = {int(path.name.split(".")[0].removeprefix("version-")) for path in STORED.glob(f"*.{name}.sql")}
    assert stored == set(range(1, schema.VERSION + 1)), "see tests/record/stored/README.md"
    assert set(MIGRATIONS) == set(range(1, schema.VERSION))


def test_the_tables_are_those_that_the_version_was_stored_with(store: Store, place: str) -> None:
    """Whoever changes a table raises the version, and the record of the version before is not stored anew."""
    Record.open(place).close()
    assert tables(store(schema.VERSION)) == tables(place), "raise schema.VERSION: tests/record/stored/README.md"


def test_what_is_stored_is_what_the_program_writes(backend: str, store: Store, place: str) -> None:
    fill(place)
    assert rows(store(schema.VERSION)) == rows(place)


@pytest.mark.parametrize("version", range(1, schema.VERSION + 1))
def test_a_stored_record_is_opened_and_gone_on_with(store: Store, place: str, version: int) -> None:
    stored = store(version)
    before = rows(stored)
    with Record.open(stored) as record:
        assert version_of(stored) == schema.VERSION
        assert record.verify() == []
        assert anchor.problems(record, ANCHOR) == []
        assert tuple((one.change, one.entries, one.head) for one in record.changes()) == HEADS
        entry = list(record.journal(HEADS[0][0]))[1]
        assert entry.data == {"device": "fw-north", "text": 'it\'s \\ "quoted"\n\ttwo lines; -- no comment'}
        assert [(lock.resource, lock.fence, lock.owner) for lock in record.holders()] == [
            ("fw-south", 1, HOLDER),
            ("host-key SHA256:AAAA", 1, HOLDER),
        ]
        after = rows(stored)
        for name in ("remediate_entry", "remediate_head"):
            assert after[name] == before[name], "what is chained is stored as it was"

        assert record.journal(IN_FLIGHT).append("resumed", {}).seq == 3
        assert [lock.fence for lock in record.acquire(["fw-south"], IN_FLIGHT, takeover=True)] == [2]
        assert [lock.fence for lock in record.acquire(["fw-north"], "another")] == [3]
        assert record.verify() == []
    Record.open(place).close()
    assert tables(stored) == tables(place), "a migrated record has the tables of a new one"


# -- what can go wrong --------------------------------------------------------------------------------


def test_a_newer_version_is_refused_and_untouched(place: str) -> None:
    with Record.open(place) as record:
        record.begin("c-1", data={})
    raised(place, 1)
    before = rows(place)
    with pytest.raises(RecordError) as caught:
        Record.open(place)
    assert caught.value.what == (
        f"the record has schema version {schema.VERSION + 1}; this program knows up to {schema.VERSION}"
    )
    assert caught.value.next == "use the newer version of remediate that wrote it"
    assert rows(place) == before


def raised(place: str, by: int) -> None:
    """As a newer program's migration would."""
    engine, _ = schema.connect(place)
    with engine.begin() as connection:
        connection.execute(sa.update(schema.schema).values(version=schema.VERSION + by))
    engine.dispose()


def test_who_has_it_open_while_it_is_migrated_writes_nothing_more(place: str) -> None:
    with Record.open(place) as record:
        journal = record.begin("c-1", data={})
        raised(place, 1)
        before = rows(place)
        with pytest.raises(RecordError, match="newer version of remediate"):
            journal.append("step", {})
        with pytest.raises(RecordError, match="newer version of remediate"):
            record.acquire(["fw-a"], "c-1")
        assert rows(place) == before


def test_all_steps_in_their_order_and_each_once(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with Record.open(place) as record:
        record.begin("c-1", data={})
    steps: list[int] = []

    def ran(step: int, _: sa.Connection) -> None:
        steps.append(step)

    for step in (schema.VERSION, schema.VERSION + 1):
        monkeypatch.setitem(MIGRATIONS, step, partial(ran, step))
    monkeypatch.setattr(schema, "VERSION", schema.VERSION + 2)
    for _ in range(2):
        with Record.open(place) as record:
            assert record.verify() == []
    assert steps == [schema.VERSION - 2, schema.VERSION - 1]


def test_a_step_that_fails_changes_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    stored = store(1)
    step = MIGRATIONS[1]

    def half(connection: sa.Connection) -> None:
        step(connection)
        connection.exec_driver_sql("CREATE TABLE another (a INTEGER)")
        connection.exec_driver_sql("nonsense")

    before = rows(stored)
    with monkeypatch.context() as patched:
        patched.setitem(MIGRATIONS, 1, half)
        with pytest.raises(RecordError, match="cannot be used"):
            Record.open(stored)
    assert rows(stored) == before
    with Record.open(stored) as record:
        assert record.verify() == []


def test_killed_in_the_middle_it_is_as_it_was(store: Store, start: Start) -> None:
    stored = store(1)
    before = rows(stored)
    child = start("migrate", "x", place=stored)
    assert line(child) == "in the middle"
    child.kill()
    child.wait()
    assert rows(stored) == before
    with Record.open(stored) as record:
        assert record.verify() == []
        assert anchor.problems(record, ANCHOR) == []
    assert version_of(stored) == schema.VERSION


def test_eight_open_it_at_once_and_one_migrates_it(store: Store, start: Start) -> None:
    """A second one that migrated too would fail: the column is there."""
    stored = store(1)
    children = [start("append", IN_FLIGHT, "5", place=stored) for _ in range(8)]
    for child in children:
        assert line(child) == "ready"
        child.communicate("\n")
    assert [child.returncode for child in children] == [0] * 8
    with Record.open(stored) as record:
        assert record.verify() == []
        assert record.journal(IN_FLIGHT).append("resumed", {}).seq == 2 + 8 * 5 + 1


@pytest.mark.parametrize("backend", ["postgresql"])
def test_a_migration_waits_for_who_is_writing(store: Store, start: Start, server: Server) -> None:
    """On SQLite the write lock of the whole file does that."""
    stored = store(1)
    name = stored.partition("@/")[2].partition("?")[0]
    waiting = b"SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'remediate_schema'::regclass"
    with server.connect(name) as writer:
        with writer.transaction():
            writer.execute("SELECT version FROM remediate_schema")
            child = start("open", "x", place=stored)
            with server.connect(name) as looking:
                while looking.execute(waiting).fetchone() == (0,):
                    assert child.poll() is None
                    time.sleep(0.05)
            writer.execute("UPDATE remediate_schema SET version = version")  # it has not begun
        assert line(child) == "open"
    assert version_of(stored) == schema.VERSION
