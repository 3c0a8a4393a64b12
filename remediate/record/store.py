"""The record as the rest of the program uses it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from remediate.errors import RecordError
from remediate.model.base import Value
from remediate.model.change import Entry
from remediate.record import chain, locks, schema
from remediate.record.body import body
from remediate.record.locks import Lock
from remediate.record.writer import Writer

T = TypeVar("T")
Clock = Callable[[], datetime]

_CHANGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_ENTRY = sa.select(*(schema.entry.c[name] for name in chain.Stored._fields))
_HEAD = sa.select(schema.head.c.change, *(schema.head.c[name] for name in chain.Head._fields))
_BUMP = (
    sa.update(schema.head)
    .where(schema.head.c.change == sa.bindparam("of"))
    .values(seq=schema.head.c.seq + 1)
    .returning(schema.head.c.seq, schema.head.c.hash)
)
_SET_HEAD = sa.update(schema.head).where(schema.head.c.change == sa.bindparam("of")).values(hash=sa.bindparam("to"))


def now() -> datetime:
    return datetime.now(UTC)


class ChangeSummary(Value):
    """``last_kind``: of the last entry; ``head``: its hash, to be kept elsewhere as well."""

    change: str
    begun_at: datetime
    last_kind: str
    entries: int
    head: str


class Record:
    """One database of changes. Thread-safe; not to be carried over a fork."""

    def __init__(self, engine: sa.Engine, where: str, clock: Clock = now) -> None:
        self._engine = engine
        self._reader = schema.reader(engine)
        self._where = where
        self._clock = clock
        self._writer = Writer(engine, schema.there(engine), lambda connection: schema.ready(connection, where))

    @classmethod
    def open(cls, url_or_path: str | Path, *, clock: Clock = now) -> Record:
        """A file (created 0600, its folder 0700, where missing) or a ``postgresql://`` URL. An older one is migrated.

        RecordError: it belongs to something else, has a newer schema, cannot be written, or its server would lose in a
        crash what it acknowledged.
        """
        return cls(*schema.connect(url_or_path), clock)

    def begin(self, change: str, *, kind: str = "planned", data: Mapping[str, Any]) -> ChangeJournal:
        """The journal of a new change, its first entry durable. RecordError if there is such a change already."""
        if not _CHANGE.fullmatch(change):
            raise RecordError(
                f"{change!r} cannot name a change", next="use up to 63 letters, digits, dots, dashes and underscores"
            )
        text, kind = body(data), _kind(kind)

        def first(connection: sa.Connection) -> None:
            at = self._at()
            new = chain.link(chain.START, change, 1, at, kind, text)
            connection.execute(sa.insert(schema.head).values(change=change, begun_at=at, seq=1, hash=new))
            stored = chain.Stored(change, 1, at, kind, text, chain.START, new)
            connection.execute(sa.insert(schema.entry), stored._asdict())

        try:
            self._write(first)
        except RecordError as error:
            if isinstance(error.__cause__, IntegrityError):
                raise RecordError(
                    f"change {change} is in the record already",
                    where=self._where,
                    next=f"`remediate resume {change}` goes on with it; or choose another name",
                ) from error.__cause__
            raise
        return ChangeJournal(self, change)

    def journal(self, change: str) -> ChangeJournal:
        if not _CHANGE.fullmatch(change):
            raise self._unknown(change)
        with self._reading() as connection:
            if connection.execute(_HEAD.where(schema.head.c.change == change)).one_or_none() is None:
                raise self._unknown(change)
        return ChangeJournal(self, change)

    def changes(self) -> list[ChangeSummary]:
        """Newest last."""
        head, entry = schema.head, schema.entry
        last = sa.and_(entry.c.change == head.c.change, entry.c.seq == head.c.seq)
        query = sa.select(
            head.c.change,
            head.c.begun_at,
            sa.func.coalesce(entry.c.kind, "missing").label("last_kind"),
            head.c.seq.label("entries"),
            head.c.hash.label("head"),
        ).select_from(head.outerjoin(entry, last))
        with self._reading() as connection:
            rows = connection.execute(query.order_by(head.c.begun_at, head.c.change)).all()
        return [ChangeSummary.model_validate(dict(row._mapping)) for row in rows]

    def verify(self, change: str | None = None) -> list[str]:
        """The problems found in one chain or in all; every hash is computed anew from the stored text."""
        with self._reading() as connection:
            heads = {row.change: chain.Head(row.begun_at, row.seq, row.hash) for row in connection.execute(_HEAD)}
            names = {*heads, *connection.execute(sa.select(schema.entry.c.change).distinct()).scalars()}
            if change is not None and change not in names:
                raise self._unknown(change)
            found = []
            for name in sorted(names) if change is None else [change]:
                found += chain.problems(name, _stored(connection, name), heads.get(name))
        return found

    def acquire(
        self, resources: Iterable[str], change: str, *, takeover: bool = False, device: str | None = None
    ) -> list[Lock]:
        """Locks on all of them, or Locked, which names the holders. This process's own are simply given again.

        takeover: also take those whose process is provably dead, and those of the same change unless their
        process is seen alive on this host.

        device: its name in the inventory, where the resources are what the device is known by whatever it is called
        (host key, serial number). InventoryError: in this change it has another name as well.
        """
        names = sorted(set(resources))
        return self._write(lambda connection: locks.acquire(connection, names, change, self._at(), takeover, device))

    def release(self, change: str) -> None:
        """Frees all that this process holds for the change."""
        self._write(lambda connection: locks.release(connection, change))

    def holders(self) -> list[Lock]:
        with self._reading() as connection:
            return locks.holders(connection)

    def close(self) -> None:
        """Everything acknowledged is durable before; may be called more than once."""
        self._writer.close()
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    # -- for ChangeJournal ----------------------------------------------------------------------------

    def _append(self, change: str, kind: str, data: Mapping[str, Any]) -> Entry:
        text, kind = body(data), _kind(kind)

        def append(connection: sa.Connection) -> chain.Stored:
            # The first statement is a write: whoever appends next, here or elsewhere, waits for this commit.
            row = connection.execute(_BUMP, {"of": change}).one_or_none()
            if row is None:
                raise self._unknown(change)
            at = self._at()
            new = chain.link(row.hash, change, row.seq, at, kind, text)
            stored = chain.Stored(change, row.seq, at, kind, text, row.hash, new)
            connection.execute(sa.insert(schema.entry), stored._asdict())
            connection.execute(_SET_HEAD, {"of": change, "to": new})
            return stored

        return _entry(self._write(append))

    def _entries(self, change: str) -> list[Entry]:
        with self._reading() as connection:
            return [self._entry_of(row) for row in _stored(connection, change)]

    # -------------------------------------------------------------------------------------------------

    def _entry_of(self, stored: chain.Stored) -> Entry:
        try:
            return _entry(stored)
        except ValueError as error:
            raise RecordError(
                f"entry {stored.seq} of change {stored.change} cannot be read",
                where=self._where,
                next=f"`remediate record verify {stored.change}`",
            ) from error

    def _write(self, work: Callable[[sa.Connection], T]) -> T:
        with schema.translated(self._where):
            return self._writer.write(work)

    @contextmanager
    def _reading(self) -> Iterator[sa.Connection]:
        with schema.translated(self._where), self._reader.connect() as connection:
            yield connection

    def _at(self) -> str:
        """As it is stored and hashed."""
        at = self._clock()
        if at.tzinfo is None:
            raise RecordError("the clock gave a time without its zone", next="report this as a bug")
        return at.astimezone(UTC).isoformat(timespec="microseconds")

    def _unknown(self, change: str) -> RecordError:
        return RecordError(
            f"there is no change {change} in the record", where=self._where, next="`remediate record list` shows them"
        )


class ChangeJournal:
    """The journal of one change: ``model.change.Journal``. Thread-safe."""

    def __init__(self, record: Record, change: str) -> None:
        self._record = record
        self._change = change

    @property
    def change(self) -> str:
        return self._change

    def append(self, kind: str, data: Mapping[str, Any]) -> Entry:
        """Durable once it returns. RecordError: the entry must be taken as not written, and the step as not allowed."""
        return self._record._append(self._change, kind, data)

    def __iter__(self) -> Iterator[Entry]:
        """The entries at this moment, in order; later ones are not waited for."""
        return iter(self._record._entries(self._change))


def _kind(kind: str) -> str:
    """A word or two; a line feed in it would make the hashed text ambiguous."""
    if not (0 < len(kind) <= 64 and kind.isprintable()):
        raise RecordError(f"{kind!r} cannot be the kind of an entry", next="report this as a bug; nothing was written")
    return str(kind)


def _stored(connection: sa.Connection, change: str) -> Iterator[chain.Stored]:
    rows = connection.execute(_ENTRY.where(schema.entry.c.change == change).order_by(schema.entry.c.seq))
    return (chain.Stored(*row) for row in rows)


def _entry(stored: chain.Stored) -> Entry:
    values = stored._asdict() | {"at": datetime.fromisoformat(stored.at)}
    return Entry(data=json.loads(values.pop("body")), **values)
