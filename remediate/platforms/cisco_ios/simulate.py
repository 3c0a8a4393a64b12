"""What a rendered text does to a configuration. What it does not know, it does not guess.

Trains differ in where a remark goes that has no number: to where the next entry goes that is typed, or to the end. What
differs between the two is not known either.
"""

from __future__ import annotations

import re
from bisect import bisect_left
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
_ENTRY = re.compile(r"(?:(no) |(\d+) )?((?:permit|deny|evaluate) .+)")
#: Between the numbers of entries that are typed without one.
_STEP = 10


def simulate(config: Config, text: str) -> Config:
    """Raises Unprovable for a line that is not known, that the device would refuse or silently ignore, or that does
    something else on another train.
    """
    lines = [line for line in (" ".join(raw.split()) for raw in text.splitlines()) if line]
    made = _simulated(config, lines, to_the_end=False)
    if made != _simulated(config, lines, to_the_end=True):
        raise Unprovable(
            "the text cannot be proved: what it does depends on where this train puts a remark that has no number",
            next="type no remark into a list that is edited in place, and leave the numbers out of a new list",
        )
    return made


def _simulated(config: Config, lines: list[str], *, to_the_end: bool) -> Config:
    typing: _Typing | None = None
    interface: str | None = None
    for line in lines:
        if typing and (_REMARK.fullmatch(line) or _ENTRY.fullmatch(line)):
            typing.line(line)
            continue
        if typing:
            config, typing = config.has(typing.acl()), None
        if found := _LIST.fullmatch(line):
            config, acl = _open_or_drop(config, found[2], bool(found[1]), line)
            typing = _Typing(acl, numbered=config.numbered, to_the_end=to_the_end) if acl else None
            interface = None
        elif found := _INTERFACE.fullmatch(line):
            if found[1] not in config.interfaces:
                raise _unknown(line, "there is no such interface")
            interface = found[1]
        elif found := _NAT.fullmatch(line):
            config, interface = _translate(config, found[2], bool(found[1]), line), None
        elif interface and (found := _GROUP.fullmatch(line)):
            config = _bind(config, (interface, found[3]), found[2], bool(found[1]), line)
        else:
            raise _unknown(line, "it is not known")
    return config.has(typing.acl()) if typing else config


class _Typing:
    """An access list while lines are typed into it."""

    def __init__(self, acl: AccessList, *, numbered: bool, to_the_end: bool) -> None:
        self._was = acl
        self._numbered = numbered  # where a remark has its entry's number, it goes where that goes, and goes with it
        self._to_the_end = to_the_end and not numbered
        self._entries = list(acl.entries)
        self._remarks = list(acl.trailing)  # at the end, or waiting for the next entry
        self._by_key: dict[Rule | str, list[int]] = {}
        for entry in acl.entries:
            self._by_key.setdefault(_says(entry.text), []).append(entry.number)

    def acl(self) -> AccessList:
        return self._was._replace(entries=tuple(self._entries), trailing=tuple(self._remarks))

    def line(self, line: str) -> None:
        if found := _REMARK.fullmatch(line):
            if found[2] and not self._numbered:
                raise _unknown(line, "this train does not take a number before a remark")
            if found[1]:
                self._no_remark(found[3], line)
            else:
                self._remarks.append(found[3])
        elif found := _ENTRY.fullmatch(line):
            if found[1]:
                self._no_entry(found[3], line)
            else:
                self._entry(found[3], int(found[2]) if found[2] else None, line)

    def _entry(self, text: str, number: int | None, line: str) -> None:
        says = _says(text)
        if says in self._by_key:
            raise _unknown(line, "the same entry is there already, so it would be ignored")
        last = self._entries[-1].number if self._entries else 0
        placed = last + _STEP if number is None else number
        at = len(self._entries) if placed > last else self._at(placed)
        if at < len(self._entries) and self._entries[at].number == placed:
            raise _unknown(line, "that number is taken")
        takes_remarks = not self._to_the_end or number is None
        self._entries.insert(at, Entry(text, placed, tuple(self._remarks) if takes_remarks else ()))
        if takes_remarks:
            self._remarks = []
        self._by_key[says] = [placed]

    def _no_entry(self, text: str, line: str) -> None:
        numbers = self._by_key.pop(_says(text), [])
        if len(numbers) != 1:
            raise _unknown(line, "no entry, or more than one, is like that")
        at = self._at(numbers[0])
        remarks = self._entries.pop(at).remarks
        if not self._to_the_end:
            return
        if at < len(self._entries):
            self._entries[at] = self._entries[at]._replace(remarks=remarks + self._entries[at].remarks)
        else:
            self._remarks = [*remarks, *self._remarks]

    def _no_remark(self, remark: str, line: str) -> None:
        holding = [at for at, entry in enumerate(self._entries) if remark in entry.remarks]
        if len(holding) != 1 or self._entries[holding[0]].remarks.count(remark) != 1 or remark in self._remarks:
            raise _unknown(line, "no remark, or more than one, is like that")
        entry = self._entries[holding[0]]
        self._entries[holding[0]] = entry._replace(remarks=tuple(r for r in entry.remarks if r != remark))

    def _at(self, number: int) -> int:
        return bisect_left(self._entries, number, key=lambda entry: entry.number)


def _open_or_drop(config: Config, name: str, drop: bool, line: str) -> tuple[Config, AccessList | None]:
    acl = config.lists.get(name)
    if name == MARKER:
        raise _unknown(line, "that list is the driver's")
    if not drop:
        if acl and (not acl.extended or acl.old_style):
            raise _unknown(line, "that list is of another kind")
        return config, acl or AccessList(name)
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


def _says(text: str) -> Rule | str:
    """IOS prints some ports by name."""
    return rule_of(text) or text


def _unknown(line: str, why: str) -> Unprovable:
    return Unprovable(
        f"the line `{line}` cannot be proved: {why}", next="keep to the lines of the template that comes along"
    )
