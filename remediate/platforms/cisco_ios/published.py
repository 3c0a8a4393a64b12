"""What a router publishes of an archive by static translation, and its being switched off. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import count
from typing import NamedTuple

from remediate.errors import PlanError
from remediate.model.device import Device
from remediate.model.rule import Unpublished, UnpublishIntent
from remediate.model.site import Door
from remediate.platforms.cisco_ios.config import Config
from remediate.platforms.cisco_ios.forwards import STATIC, Flow, Forward, forwards, nat_lines, outsides
from remediate.platforms.cisco_ios.inplace import Line
from remediate.platforms.cisco_ios.ledger import LONGEST_NAME
from remediate.platforms.cisco_ios.notes import Note, list_name, notes
from remediate.platforms.cisco_ios.notes import remarks as remarks_of
from remediate.platforms.cisco_ios.state import State
from remediate.rules import prove_unpublished


class Switch(NamedTuple):
    """What is to be typed for a section, in this order: its note, in the list ``name``; the lines that come back, and
    those that go. ``dropped``: a list of that name goes away before all this, or at its end if there are no remarks.
    """

    name: str
    dropped: bool = False
    remarks: tuple[Line, ...] = ()
    restored: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()


def switches(
    device: Device, config: Config, printed: Mapping[str, tuple[Unpublished, ...] | None]
) -> dict[str, Switch]:
    """``printed``: section → what is no longer to be published, or None where it is published again."""
    there, live = notes(config), nat_lines(config)
    return {
        section: _switch(device, config, section, there.get(section, Note((), ())), live, rules)
        for section, rules in printed.items()
    }


def _switch(
    device: Device, config: Config, section: str, now: Note, live: list[str], rules: tuple[Unpublished, ...] | None
) -> Switch:
    name = list_name(section)
    wanted = Note(
        tuple((rule.address, rule.port) for rule in rules or ()),
        tuple(line for line in (*now.lines, *live) if any(_publishes(config, line, rule) for rule in rules or ())),
    )
    removed = tuple(line for line in wanted.lines if line in live)
    said = remarks_of(section, wanted) if rules is not None else ()
    acl = config.lists.get(name)
    if said == (acl.trailing if acl else ()) and not removed:
        return Switch(name)
    if len(name) > LONGEST_NAME:
        raise PlanError(
            f"the new list's name {name} would be longer than IOS allows",
            where=device.name,
            next="shorten the archive's name",
        )
    numbers = count(10, 10)
    lines = tuple(Line(number=next(numbers) if config.numbered else None, remark=remark) for remark in said)
    restored = tuple(line for line in now.lines if line not in wanted.lines)
    return Switch(name, acl is not None, lines, restored, removed)


def _publishes(config: Config, line: str, rule: Unpublished) -> bool:
    return any(one.alone for one in forwards(config, Flow(rule.interfaces, rule.address, rule.port), [line]))


def prove(intent: UnpublishIntent, after: State) -> Iterator[str]:
    """With what ``after`` does other than the intent. Each line that goes published the archive, and nobody else."""
    yield from prove_unpublished(intent, after.sections.get(intent.section, ()))
    flows = [Flow(intent.interfaces, door.address, port) for door in intent.doors for port in door.seen]
    for line in notes(after.config).get(intent.section, Note((), ())).lines:
        found = [one for flow in flows for one in forwards(after.config, flow, [line])]
        if not found or any(one.to not in intent.own for one in found):
            yield f"this line would be taken away, and does not publish {intent.pacs}: {line}"
    for flow in flows:
        for one in forwards(after.config, flow):
            yield f"{flow.address} port {flow.port} would still be published: {one.line}"


def objections(state: State, intent: UnpublishIntent) -> Iterator[str]:
    """Whose translations would be switched off beside the archive's, as far as that can be read.

    Raises PlanError where nothing of it is published here, or by a line that publishes more. Once our section stands,
    a line may have been removed for good.
    """
    for door in intent.doors:
        for port, one in _of_door(state, intent, door):
            if one.to is None:
                yield (
                    f"nobody can tell where this line leads what comes to {door.address} port {port}, so it may be "
                    f"somebody else's: {one.line}"
                )
            elif one.to not in intent.own:
                yield f"{door.address} port {port} is {one.to}'s, not {intent.pacs}'s: {one.line}"
            elif not one.alone:
                raise PlanError(
                    f"this line publishes every port of {one.to}, and translates what it opens itself: {one.line}",
                    where=intent.device,
                    next="put a line for each port that must stay published in its place, and plan again; or use acl",
                )
    published = [door for door in intent.doors if _of_door(state, intent, door)]
    missing = [door for door in intent.doors if door not in published]
    if missing and intent.section not in state.sections and not (published and intent.others):
        seen = ", ".join(str(door.address) for door in missing)
        raise PlanError(
            f"nothing here is published by this device: no line of it translates {seen}, coming in by "
            f"{', '.join(intent.interfaces)}, to {intent.pacs}",
            where=intent.device,
            next="use acl; or correct its addresses, ports and guard.interface in the inventory (on the device, "
            "that interface needs `ip nat outside`)",
        )


def remarks(state: State, intent: UnpublishIntent) -> Iterator[str]:
    by_line: dict[str, list[str]] = {}
    for door in intent.doors:
        found = _of_door(state, intent, door)
        for port, one in found:
            by_line.setdefault(one.line, []).append(f"{door.address} port {port}")
        if not found:
            others = f"; {' or '.join(intent.others)} may" if intent.others else ""
            yield f"it does not publish {door.address} (any more){others}"
        elif left := [port for port in door.seen if port not in {port for port, _ in found}]:
            yield f"of {door.address} it publishes no port {', '.join(map(str, left))}"
    for line, seen in by_line.items():
        yield (
            f"is removed, and kept as a remark in access list {list_name(intent.section)}: what comes in to "
            f"{', '.join(seen)} is no longer translated: {line}"
        )
    near = {*(str(door.address) for door in intent.doors), *map(str, intent.own), *intent.interfaces}
    for line in nat_lines(state.config):
        if line not in by_line and line.startswith(STATIC) and near.intersection(line.split()):
            yield f"stays as it is: {line}"
    if by_line and (wider := [name for name in outsides(state.config) if name not in intent.interfaces]):
        yield f"a static translation is for every outside interface: what comes in by {', '.join(wider)} ends too"


def _of_door(state: State, intent: UnpublishIntent, door: Door) -> list[tuple[int, Forward]]:
    return [
        (port, one) for port in door.seen for one in forwards(state.config, Flow(intent.interfaces, door.address, port))
    ]
