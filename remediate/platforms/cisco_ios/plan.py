"""What must be typed so that the guard's sections become what is wanted: edits, which the template prints.

A bound list is edited in place only by putting entries of ours between others', or taking some out. Everything else
makes a new list beside it, which then takes its place in one command; the list that was there is not touched.

Nobody knows of every train where a remark goes that is typed without a number. So no remark is typed into a list that
somebody else has made, and a list of ours is typed in its order, without numbers but for its first entry: all of it
goes to the end then, on every train.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import chain, count
from typing import NamedTuple

from remediate.errors import PlanError
from remediate.model.device import Device
from remediate.model.rule import Rule
from remediate.platforms.cisco_ios import ledger
from remediate.platforms.cisco_ios.acl import AccessList, core, header, key, others_before, without
from remediate.platforms.cisco_ios.config import DIRECTIONS, Config, Effective, Place, effective, ours
from remediate.platforms.cisco_ios.inplace import Line, inserted
from remediate.platforms.cisco_ios.ledger import LONGEST_NAME

#: The first entry of a list of ours has this number, so that later sections find room before it.
_FIRST = 100000

Sections = dict[str, tuple[Rule, ...]]


class Edit(NamedTuple):
    """``anew``: a list of that name goes away first."""

    name: str
    lines: tuple[Line, ...]
    anew: bool = False


class Binding(NamedTuple):
    interface: str
    direction: str
    name: str
    undo: bool = False


class Edits(NamedTuple):
    """To be typed in this order: what says which entries are ours, the entries, what binds them, what goes away."""

    lists: tuple[Edit, ...] = ()
    bindings: tuple[Binding, ...] = ()
    dropped: tuple[str, ...] = ()


class _Made(NamedTuple):
    """``holds``: list → the sections that the ledger is to know in it; {} where it goes away."""

    edits: Edits
    holds: Mapping[str, Sections]


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
    taken: set[str] = set()
    made = [_edits(device, config, *group, taken) for group in groups.values()]
    kept, forgotten = _ledgers(config, printed, made)
    lists, bindings, dropped = (
        tuple(chain.from_iterable(part)) for part in zip(Edits(), *(m.edits for m in made), strict=True)
    )
    return Edits((*kept, *lists), bindings, (*dropped, *forgotten))


def _ledgers(config: Config, printed: Collection[str], made: Iterable[_Made]) -> tuple[list[Edit], list[str]]:
    """The lists that say which entries are ours: those that are typed anew, and those that go away."""
    before = {name: own for name, own in config.owners.items() if name in config.lists}
    after: dict[str, Mapping[str, tuple[Rule, ...]]] = {}
    for name, own in before.items():
        left = config.parts(config.lists[name]).sections
        after[name] = {section: rules for section, rules in own.items() if section in left or section not in printed}
    for one in made:
        after |= one.holds
    touched = dict.fromkeys(printed)
    for name in {**before, **after}:
        was, now = before.get(name, {}), after.get(name, {})
        touched |= {section: None for section in {**was, **now} if was.get(section) != now.get(section)}
    edits: list[Edit] = []
    gone: list[str] = []
    for section in touched:
        name = ledger.list_name(section)
        said = ledger.remarks(section, {acl: own[section] for acl, own in after.items() if section in own})
        there = config.lists.get(name)
        if there and not ledger.read(there):
            raise PlanError(
                f"access list {name} is not the guard's, which would need that name for section {section}",
                next="rename that list on the device, or the archive in the inventory",
            )
        if said and said != (there.trailing if there else ()):
            numbers = count(10, 10)
            lines = tuple(Line(number=next(numbers) if config.numbered else None, remark=text) for text in said)
            edits.append(Edit(name, lines, anew=there is not None))
        elif there and not said:
            gone.append(name)
    return edits, gone


def _wanted(now: Sections, place: Place, printed: Mapping[str, tuple[Rule, ...] | None]) -> Sections:
    interface, direction = place
    wanted = dict(now)
    for name, rules in printed.items():
        here = [rule for rule in rules or () if interface in (rule.ingress if direction == "in" else rule.egress)]
        if here:
            wanted[name] = tuple(dict.fromkeys(rule.model_copy(update={"ingress": (), "egress": ()}) for rule in here))
        else:
            wanted.pop(name, None)
    return wanted


def _edits(
    device: Device, config: Config, here: Effective, wanted: Sections, where: list[Place], taken: set[str]
) -> _Made:
    name = here.name
    acl = config.lists.get(name) if name else None
    alone = bool(name and not config.used_elsewhere(name, where))
    gone = (name,) if name and acl and ours(name) and alone else ()
    left: dict[str, Sections] = {one: {} for one in gone}
    if here.restorable and name and not wanted and here.origin is None:
        return _Made(Edits((), tuple(Binding(*place, name, undo=True) for place in where), gone), left)
    if here.restorable and here.origin and (lines := _back(config, here.origin, wanted)) is not None:
        lists = (Edit(here.origin, lines),) if lines else ()
        holds = {**left, here.origin: _told(config, config.lists.get(here.origin), wanted)}
        return _Made(Edits(lists, tuple(Binding(*place, here.origin) for place in where), gone), holds)
    if acl and acl.entries and alone and (lines := _in_place(config, acl, here, wanted)) is not None:
        return _Made(Edits((Edit(acl.name, lines),)), {acl.name: _told(config, acl, wanted)})
    clone = _new_name(device, config, here, where, taken)
    made = Edit(clone, tuple(_whole(device, here, wanted)))
    bare = {section: tuple(map(core, rules)) for section, rules in wanted.items()}
    return _Made(Edits((made,), tuple(Binding(*place, clone) for place in where), gone), {**left, clone: bare})


def _told(config: Config, acl: AccessList | None, wanted: Sections) -> Sections:
    """Of the sections in a list that stays, those that the ledger is to know: not those that a remark names there."""
    known = config.owners.get(acl.name, {}) if acl else {}
    by_remark = {name for name in config.parts(acl).sections if name not in known} if acl else set()
    return {name: tuple(map(core, rules)) for name, rules in wanted.items() if name not in by_remark}


def _back(config: Config, origin: str, wanted: Sections) -> tuple[Line, ...] | None:
    """What makes the list that a clone stands for fit to be bound again; None where it does not hold what is wanted.

    It may still hold sections from before there was a clone. Nothing uses it, so they may go.
    """
    acl = config.lists.get(origin)
    there = config.parts(acl).sections if acl else {}
    surplus = {name: rules for name, rules in there.items() if name not in wanted}
    if any(there.get(name) != rules for name, rules in wanted.items()):
        return None
    if surplus and config.used_elsewhere(origin, ()):
        return None
    return tuple(chain.from_iterable(_out(config, origin, *one) for one in surplus.items()))


def _in_place(config: Config, acl: AccessList, here: Effective, wanted: Sections) -> tuple[Line, ...] | None:
    """None where it cannot be done without touching what stands there, or what it does meanwhile."""
    now, known = here.sections, config.owners.get(acl.name, {})
    fresh, gone = _beyond(wanted, now), _beyond(now, wanted)
    if (fresh and gone) or not acl.extended or acl.old_style or not acl.sure or not here.kept:
        return None
    if any(name in now and name in wanted and name not in known for name in (*fresh, *gone)):
        return None  # its remark says what stands behind it
    if any(_common(now[name], wanted[name]) != _common(wanted[name], now[name]) for name in now if name in wanted):
        return None  # their order is another
    if gone:
        # An entry of the list that this one stands for, hidden by ours, would have to come back.
        hidden = here.restorable and len(without(here.rest, map(core, chain(*now.values())))[0]) != len(here.rest)
        # On some trains somebody's remark would go with the entry that it stands before.
        own = {core(rule) for name, rules in gone.items() if name in known for rule in rules}
        remarked = any(entry.remarks and key(entry.text) in own for entry in acl.entries)
        if hidden or remarked:
            return None
        return tuple(chain.from_iterable(_out(config, acl.name, *one) for one in gone.items()))
    if acl.trailing and not config.numbered:
        return None  # on some trains a remark at the end waits for the next entry that is typed
    there = {key(entry.text) for entry in acl.entries}
    if any(core(rule) in there for rules in fresh.values() for rule in rules) or _twice(fresh):
        return None
    return inserted(acl, now, wanted)


def _beyond(sections: Sections, others: Sections) -> dict[str, list[Rule]]:
    """What each section has, and the one of that name among ``others`` has not."""
    there = {name: set(others.get(name, ())) for name in sections}
    beyond = {name: [rule for rule in rules if rule not in there[name]] for name, rules in sections.items()}
    return {name: rules for name, rules in beyond.items() if rules}


def _common(rules: Iterable[Rule], others: Iterable[Rule]) -> list[Rule]:
    there = set(others)
    return [rule for rule in rules if rule in there]


def _twice(sections: Mapping[str, Sequence[Rule]]) -> bool:
    rules = [core(rule) for rule in chain.from_iterable(sections.values())]
    return len(set(rules)) != len(rules)


def _out(config: Config, acl: str, name: str, rules: Sequence[Rule]) -> list[Line]:
    """By what the entries say, never by number; denials first. Newer trains drop a remark with its entry."""
    by_remark = name not in config.owners.get(acl, {}) and not config.numbered
    remark = [Line(remark=header(name, rules), undo=True)] if by_remark else []
    return [*remark, *(Line(rule=core(rule), undo=True) for rule in reversed(rules))]


def _whole(device: Device, here: Effective, wanted: Sections) -> Iterable[Line]:
    """Permits come first, so at no moment is a peer shut out."""
    if _twice(wanted):
        raise PlanError(
            "two sections of the guard would hold the same entry, which IOS ignores the second time",
            where=device.name,
            next="two archives must not share an address and a port: look at their addresses in the inventory; "
            "for one archive acl or vpn_only is enough",
        )
    rules = list(chain.from_iterable(wanted.values()))
    entries, over = without(here.rest, map(core, rules))
    lines: list[Line] = []
    for at in range(len(entries) + 1):
        lines += [Line(rule=core(rule)) for rule in rules if min(others_before(rule), len(entries)) == at]
        if at < len(entries):
            lines += [*(Line(remark=remark) for remark in entries[at].remarks), Line(text=entries[at].text)]
    if dynamic := [entry for entry in entries if entry.text.startswith("dynamic ")]:
        raise PlanError(
            f"access list {here.name} has a dynamic entry, whose name may stand in one list only: {dynamic[0].text}",
            where=device.name,
            next="give the list a first entry with a number that leaves room for the guard (resequence it)",
        )
    lines += [Line(remark=remark) for remark in (*over, *here.trailing)]
    if lines and not lines[0].remark:
        lines[0] = lines[0]._replace(number=_FIRST)
    return lines


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
