"""The tables, their version, and how a record is opened or created."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from remediate.errors import RecordError
from remediate.record import postgresql
from remediate.record.migrations import MIGRATIONS

#: Of the tables below. Whoever changes one raises it, and adds the step from the version before to ``migrations``.
VERSION = 2

metadata = sa.MetaData()
schema = sa.Table("remediate_schema", metadata, sa.Column("version", sa.Integer, nullable=False))
head = sa.Table(
    "remediate_head",
    metadata,
    sa.Column("change", sa.String(63), primary_key=True),
    sa.Column("begun_at", sa.String(40), nullable=False),
    sa.Column("seq", sa.Integer, nullable=False),
    sa.Column("hash", sa.String(64), nullable=False),
)
entry = sa.Table(
    "remediate_entry",
    metadata,
    sa.Column("change", sa.String(63), primary_key=True),
    sa.Column("seq", sa.Integer, primary_key=True),
    sa.Column("at", sa.String(40), nullable=False),
    sa.Column("kind", sa.String(64), nullable=False),
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("previous", sa.String(64), nullable=False),
    sa.Column("hash", sa.String(64), nullable=False),
)
# A released lock keeps its row, with no change in it, so that its fencing number never starts again. `device`: what the
# holder's inventory calls the device, where `resource` is an identity that several names may have.
lock = sa.Table(
    "remediate_lock",
    metadata,
    sa.Column("resource", sa.String(255), primary_key=True),
    sa.Column("fence", sa.BigInteger, nullable=False),
    sa.Column("change", sa.String(63)),
    sa.Column("host", sa.String(255)),
    sa.Column("boot_id", sa.String(64)),
    sa.Column("pid_namespace", sa.String(64)),
    sa.Column("pid", sa.BigInteger),
    sa.Column("started", sa.BigInteger),
    sa.Column("since", sa.String(40)),
    sa.Column("device", sa.String(63)),
)

#: One write at a time in the whole record, on every database: the first statement of what must not interleave.
exclusive = sa.update(schema).values(version=schema.c.version).returning(schema.c.version)


@contextmanager
def translated(where: str) -> Iterator[None]:
    try:
        yield
    except (SQLAlchemyError, sqlite3.Error, OSError) as error:
        # Not the whole text of SQLAlchemy's errors: they quote statements.
        reason = getattr(error, "orig", None) or error
        check = "that the server runs, lets you in and has" if "://" in where else "the path, its permissions and the"
        raise RecordError(
            f"the record cannot be used: {reason}",
            where=where,
            next=f"check {check} free space; no device is touched without a record",
        ) from error


def connect(url_or_path: str | Path) -> tuple[sa.Engine, str]:
    """An engine on a record of our version, created or migrated where needed, and its name for people."""
    if isinstance(url_or_path, str) and "://" in url_or_path:
        try:
            url = sa.make_url(url_or_path)
        except ArgumentError as error:
            raise RecordError("not a database URL", next="give a file, or postgresql://user@host/name") from error
        if url.get_backend_name() == "postgresql":
            return _postgresql(url)
        if url.get_backend_name() != "sqlite" or not url.database or url.database == ":memory:":
            raise RecordError(
                "a record is kept in an SQLite file or in PostgreSQL",
                where=url.render_as_string(hide_password=True),
                next="give a file, or postgresql://user@host/name",
            )
        url_or_path = url.database
    return _sqlite(Path(url_or_path))


def _postgresql(url: sa.URL) -> tuple[sa.Engine, str]:
    where = url.render_as_string(hide_password=True)
    engine = postgresql.engine(url)
    with translated(where):
        try:
            _prepare(engine, where, create=True)
        except BaseException:  # Ctrl-C too: nobody else would close the connections
            engine.dispose()
            raise
    return engine, where


def _sqlite(path: Path) -> tuple[sa.Engine, str]:
    where = str(path)
    with translated(where):
        if not path.exists():
            _create(path)
        engine = _engine(path)
        try:
            _prepare(engine, where, create=False)
        except BaseException:  # Ctrl-C too: nobody else would close the connections
            engine.dispose()
            raise
    return engine, where


def _create(path: Path) -> None:
    """Made under another name and linked into place, so that nobody ever meets half a record.

    The switch to WAL on a file that others are opening too may fail with "database is locked", whatever the
    time-out; so it is over before anybody else can see the file.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # 0600
    os.close(handle)
    try:
        engine = _engine(Path(name))
        try:
            raw = engine.raw_connection()
            try:
                raw.cursor().execute("PRAGMA journal_mode=WAL")
            finally:
                raw.close()
            _prepare(engine, str(path), create=True)
        finally:
            engine.dispose()  # the last connection: everything is in the file itself now
        try:
            path.hardlink_to(name)
        except FileExistsError:
            return  # another process was faster; its record is as good
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    finally:
        Path(name).unlink()


