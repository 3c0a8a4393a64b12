"""What must be typed so that the guard's sections become what is wanted: edits, which the template prints.

A bound list is edited in place only by putting whole sections ahead of it, or taking whole sections out. Everything
else makes a new list beside it, which then takes its place in one command; the list that was there is not touched.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, count
from typing import NamedTuple

from remediate.errors import PlanError
from remediate.model.device import Device
from remediate.model.rule import Rule
from remediate.platforms.cisco_ios.acl import AccessList, core, header, key, parts, without
from remediate.platforms.cisco_ios.config import DIRECTIONS, Config, Effective, Place, effective, ours

#: In a list of ours the others' entries begin here, so that later sections find room before them.
_REST_FROM = 10000
LONGEST_NAME = 63

Sections = dict[str, tuple[Rule, ...]]


class Line(NamedTuple):
    """One line in a list: a remark, an entry of ours (``rule``), or somebody else's (``text``)."""

    number: int | None = None
    remark: str = ""
    rule: Rule | None = None
    text: str = ""
    undo: bool = False


class Edit(NamedTuple):
    name: str
    lines: tuple[Line, ...]


class Binding(NamedTuple):
    interface: str
    direction: str
    name: str
    undo: bool = False


class Edits(NamedTuple):
    """To be typed in this order: a list is whole before it is bound, and no longer bound when it goes."""

    lists: tuple[Edit, ...]
    bindings: tuple[Binding, ...]
    dropped: tuple[str, ...]


def places(device: Device) -> list[Place]:
    interfaces = sorted({name for name, _ in device.guard.named})
    return [(interface, direction) for direction in DIRECTIONS for interface in interfaces]


def edits(device: Device, config: Config, printed: Mapping[str, tuple[Rule, ...] | None]) -> Edits:
    """``printed``: section → its rules, or None where it goes away. Sections that are not in it stay."""
    missing = [(name, key) for name, key in device.guard.named if name not in config.interfaces]
    if missing:
        raise PlanError(
            f"no interface {missing[0][0]} here ({missing[0][1]}): it has {', '.join(config.interfaces)}",
            where=device.name,
            next="write the interface's name as `show running-config` does",
        )
    if unknown := [line for name, _ in device.guard.named for line in config.unreadable(name)]:
        raise PlanError(
            f"this binding is of a form that is not known: {unknown[0]}",
            where=device.name,
            next="bind one list in each direction, as `ip access-group NAME in`",
        )
    groups: dict[tuple[str, str, str], tuple[Effective, Sections, list[Place]]] = {}
    for place in places(device):
        here = effective(config, place)
        if not here.ahead:
            raise PlanError(
                f"the guard in access list {here.name} no longer stands ahead of everything else",
                where=device.name,
                next="take its entries out on the device, and plan again",
            )
        wanted = _wanted(here.sections, place, printed)
        if wanted != here.sections:
            group = (here.name or place[0], place[1], repr(wanted))
            groups.setdefault(group, (here, wanted, []))[2].append(place)
    made: list[Edits] = []
    taken: set[str] = set()
    for here, wanted, group_places in groups.values():
        made.append(_edits(device, config, here, wanted, group_places, taken))
    return Edits(*(tuple(chain.from_iterable(part)) for part in zip(*made, strict=True))) if made else Edits((), (), ())


def _wanted(now: Sections, place: Place, printed: Mapping[str, tuple[Rule, ...] | None]) -> Sections:
    interface, direction = place
    wanted = dict(now)
    for name, rules in printed.items():
        here = [rule for rule in rules or () if interface in (rule.ingress if direction == "in" else rule.egress)]
        if here:
            wanted[name] = tuple(dict.fromkeys(core(rule) for rule in here))
        else:
            wanted.pop(name, None)
    return wanted


def _edits(
    device: Device, config: Config, here: Effective, wanted: Sections, where: list[Place], taken: set[str]
) -> Edits:
    name = here.name
    acl = config.lists.get(name) if name else None
    alone = bool(name and not config.used_elsewhere(name, where))
    gone = (name,) if name and acl and ours(name) and alone else ()
    if here.restorable and name and not wanted and here.origin is None:
        return Edits((), tuple(Binding(*place, name, undo=True) for place in where), gone)
    if here.restorable and here.origin and (lines := _back(config, here.origin, wanted)) is not None:
        lists = (Edit(here.origin, lines),) if lines else ()
        return Edits(lists, tuple(Binding(*place, here.origin) for place in where), gone)
    if acl and acl.entries and alone and (lines := _in_place(config, acl, here, wanted)) is not None:
        return Edits((Edit(acl.name, lines),), (), ())
    clone = _new_name(device, config, here, where, taken)
    made = Edit(clone, tuple(_whole(device, config, here, wanted)))
    return Edits((made,), tuple(Binding(*place, clone) for place in where), gone)


