"""What a PostgreSQL server acknowledged is there after it was stopped, whatever its administrator has set."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from remediate.errors import RecordError
from remediate.record import Record, writer
from tests.record.processes import Start, line
from tests.record.server import Server

ENTRIES = 30


@pytest.fixture
def name(server: Server) -> str:
    return server.database()


@pytest.fixture
def lazy(request: pytest.FixtureRequest, server: Server, name: str) -> Iterator[str]:
    """The URL of a record whose commits do not wait for the disk, by what has set that."""
    user = f"clerk_{name}"
    server.say(f"CREATE ROLE {user} LOGIN")
    server.say(f"ALTER DATABASE {name} OWNER TO {user}")
    match request.param:
        case "server":
            with server.with_setting("synchronous_commit", "off"):
                yield server.url(name, user)
        case "database":
            server.say(f"ALTER DATABASE {name} SET synchronous_commit = off")
            yield server.url(name, user)
        case "role":
            server.say(f"ALTER ROLE {user} SET synchronous_commit = off")
            yield server.url(name, user)
        case "address":
            yield server.url(name, user) + "&options=-csynchronous_commit%3Doff"


# -- durable ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lazy", "mode"),
    [("server", "fast"), *((by, "immediate") for by in ("server", "database", "role", "address"))],
    indirect=["lazy"],
)
def test_what_was_acknowledged_is_there_after_a_stop(server: Server, lazy: str, mode: str) -> None:
    with Record.open(lazy) as record:
        journal = record.begin("c-1", data={})
        acknowledged = [journal.append("step", {"number": number}) for number in range(ENTRIES)]
        record.acquire(["fw-a"], "c-1")
        with server.stopped(mode):
            pass
        with Record.open(lazy) as again:
            assert list(again.journal("c-1"))[1:] == acknowledged
            assert again.verify() == []
            assert [lock.resource for lock in again.holders()] == ["fw-a"]
        assert journal.append("step", {}).seq == ENTRIES + 2, "and the open record goes on"


@pytest.mark.parametrize("lazy", ["server"], indirect=True)
def test_stopped_while_four_threads_append_nothing_acknowledged_is_lost(
    server: Server, lazy: str, start: Start
) -> None:
    with Record.open(lazy) as record:
        record.begin("c-1", data={})
    child = start("append-until-killed", "c-1", place=lazy)
    acknowledged = [line(child) for _ in range(100)]
    with server.stopped("immediate"):
        pass
    acknowledged += [line(child) for _ in range(100)]  # some were waiting for the server, and got there afterwards
    child.kill()
    assert child.stdout is not None
    acknowledged += [rest.strip() for rest in child.stdout if rest.endswith("\n")]
    child.wait()
    with Record.open(lazy) as record:
        assert record.verify() == []
        assert set(acknowledged) <= {f"{entry.seq} {entry.hash}" for entry in record.journal("c-1")}


@pytest.mark.parametrize(
    ("setting", "kept"),
    [("off", "on"), ("local", "local"), ("remote_write", "remote_write"), ("on", "on"), ("remote_apply",) * 2],
)
def test_only_a_commit_that_would_not_wait_is_made_to(server: Server, name: str, setting: str, kept: str) -> None:
    """From ``local`` on it waits for this server's disk; what the others ask of standby servers is left alone."""
    server.say(f"ALTER DATABASE {name} SET synchronous_commit = {setting}")
    with Record.open(server.url(name)) as record:
        show = "SHOW synchronous_commit"
        assert record._write(lambda connection: connection.exec_driver_sql(show).scalar_one()) == kept
        with record._reading() as connection:
            assert connection.exec_driver_sql(show).scalar_one() == setting, "for its own transactions only"


# -- refused ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("setting", ["fsync", "full_page_writes"])
def test_a_server_that_may_lose_what_it_acknowledged_is_refused(server: Server, name: str, setting: str) -> None:
    other = server.database()
    with Record.open(server.url(name)) as record:
        journal = record.begin("c-1", data={})
        with server.with_setting(setting, "off"):
            with pytest.raises(RecordError) as caught:
                Record.open(server.url(other))
            with pytest.raises(RecordError) as later:
                journal.append("step", {})  # it was set while the record was open
        assert caught.value.where.startswith(f"postgresql://postgres@/{other}")
        assert str(caught.value).partition(": this ")[2] == (
            f"PostgreSQL server has {setting} = off: a crash of its machine can lose or corrupt entries that it "
            "acknowledged\n"
            f"  next: ALTER SYSTEM SET {setting} = on; SELECT pg_reload_conf(); or keep the record on another server"
        )
        assert setting in later.value.what
        assert journal.append("step", {}).seq == 2
    with server.connect(other) as connection:
        assert connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone() == (0,)


def test_a_database_that_cannot_hold_every_text_is_refused(server: Server) -> None:
    """Debian's own cluster is SQL_ASCII where the machine was installed without a locale."""
    name = server.database("ENCODING 'SQL_ASCII' TEMPLATE template0")
    with pytest.raises(RecordError, match=r"(?s)encoding is SQL_ASCII.*CREATE DATABASE name ENCODING 'UTF8'"):
        Record.open(server.url(name))


def test_texts_are_utf_8_whatever_the_environment_says(
    server: Server, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGCLIENTENCODING", "LATIN1")
    with Record.open(server.url(name)) as record:
        record.begin("c-1", data={"operator": "Zoë", "scope": "…", "place": "病院"})
        assert record.verify() == []


def test_a_database_of_somebody_elses_is_refused_and_untouched(server: Server, name: str) -> None:
    server.say("CREATE TABLE theirs (a integer)", name)
    with pytest.raises(RecordError, match="no change record"):
        Record.open(server.url(name))
    with server.connect(name) as connection:
        tables = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
        assert connection.execute(tables).fetchall() == [("theirs",)]


def test_another_driver_is_refused() -> None:
    with pytest.raises(RecordError, match=r"(?s)driver pg8000.*write postgresql://"):
        Record.open("postgresql+pg8000://clerk@/records")


# -- away ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_a_server_that_restarts_is_waited_for(
    server: Server, name: str, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = threading.Event()

    class Time:
        monotonic = staticmethod(time.monotonic)

        @staticmethod
        def sleep(seconds: float) -> None:
            waiting.set()
            time.sleep(seconds)

    with Record.open(server.url(name)) as record:
        journal = record.begin("c-1", data={})
        with server.stopped(mode):
            monkeypatch.setattr(writer, "time", Time)
            thread = threading.Thread(target=journal.append, args=("step", {"number": 1}))
            thread.start()
            assert waiting.wait(60), "it asks again"
            assert thread.is_alive()
        thread.join()
        assert [entry.data.get("number") for entry in journal] == [None, 1]
        assert record.verify() == []


def test_a_server_that_stays_away_is_an_error(server: Server, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "GONE", 0.3)
    with Record.open(server.url(name)) as record:
        journal = record.begin("c-1", data={})
        with server.stopped("fast"):
            with pytest.raises(RecordError, match=r"(?s)cannot be used.*check that the server runs"):
                journal.append("step", {})
            with pytest.raises(RecordError, match="check that the server runs"):
                Record.open(server.url(name))
        assert journal.append("step", {}).seq == 2


def test_a_password_is_never_shown(tmp_path: Path) -> None:
    with pytest.raises(RecordError) as caught:
        Record.open(f"postgresql://clerk:hush@/records?host={tmp_path}")
    assert "hush" not in str(caught.value)
    assert "clerk:***@" in str(caught.value)
