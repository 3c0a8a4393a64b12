"""Which changes of a record brought the sections that stand on a device, or took them away."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from remediate.change import replaying
from remediate.model.change import State
from remediate.record import Record


def brought(record: Record, device: str, sections: Collection[str]) -> Mapping[str, str]:
    """Section → the newest change that confirmed something of it there; without those that none did."""
    newest: dict[str, str] = {}
    for summary in reversed(record.changes()):
        for section in _confirmed(record, summary.change, device):
            if section in sections:
                newest.setdefault(section, summary.change)
        if len(newest) == len(sections):
            break
    return newest


def _confirmed(record: Record, change: str, device: str) -> Iterable[str]:
    plan, progress = replaying.replay(list(record.journal(change)))
    for wave in plan.waves if plan else ():
        if progress[wave.number].state is State.CONFIRMED:
            yield from (s.name for c in wave.candidates if c.device == device for s in c.sections)
