"""What earlier changes of a record tell: which of them brought the sections that stand on a device or took them away,
and who reached an archive before it was closed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from remediate.change import replaying
from remediate.errors import RecordError
from remediate.model.change import State
from remediate.model.observation import Question
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


def reached(record: Record, pacs: Collection[str]) -> frozenset[Question]:
    """What got through to each of these archives at the baseline of the newest change that closed it, stands, and saw
    something get through. A change whose chain is broken, or that this version cannot read, tells nothing.
    """
    newest: dict[str, frozenset[Question]] = {}
    for summary in reversed(record.changes()):
        if not set(pacs) - newest.keys():
            break
        try:
            plan, progress = replaying.replay(list(record.journal(summary.change)))
        except RecordError:
            continue
        for wave in reversed(plan.waves) if plan else ():
            at = progress[wave.number]
            if at.state is not State.CONFIRMED or at.before is None or wave.reopens or wave.observes:
                continue
            for name in set(wave.pacs) & set(pacs) - newest.keys():
                through = frozenset(question for question in at.before.reached if question.pacs == name)
                if through and not record.verify(summary.change):
                    newest[name] = through
    return frozenset().union(*newest.values())


def _confirmed(record: Record, change: str, device: str) -> Iterable[str]:
    plan, progress = replaying.replay(list(record.journal(change)))
    for wave in plan.waves if plan else ():
        if progress[wave.number].state is State.CONFIRMED:
            yield from (s.name for c in wave.candidates if c.device == device for s in c.sections)
