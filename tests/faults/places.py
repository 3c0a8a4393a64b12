"""A site on loopback, changes on it that are killed, and what must hold once they were resumed."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from remediate import inventory, platforms
from remediate.change import change, replaying
from remediate.change.machine import CLOSED
from remediate.lab.embedded.site import EmbeddedSite, standing
from remediate.model.change import Entry, Pending, State
from remediate.platforms.cisco_ios.config import redacted
from remediate.record import Record
from tests.faults.zygote import Ended, Job, Point, Zygote, zygote

ROUTER = "edge-router"
#: Seconds that a minute of the routers' revert timers takes here: long enough for a change, short enough to wait for.
MINUTE = 20.0
#: The router drops the clinic as soon as a guard is in force, so that a change is taken back.
DROPS = "drops-inside=inside-dicom"


class Seen(NamedTuple):
    """``running``, ``startup``: without what changes by itself."""

    running: str
    startup: str
    pending: Pending | None
    guarded: bool


def look(site: EmbeddedSite) -> Seen:
    found = inventory.load(site.inventory).site
    spec = platforms.platform("cisco_ios")
    session: Any = spec.connect(found.devices[ROUTER], found.logins[ROUTER])
    try:
        running = session.running_config()
        startup = redacted(session._session.say("show startup-config").text)
        guarded = bool(spec.read(found.devices[ROUTER], running).sections)
        return Seen(_settled(running), _settled(startup), session.pending(), guarded)
    finally:
        session.close()


@dataclass
class Place:
    site: EmbeddedSite
    record: Path
    zygote: Zygote

    def job(self, do: Literal["run", "undo", "resume"], **more: Any) -> Job:
        return Job(do=do, inventory=self.site.inventory, playbook=self.site.playbook, record=self.record, **more)

    def look(self) -> Seen:
        return look(self.site)

    def entries(self) -> list[Entry]:
        """Of the newest change; [] while there is none."""
        if not self.record.exists():
            return []
        with Record.open(self.record) as record:
            changes = record.changes()
            return list(record.journal(changes[-1].change)) if changes else []

    def changes(self) -> int:
        if not self.record.exists():
            return 0
        with Record.open(self.record) as record:
            return len(record.changes())


class Crash(NamedTuple):
    """``stage``: the last entry that was durable when it was killed. ``end``: how it was after `resume`."""

    stage: str
    end: str
    broken: tuple[str, ...]
    first: Ended
    resumed: int


@contextmanager
def place(folder: Path, *, misbehave: str | None = None) -> Iterator[Place]:
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        site = stack.enter_context(standing(folder / "site", misbehave=misbehave, minute=MINUTE))
        yield Place(site, folder / "record.db", stack.enter_context(zygote()))


def crash(
    at: Place,
    do: Literal["run", "undo"],
    *,
    point: Point | None = None,
    after: float | None = None,
    again: tuple[float, ...] = (),
) -> Crash:
    """One change, killed, resumed (and killed while it resumes, ``again`` seconds after that began), looked at."""
    before, had = at.look(), at.changes()
    first = at.zygote.do(at.job(do, point=point, after=after))
    begun = at.changes() > had
    stage = at.entries()[-1].kind if begun else "(no entry yet)"
    for seconds in again:
        if first.killed:
            at.zygote.do(at.job("resume", after=seconds))
    status = 0
    if at.record.exists():
        resumed = at.zygote.do(at.job("resume"))
        assert resumed.status is not None
        status = resumed.status
    after_all = at.look()
    entries = at.entries() if begun else []
    return Crash(stage, _end(entries), tuple(_broken(at, do, before, after_all, entries)), first, status)


def _end(entries: list[Entry]) -> str:
    kinds = {entry.kind for entry in entries}
    for state in (State.CONFIRMED, State.ROLLED_BACK, State.STOPPED, State.NEEDS_HANDS):
        if state in kinds:
            return str(state)
    return "not begun"


def _broken(at: Place, do: str, before: Seen, after: Seen, entries: list[Entry]) -> Iterator[str]:
    if after.pending is not None:
        yield f"a change is pending: {after.pending}"
    pushes = Counter(entry.data["device"] for entry in entries if entry.kind == "pushing")
    if any(count > 1 for count in pushes.values()):
        yield f"pushed twice: {pushes}"
    # Nobody else has done anything here.
    yield from (f"blames a hand: {entry.data}" for entry in entries if _BLAMES.search(str(entry.data.get("why", ""))))
    if _end(entries) == State.CONFIRMED:
        if after.guarded is (do == "undo"):
            yield "confirmed, and not in force"
        if after.running != after.startup:
            yield "confirmed, and not what would be loaded at the next boot"
    else:
        if after.running != before.running:
            yield f"not confirmed, and not as before:\n{after.running}"
        if after.startup != before.startup:
            yield "not confirmed, and not what was loaded at boot before"
    if not at.record.exists():
        return
    with Record.open(at.record) as record:
        yield from record.verify()
        yield from (f"{name} has not ended" for name in change.unfinished(record))
    if entries:
        _, progress = replaying.replay(entries)
        yield from (f"wave {number} is {one.state}" for number, one in progress.items() if one.state not in CLOSED)


_BLAMES = re.compile(r"by hand|has changed|see who|who else|look at the guard|look at the device")
#: What a router prints before its configuration, and what changes there by itself.
_HEADS = ("!", "Building configuration", "Current configuration", "Using ")


def _settled(text: str) -> str:
    lines = [line.rstrip() for line in text.splitlines()]
    return "\n".join(line for line in lines if line and not line.startswith(_HEADS))
