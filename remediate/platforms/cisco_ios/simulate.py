"""What a rendered text does to a configuration. What it does not know, it does not guess."""

from __future__ import annotations

import re
from dataclasses import replace

from remediate.errors import Unprovable
from remediate.model.rule import Rule
from remediate.platforms.cisco_ios.acl import AccessList, Entry, rule_of
from remediate.platforms.cisco_ios.config import MARKER, Block, Config
from remediate.platforms.cisco_ios.forwards import STATIC, nat_lines, taken

_LIST = re.compile(r"(no )?ip access-list extended (\S+)")
_INTERFACE = re.compile(r"interface (\S+)")
_GROUP = re.compile(r"(no )?ip access-group (\S+) (in|out)")
_REMARK = re.compile(r"(no )?(?:(\d+) )?remark (.+)")
_NAT = re.compile(rf"(no )?({STATIC}.+)")
_ENTRY = re.compile(r"(?:(no) |(\d+) )((?:permit|deny|evaluate) .+)")


def simulate(config: Config, text: str) -> Config:
    """Raises Unprovable for a line that is not known, or that the device would refuse or silently ignore."""
    inside: str | None = None
    interface: str | None = None
    for line in filter(None, (" ".join(raw.split()) for raw in text.splitlines())):
        if found := _LIST.fullmatch(line):
            config, inside = _open_or_drop(config, found[2], bool(found[1]), line)
            interface = None
        elif found := _INTERFACE.fullmatch(line):
            if found[1] not in config.interfaces:
                raise _unknown(line, "there is no such interface")
            inside, interface = None, found[1]
        elif found := _NAT.fullmatch(line):
            config, inside, interface = _translate(config, found[2], bool(found[1]), line), None, None
        elif interface and (found := _GROUP.fullmatch(line)):
            config = _bind(config, (interface, found[3]), found[2], bool(found[1]), line)
        elif inside:
            config = config.has(_line(config, config.lists[inside], line))
        else:
            raise _unknown(line, "it is not known")
    return config


def _open_or_drop(config: Config, name: str, drop: bool, line: str) -> tuple[Config, str | None]:
    acl = config.lists.get(name)
    if name == MARKER:
        raise _unknown(line, "that list is the driver's")
    if not drop:
        if acl and (not acl.extended or acl.old_style):
            raise _unknown(line, "that list is of another kind")
        return (config if acl else config.has(AccessList(name))), name
    if acl is None or config.used_elsewhere(name, ()):
        raise _unknown(line, "that list is missing or in use")
    return config.drops(name), None


def _translate(config: Config, text: str, undo: bool, line: str) -> Config:
    """Of two lines that publish the same, IOS refuses the second."""
    place = taken(config, text)
    if place is None:
        raise _unknown(line, "it does not publish one port")
    if undo:
        blocks = tuple(block for block in config.blocks if " ".join(block.head.split()) != text)
        if len(blocks) != len(config.blocks) - 1:
            raise _unknown(line, "no line, or more than one, is like that")
        return replace(config, blocks=blocks)
    if any(taken(config, other) == place for other in nat_lines(config)):
        raise _unknown(line, "that port is published already")
    return replace(config, blocks=(*config.blocks, Block(text)))


def _bind(config: Config, place: tuple[str, str], name: str, undo: bool, line: str) -> Config:
    if not undo:
        return config.binds(place, name)
    if config.bound.get(place) != name:
        raise _unknown(line, "that list is not bound there")
    return config.binds(place, None)


def _line(config: Config, acl: AccessList, line: str) -> AccessList:
    if found := _REMARK.fullmatch(line):
        if bool(found[2]) != config.numbered and not found[1]:
            raise _unknown(line, "this train wants a number before a remark, or does not take one")
        return _no_remark(acl, found[3], line) if found[1] else acl._replace(trailing=(*acl.trailing, found[3]))
    if not (found := _ENTRY.fullmatch(line)):
        raise _unknown(line, "it is not known")
    text = found[3]
    same = [entry for entry in acl.entries if _says(entry.text) == _says(text)]
    if found[1]:
        if len(same) != 1:
            raise _unknown(line, "no entry, or more than one, is like that")
        return acl._replace(entries=tuple(entry for entry in acl.entries if entry is not same[0]))
    number = int(found[2])
    if same:
        raise _unknown(line, "the same entry is there already, so it would be ignored")
    if any(entry.number == number for entry in acl.entries):
        raise _unknown(line, "that number is taken")
    entries = sorted((*acl.entries, Entry(text, number, acl.trailing)), key=lambda entry: entry.number)
    return acl._replace(entries=tuple(entries), trailing=())


def _says(text: str) -> Rule | str:
    """IOS prints some ports by name."""
    return rule_of(text) or text


def _no_remark(acl: AccessList, remark: str, line: str) -> AccessList:
    if sum(entry.remarks.count(remark) for entry in acl.entries) != 1:
        raise _unknown(line, "no remark, or more than one, is like that")
    entries = (entry._replace(remarks=tuple(r for r in entry.remarks if r != remark)) for entry in acl.entries)
    return acl._replace(entries=tuple(entries))


def _unknown(line: str, why: str) -> Unprovable:
    return Unprovable(
        f"the line `{line}` cannot be proved: {why}", next="keep to the lines of the template that comes along"
    )
