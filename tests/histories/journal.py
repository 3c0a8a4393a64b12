"""A change record, read with sqlite3 and JSON alone: what is called confirmed, and what has not ended."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

#: States of a wave in which a device may hold something provisional.
_IN_FLIGHT = frozenset({"armed", "pushed", "verified", "rolling back", "needs hands"})
_CONFIRMED = "confirmed"


@dataclass
class Wave:
    """``guards``: archive → whether its guard is there once this wave is confirmed. ``pacs``: all that it names."""

    pacs: tuple[str, ...]
    devices: tuple[str, ...]
    guards: dict[str, bool]
    state: str = "planned"
    confirmed_at: str = ""

    @property
    def in_flight(self) -> bool:
        return self.state in _IN_FLIGHT


@dataclass
class Change:
    name: str
    begun_at: str
    waves: dict[int, Wave] = field(default_factory=dict)
    kinds: list[str] = field(default_factory=list)
    takes_back: str = ""

    @property
    def ended(self) -> bool:
        return "ended" in self.kinds

    @property
    def confirmed(self) -> bool:
        return any(wave.state == _CONFIRMED for wave in self.waves.values())

    @property
    def devices(self) -> set[str]:
        return {device for wave in self.waves.values() for device in wave.devices}


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)


class Tail:
    """The kinds of the entries that are written from here on."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._last = 0
        self._connection: sqlite3.Connection | None = None
        list(self.kinds())

    def kinds(self) -> Iterator[str]:
        if self._connection is None:
            if not self._path.exists():
                return
            self._connection = _connect(self._path)
        try:
            rows = self._connection.execute(
                "SELECT rowid, kind FROM remediate_entry WHERE rowid > ? ORDER BY rowid", (self._last,)
            ).fetchall()
        except sqlite3.OperationalError:  # it is being made this moment
            return
        for number, kind in rows:
            self._last = number
            yield str(kind)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()


def changes(path: Path) -> list[Change]:
    """In the order in which they were begun."""
    if not path.exists():
        return []
    found: dict[str, Change] = {}
    with closing(_connect(path)) as connection:
        for name, begun in connection.execute("SELECT change, begun_at FROM remediate_head ORDER BY begun_at, change"):
            found[name] = Change(name, begun)
        rows = connection.execute("SELECT change, at, kind, body FROM remediate_entry ORDER BY change, seq")
        for name, at, kind, body in rows:
            _take(found[name], str(at), str(kind), body)
    return list(found.values())


def _take(change: Change, at: str, kind: str, body: str) -> None:
    change.kinds.append(kind)
    data: dict[str, Any] = json.loads(body)
    data = data.get("data", data)
    if "plan" in data and not change.waves:
        change.takes_back = data["plan"].get("inputs", {}).get("takes back", "")
        change.waves = {wave["number"]: _wave(wave) for wave in data["plan"]["waves"]}
    wave = change.waves.get(data.get("wave", 0))
    if wave is not None and "state" in data:
        wave.state = data["state"]
        if wave.state == _CONFIRMED:
            wave.confirmed_at = at


def _wave(given: dict[str, Any]) -> Wave:
    guards = {
        section["intent"]["pacs"]: section["rules"] is not None
        for candidate in given["candidates"]
        for section in candidate["sections"]
    }
    devices = tuple(candidate["device"] for candidate in given["candidates"])
    return Wave(tuple(given["pacs"]), devices, guards)


@dataclass(frozen=True)
class Said:
    """What all records together say of the guards. ``unknown``: archives of a wave that is in flight.

    ``unfinished``: the changes that have not ended, by device.
    """

    guarded: dict[str, bool]
    unknown: frozenset[str]
    unfinished: dict[str, tuple[str, ...]]


def said(paths: tuple[Path, ...]) -> Said:
    confirmed: list[tuple[str, dict[str, bool]]] = []
    unknown: set[str] = set()
    unfinished: dict[str, list[str]] = {}
    for change in (change for path in paths for change in changes(path)):
        for wave in change.waves.values():
            if wave.state == _CONFIRMED:
                confirmed.append((wave.confirmed_at, wave.guards))
            if wave.in_flight:
                unknown |= set(wave.guards)
        if not change.ended:
            for device in change.devices:
                unfinished.setdefault(device, []).append(change.name)
    guarded: dict[str, bool] = {}
    for _, guards in sorted(confirmed, key=lambda pair: pair[0]):
        guarded |= guards
    return Said(guarded, frozenset(unknown), {device: tuple(names) for device, names in unfinished.items()})