def _engine(path: Path) -> sa.Engine:
    engine = sa.create_engine(sa.URL.create("sqlite", database=str(path)), hide_parameters=True)

    @sa.event.listens_for(engine, "connect")
    def set_up(dbapi: Any, _record: object) -> None:
        dbapi.isolation_level = None  # sqlite3 itself opens no transaction; `begin` below does
        dbapi.execute("PRAGMA busy_timeout=60000")
        dbapi.execute("PRAGMA synchronous=FULL")

    @sa.event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        reading = connection.get_execution_options().get("reading", False)
        connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")

    return engine


def there(engine: sa.Engine) -> Callable[[], bool]:
    """Says whether the path still leads to the file as it is now: SQLite goes on writing to one that was moved or
    removed, as when its file system was unmounted, and says nothing.
    """
    if engine.dialect.name != "sqlite":
        return lambda: True
    path = Path(str(engine.url.database))
    opened = path.stat().st_ino

    def same() -> bool:
        try:
            return path.stat().st_ino == opened
        except OSError:
            return False

    return same


def reader(engine: sa.Engine) -> sa.Engine:
    """The same database, for reading: one snapshot for all statements of a transaction, and never a lock."""
    if engine.dialect.name == "postgresql":
        return engine.execution_options(isolation_level="REPEATABLE READ")
    return engine.execution_options(reading=True)


def ready(connection: sa.Connection, where: str) -> None:
    """To be called first in each transaction that writes: it will be durable, and it fits the tables as they are now.

    RecordError otherwise. A newer program may have migrated the record since it was opened; no migration begins between
    this and the transaction's end.
    """
    if connection.dialect.name == "postgresql":
        postgresql.raise_durability(connection, where)
    _check_version(connection.execute(sa.select(schema.c.version)).scalar_one(), where)


def _prepare(engine: sa.Engine, where: str, *, create: bool) -> None:
    with engine.begin() as connection:  # on SQLite a write lock at once: what is read here decides what is written
        if engine.dialect.name == "postgresql":
            postgresql.raise_durability(connection, where)
            postgresql.alone(connection)
        tables = sa.inspect(connection).get_table_names()
        if schema.name not in tables:
            if tables or not create:
                raise RecordError("this is no change record", where=where, next="give the record a place of its own")
            metadata.create_all(connection)
            connection.execute(sa.insert(schema).values(version=VERSION))
            return
        version = connection.execute(sa.select(schema.c.version)).scalar_one()
        _check_version(version, where)
        if version < VERSION:
            _migrate(connection, version)


def _migrate(connection: sa.Connection, version: int) -> None:
    """In the transaction of the caller, who is alone in opening the record."""
    if connection.dialect.name == "postgresql":  # whoever writes has read it, and is waited for; who will, waits
        connection.exec_driver_sql(f"LOCK TABLE {schema.name} IN ACCESS EXCLUSIVE MODE")
    for step in range(version, VERSION):
        MIGRATIONS[step](connection)
    connection.execute(sa.update(schema).values(version=VERSION))


def _check_version(version: int, where: str) -> None:
    if version > VERSION:
        raise RecordError(
            f"the record has schema version {version}; this program knows up to {VERSION}",
            where=where,
            next="use the newer version of remediate that wrote it",
        )
