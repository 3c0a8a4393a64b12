"""What whoever approves a plan must know of a router's lists: where a new one will stand, and what somebody has done to
the guard.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from remediate.model.rule import Action, Intent, Rule
from remediate.platforms.cisco_ios import ledger
from remediate.platforms.cisco_ios.acl import core, others_before
from remediate.platforms.cisco_ios.config import Config, Place

_WAYS = {"in": "way in", "out": "way out"}
#: Entries that are named one by one.
_NAMED = 5


def remarks(config: Config, intent: Intent, rules: Iterable[Rule]) -> Iterator[str]:
    """``rules``: what the intent is there, as the platform expresses it."""
    standing = list(rules)
    for direction, way in _WAYS.items():
        for interface in intent.interfaces:
            side = "ingress" if direction == "in" else "egress"
            if any(interface in getattr(rule, side) for rule in standing):
                yield from _new_list(config, (interface, direction), way)
    for name in dict.fromkeys(config.bound[p] for p in config.bound if p[0] in intent.interfaces):
        yield from _changed(config, name, intent)
    kept = ledger.read(acl) if (acl := config.lists.get(ledger.list_name(intent.section))) else None
    if kept and not kept.whole:
        yield (
            f"access list {ledger.list_name(intent.section)}, whose remarks say which entries are the guard's, was cut "
            "short by somebody: entries that it no longer names are taken for others', and stay"
        )


def _new_list(config: Config, place: Place, way: str) -> Iterator[str]:
    name = config.bound.get(place)
    acl = config.lists.get(name) if name else None
    if acl is None or not acl.entries:
        now = f"{name}, which has no entry and lets everything pass" if name else "no access list"
        yield (
            f"a new access list will stand on {place[0]}'s {way}, where there is {now} now: it denies what the guard "
            "denies, and its last entry, `permit ip any any`, lets everything else pass as before"
        )


def _changed(config: Config, name: str, intent: Intent) -> Iterator[str]:
    known = config.owners.get(name, {}).get(intent.section, ())
    if not known:
        return
    there = config.parts(config.lists[name]).sections.get(intent.section, ())
    bare = {core(rule) for rule in there}
    lost = [rule for rule in known if rule not in bare]
    if lost:
        cut = shut_out(intent, there, lost)
        yield (
            f"somebody has taken {len(lost)} of the {len(known)} entries of section {intent.section} out of access "
            f"list {name}, and they are typed in again: {_texts(lost)}"
            + (f". Until then it is the guard's own denials that shut out {', '.join(cut)}" if cut else "")
        )
    if behind := [rule for rule in there if others_before(rule)]:
        yield (
            f"{len(behind)} of the {len(known)} entries of section {intent.section} stand behind others' entries in "
            f"access list {name}, and are put ahead of them again: {_texts(behind)}"
        )


def shut_out(intent: Intent, there: Iterable[Rule], lost: Iterable[Rule]) -> list[str]:
    """The peers that a denial which stands there meets, since what let them pass is lost."""
    if not any(rule.action is Action.DENY for rule in there):
        return []
    networks = {n for rule in lost if rule.action is Action.PERMIT for n in (*rule.sources, *rule.destinations)}
    return sorted({permit.peer for permit in intent.permits if permit.source in networks})


def _texts(rules: list[Rule]) -> str:
    more = f" and {len(rules) - _NAMED} more" if len(rules) > _NAMED else ""
    return "; ".join(ledger.text([core(rule)]) for rule in rules[:_NAMED]) + more
