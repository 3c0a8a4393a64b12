"""Locks on devices, held by a change through a process. They end when released or taken over, never by the clock."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import Any, NamedTuple

import sqlalchemy as sa

from remediate.errors import InventoryError, Locked
from remediate.model.base import Value
from remediate.record.schema import entry, exclusive
from remediate.record.schema import lock as table

PROC = Path("/proc")
#: The kind of a change's last entry.
LAST = "ended"


class Life(Enum):
    ALIVE = "alive"
    DEAD = "dead"
    UNKNOWN = "unknown"


class Owner(NamedTuple):
    """A process that no other can be mistaken for. ``started``: clock ticks after boot, proc(5) ``starttime``.

    Empty and zero where there is no /proc: then nothing can be said about its life from elsewhere.
    """

    host: str
    boot_id: str
    pid_namespace: str
    pid: int
    started: int

    @classmethod
    def this(cls) -> Owner:
        pid = os.getpid()
        try:
            boot_id = (PROC / "sys/kernel/random/boot_id").read_text().strip()
            namespace = str((PROC / "self/ns/pid").readlink())
            return cls(platform.node(), boot_id, namespace, pid, _state_and_start(pid)[1])
        except OSError:
            return cls(platform.node(), "", "", pid, 0)

    def life(self) -> Life:
        """Dead is said only where it is proved: on this host, by another boot or by the process table."""
        here = Owner.this()
        if self == here:
            return Life.ALIVE
        if self.host != here.host or not self.boot_id or not here.boot_id:
            return Life.UNKNOWN
        if self.boot_id != here.boot_id:
            return Life.DEAD
        if self.pid_namespace != here.pid_namespace:
            return Life.UNKNOWN  # containers of one machine share its boot id, not its process numbers
        try:
            state, started = _state_and_start(self.pid)
        except OSError:
            return Life.UNKNOWN if _exists(self.pid) else Life.DEAD
        return Life.DEAD if state in "ZX" or started != self.started else Life.ALIVE


def _state_and_start(pid: int) -> tuple[str, int]:
    """proc(5), stat: fields 3 and 22. The name before them may hold blanks and brackets."""
    fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    return fields[0], int(fields[19])


def _exists(pid: int) -> bool:
    """Also for a process that /proc hides from us (mounted with hidepid)."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


class Lock(Value):
    """One resource, held by ``change`` through one process.

    ``fence``: grows by one with every holder of this resource, so that a late one can be told from its successor.
    ``device``: what the holder's inventory calls it, where ``resource`` is its identity (host key, serial number).
    """

    resource: str
    change: str
    fence: int
    host: str
    boot_id: str
    pid_namespace: str
    pid: int
    started: int
    since: datetime
    device: str | None = None

    @property
    def owner(self) -> Owner:
        return Owner(self.host, self.boot_id, self.pid_namespace, self.pid, self.started)

    @property
    def dead(self) -> bool:
        """Whether its process is provably gone, seen from here, now."""
        return self.owner.life() is Life.DEAD

    def __str__(self) -> str:
        state = self.owner.life()
        note = {Life.ALIVE: "", Life.DEAD: ", which has ended", Life.UNKNOWN: ", whose state is not known from here"}
        name = f"{self.device} ({self.resource})" if self.device else self.resource
        return (
            f"{name} is held by change {self.change}, process {self.pid} on {self.host}{note[state]}, "
            f"since {self.since.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
        )


def acquire(
    connection: sa.Connection,
    resources: Sequence[str],
    change: str,
    at: str,
    takeover: bool,
    device: str | None = None,
) -> list[Lock]:
    """All of them or none. A lock that this very process holds for the same change is given again as it is.

    What a change left behind that has ended, or that died before its first entry, is given to anybody: nothing of it
    can be on a device, and nothing is there to be resumed. ``device``: see `Record.acquire`.
    """
    connection.execute(exclusive)
    rows = connection.execute(sa.select(table).where(table.c.resource.in_(resources))).all()
    fences = {row.resource: row.fence for row in rows}
    held = {row.resource: _lock(row) for row in rows if row.change is not None}
    me = Owner.this()
    mine = {name for name, lock in held.items() if lock.owner == me and lock.change == change}
    _check_names([lock for lock in held.values() if lock.change == change], device)
    if refused := [
        lock
        for name, lock in held.items()
        if name not in mine and not (_left(connection, lock) or (takeover and _yields(lock, change)))
    ]:
        raise _locked(refused, change, device)
    locks = []
    for name in resources:
        if name in mine:
            locks.append(held[name])
            continue
        row = {
            "resource": name,
            "fence": fences.get(name, 0) + 1,
            "change": change,
            **me._asdict(),
            "since": at,
            "device": device,
        }
        if name in fences:
            connection.execute(sa.update(table).where(table.c.resource == name).values(row))
        else:
            connection.execute(sa.insert(table).values(row))
        locks.append(Lock.model_validate(row))
    return locks


def _check_names(ours: Sequence[Lock], device: str | None) -> None:
    """One device under two names in one change would be pushed to twice."""
    others = [lock for lock in ours if lock.device not in (None, device)] if device else []
    if others:
        raise InventoryError(
            "two names are one device",
            [f"{lock.device} and {device}: both are {lock.resource}" for lock in others],
            next="keep one of the names, and name that one in every protected_by",
        )


def _left(connection: sa.Connection, lock: Lock) -> bool:
    """A crash between taking the locks and the first entry, or between the last one and freeing them."""
    of_it = entry.c.change == lock.change
    last = connection.execute(sa.select(entry.c.kind).where(of_it).order_by(entry.c.seq.desc()).limit(1)).scalar()
    return last == LAST or (last is None and lock.dead)


def _yields(lock: Lock, change: str) -> bool:
    """Dead ones do; so do those of the same change, unless their process is seen to be at work on it."""
    life = lock.owner.life()
    return life is Life.DEAD or (lock.change == change and life is Life.UNKNOWN)


def _locked(refused: Sequence[Lock], change: str, device: str | None) -> Locked:
    first = refused[0]
    lines = [
        f"{lock}; here it is called {device}" if device and lock.device not in (None, device) else str(lock)
        for lock in refused
    ]
    if first.dead:
        advice = f"`remediate resume {first.change}` finishes that change or takes it back, and frees the device"
    elif first.change == change:
        advice = "this change is being run already: wait for that process, or stop it first"
    else:
        advice = "wait until that change is finished, or stop it first"
    return Locked("\n".join(lines), next=advice)


def release(connection: sa.Connection, change: str) -> None:
    """Frees what this process holds for a change; what was taken over since belongs to another, and stays."""
    connection.execute(exclusive)
    me = Owner.this()._asdict()
    nobody = dict.fromkeys((*me, "change", "since", "device"))
    ours = [table.c[name] == value for name, value in me.items()]
    connection.execute(sa.update(table).where(table.c.change == change, *ours).values(nobody))


def holders(connection: sa.Connection) -> list[Lock]:
    rows = connection.execute(sa.select(table).where(table.c.change.is_not(None)).order_by(table.c.resource))
    return [_lock(row) for row in rows]


def _lock(row: sa.Row[Any]) -> Lock:
    return Lock.model_validate(dict(row._mapping))
