"""A journal that ends at a chosen entry, as if the program had been killed there."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

from remediate.model.change import Entry, Journal
from remediate.record import ChangeJournal, Record
from remediate.record.store import Clock, now


class Stopped(Exception):
    """The journal ended here. No error of ``remediate.errors``: nothing in the program handles it, as nothing
    handles a crash."""


class JournalThatStops:
    """Passes everything on to ``journal`` up to entry ``at`` (counted as in `record show`), and then raises Stopped,
    for that entry and for every later one.

    With ``lost=False`` entry ``at`` is durable, and nothing that it announces has been done. With ``lost=True`` it
    is not written: everything that the entry before announces has been done.
    """

    def __init__(self, journal: Journal, at: int, *, lost: bool = False) -> None:
        self._journal = journal
        self._at = at
        self._lost = lost
        self._written = sum(1 for _ in journal)
        self._lock = threading.Lock()  # devices are pushed to at the same time, each from a thread of its own

    @property
    def change(self) -> str:
        return self._journal.change

    def append(self, kind: str, data: Mapping[str, Any]) -> Entry:
        with self._lock:
            number = self._written + 1
            if number > self._at or (self._lost and number == self._at):
                raise Stopped(f"before entry {number}, {kind}")
            entry = self._journal.append(kind, data)
            self._written = number
        if number == self._at:
            raise Stopped(f"after entry {number}, {kind}")
        return entry

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._journal)


class _Ended(ChangeJournal):
    """What the record hands out: the journal that stops, in the type that the program expects."""

    def __init__(self, record: Record, change: str, at: int, lost: bool) -> None:
        super().__init__(record, change)
        self._stops = JournalThatStops(ChangeJournal(record, change), at, lost=lost)

    def append(self, kind: str, data: Mapping[str, Any]) -> Entry:
        return self._stops.append(kind, data)


class RecordThatStops(Record):
    """A record on disk, like any other, that hands out journals that stop. Open it again as ``Record`` to resume."""

    _stops_at = 0
    _lost = False

    @classmethod
    def open(cls, url_or_path: str | Path, *, clock: Clock = now, at: int = 0, lost: bool = False) -> Self:
        """``at``, ``lost``: as for JournalThatStops; 0: never."""
        opened = super().open(url_or_path, clock=clock)
        assert isinstance(opened, cls)
        opened._stops_at, opened._lost = at, lost
        return opened

    def begin(self, change: str, *, kind: str = "planned", data: Mapping[str, Any]) -> ChangeJournal:
        if self._stops_at == 1 and self._lost:
            raise Stopped(f"before entry 1, {kind}")
        journal = super().begin(change, kind=kind, data=data)
        if self._stops_at == 1:
            raise Stopped(f"after entry 1, {kind}")
        return _Ended(self, change, self._stops_at, self._lost) if self._stops_at else journal

    def journal(self, change: str) -> ChangeJournal:
        found = super().journal(change)
        return _Ended(self, change, self._stops_at, self._lost) if self._stops_at else found