def _back(config: Config, origin: str, wanted: Sections) -> tuple[Line, ...] | None:
    """What makes the list that a clone stands for fit to be bound again; None where it does not hold what is wanted.

    It may still hold sections from before there was a clone. Nothing uses it, so they may go.
    """
    acl = config.lists.get(origin)
    there = parts(acl).sections if acl else {}
    surplus = {name: rules for name, rules in there.items() if name not in wanted}
    if any(there.get(name) != rules for name, rules in wanted.items()):
        return None
    if surplus and config.used_elsewhere(origin, ()):
        return None
    return tuple(chain.from_iterable(_out(config, *one) for one in surplus.items()))


def _in_place(config: Config, acl: AccessList, here: Effective, wanted: Sections) -> tuple[Line, ...] | None:
    """None where it cannot be done without touching what stands there, or what it does meanwhile."""
    now = here.sections
    changed = any(name in now and now[name] != rules for name, rules in wanted.items())
    added = {name: rules for name, rules in wanted.items() if name not in now}
    removed = {name: rules for name, rules in now.items() if name not in wanted}
    if changed or (added and removed) or not acl.extended or acl.old_style or not acl.sure or not here.kept:
        return None
    if removed:
        # An entry of the list that this one stands for, hidden by ours, would have to come back.
        hidden = here.restorable and len(without(here.rest, chain(*now.values()))[0]) != len(here.rest)
        return None if hidden else tuple(chain.from_iterable(_out(config, *one) for one in removed.items()))
    there = {key(entry.text) for entry in acl.entries}
    if any(rule in there for rules in added.values() for rule in rules) or _twice(added):
        return None
    first = len(acl.entries) - len(here.kept)
    number = acl.entries[first - 1].number + 1 if first else 1
    if number + sum(map(len, added.values())) > here.kept[0].number:
        return None
    lines: list[Line] = []
    for name, rules in added.items():
        lines += _section(config, name, rules, number)
        number += len(rules)
    return tuple(lines)


def _twice(sections: Sections) -> bool:
    rules = list(chain.from_iterable(sections.values()))
    return len(set(rules)) != len(rules)


def _section(config: Config, name: str, rules: Sequence[Rule], number: int) -> list[Line]:
    """Permits come first, so at no moment is a peer shut out. On newer trains a remark has its entry's number."""
    remark = Line(number=number if config.numbered else None, remark=header(name, rules))
    return [remark, *(Line(number=at, rule=rule) for at, rule in enumerate(rules, start=number))]


def _out(config: Config, name: str, rules: Sequence[Rule]) -> list[Line]:
    """By what the entries say, never by number; denials first. Newer trains drop the remark with its entry."""
    remark = [] if config.numbered else [Line(remark=header(name, rules), undo=True)]
    return [*remark, *(Line(rule=rule, undo=True) for rule in reversed(rules))]


def _whole(device: Device, config: Config, here: Effective, wanted: Sections) -> Iterable[Line]:
    if _twice(wanted):
        raise PlanError(
            "two sections of the guard would hold the same entry, which IOS ignores the second time",
            where=device.name,
            next="two archives must not share an address and a port: look at their addresses in the inventory; "
            "for one archive acl or vpn_only is enough",
        )
    number = 1
    for name, rules in wanted.items():
        yield from _section(config, name, rules, number)
        number += len(rules)
    entries, over = without(here.rest, chain.from_iterable(wanted.values()))
    numbers = count(max(_REST_FROM, number + 1), 10)
    for entry in entries:
        if entry.text.startswith("dynamic "):
            raise PlanError(
                f"access list {here.name} has a dynamic entry, whose name may stand in one list only",
                where=device.name,
                next="give the list a first entry with a number that leaves room for the guard (resequence it)",
            )
        at = next(numbers)
        yield from _remarks(config, entry.remarks, at)
        yield Line(number=at, text=entry.text)
    yield from _remarks(config, (*over, *here.trailing), next(numbers))


def _remarks(config: Config, remarks: Iterable[str], number: int) -> Iterable[Line]:
    return (Line(number=number if config.numbered else None, remark=remark) for remark in remarks)


def _new_name(device: Device, config: Config, here: Effective, where: list[Place], taken: set[str]) -> str:
    interface, direction = where[0]
    base = f"-{direction}.{''.join(c if c.isalnum() else '_' for c in interface)}"
    if here.origin:
        base = f".{here.origin}"
    for number in count(1):
        name = f"RMD{number}{base}"
        if name not in config.lists and name not in taken and name not in config.bound.values():
            break
    if len(name) > LONGEST_NAME:
        raise PlanError(
            f"the new list's name {name} would be longer than IOS allows", where=device.name, next="shorten the list's"
        )
    taken.add(name)
    return name
