"""A router's running configuration: its access lists, where they are bound, and what is neither ours nor volatile."""

from __future__ import annotations

import re
from bisect import bisect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from itertools import accumulate
from typing import NamedTuple

from remediate.model.rule import Rule
from remediate.platforms.cisco_ios import ledger
from remediate.platforms.cisco_ios.acl import TAIL, AccessList, Entry, Parts, misplaced, parts, without

#: A list that is bound to nothing; its remarks say which push is on the device.
MARKER = "REMEDIATE-PUSH"

DIRECTIONS = ("in", "out")
#: The driver adds the sequence numbers, which not every train prints in its running configuration.
NUMBERS = "! sequence numbers of"

_CLONE = re.compile(r"RMD\d+\.(.+)")
_CREATED = re.compile(r"RMD\d+-(?:in|out)\..+")
_VOLATILE = re.compile(
    r"!|Building configuration|Current configuration|Using \d+ out of|ntp clock-period|Load for|Time source is"
)
_LIST = re.compile(r"ip access-list (extended|standard) (\S+)")
_OLD = re.compile(r"access-list (\d+) (.+)")
_GROUP = re.compile(r"ip access-group (\S+) (in|out)")

_TAIL = (Entry(TAIL, 10),)

Place = tuple[str, str]  # interface, direction


class Block(NamedTuple):
    """A line at the left margin, and the lines below it."""

    head: str
    children: tuple[str, ...] = ()


@dataclass(frozen=True)
class Config:
    """``blocks``: everything but access lists and their bindings. ``numbered``: remarks take sequence numbers."""

    blocks: tuple[Block, ...]
    lists: Mapping[str, AccessList] = field(default_factory=dict)
    bound: Mapping[Place, str] = field(default_factory=dict)
    numbered: bool = False

    def unreadable(self, interface: str) -> list[str]:
        """Lines that bind a list there in a form that is not known."""
        lines = [line for block in self.blocks if block.head == f"interface {interface}" for line in block.children]
        return [line.strip() for line in lines if line.strip().startswith("ip access-group")]

    @property
    def interfaces(self) -> list[str]:
        return [block.head.removeprefix("interface ") for block in self.blocks if block.head.startswith("interface ")]

    @cached_property
    def owners(self) -> dict[str, dict[str, tuple[Rule, ...]]]:
        """List → section → the entries that the configuration says to be its; some may be gone."""
        return ledger.owners(self.lists.values())

    def parts(self, acl: AccessList) -> Parts:
        return parts(acl, self.owners.get(acl.name, {}))

    def has(self, acl: AccessList) -> Config:
        return replace(self, lists={**self.lists, acl.name: acl})

    def drops(self, name: str) -> Config:
        return replace(self, lists={n: acl for n, acl in self.lists.items() if n != name})

    def binds(self, place: Place, name: str | None) -> Config:
        bound = {p: n for p, n in self.bound.items() if p != place}
        return replace(self, bound={**bound, place: name} if name else bound)

    def used_elsewhere(self, name: str, places: Iterable[Place]) -> bool:
        """Whether anything but its bindings in those places names the list: vty, NAT, a route map, SNMP …

        Any mention counts, a description too: too careful only means a clone.
        """
        if any(n == name and place not in places for place, n in self.bound.items()):
            return True
        word = re.compile(rf"(?<![\w.-]){re.escape(name)}(?![\w.-])")
        lines = (line for block in self.blocks for line in (block.head, *block.children) if name in line)
        return any(map(word.search, lines))


class Effective(NamedTuple):
    """What filters in one place. ``name``: the bound list, or None. ``origin``: the list whose work a clone does.

    ``rest``: what stood there without us, in full: entries equal to ours are missing in a clone, not here.
    ``restorable``: to bind the origin again, or nothing, brings back just that. ``ahead``: no section that is known by
    its remark alone stands behind others' entries.
    """

    name: str | None
    origin: str | None
    sections: dict[str, tuple[Rule, ...]]
    rest: tuple[Entry, ...]
    trailing: tuple[str, ...]
    restorable: bool
    kept: tuple[Entry, ...]
    ahead: bool


def ours(name: str | None) -> bool:
    return bool(name and (_CLONE.fullmatch(name) or _CREATED.fullmatch(name)))


def origin_of(name: str) -> str | None:
    """The list that a clone of ours replaces; None for a list that we created where there was none."""
    found = _CLONE.fullmatch(name)
    return found[1] if found else None


def read(text: str) -> Config:
    blocks, numbers = _blocks(text)
    lists: dict[str, AccessList] = {}
    bound: dict[Place, str] = {}
    kept: list[Block] = []
    old: dict[str, list[str]] = {}
    numbered = _numbers_remarks(text)
    for block in blocks:
        if found := _LIST.fullmatch(block.head):
            acl, has_numbers = _access_list(found[2], found[1] == "extended", block.children, numbers.get(found[2]))
            lists[acl.name] = acl
            numbered = numbered or has_numbers
        elif found := _OLD.fullmatch(block.head):
            old.setdefault(found[1], []).append(found[2])
        elif block.head.startswith("interface "):
            interface = block.head.removeprefix("interface ")
            groups = [m for m in (_GROUP.fullmatch(child.strip()) for child in block.children) if m]
            bound |= {(interface, m[2]): m[1] for m in groups}
            kept.append(Block(block.head, tuple(c for c in block.children if not _GROUP.fullmatch(c.strip()))))
        else:
            kept.append(block)
    for name, lines in old.items():
        extended = not (int(name) < 100 or 1300 <= int(name) < 2000)
        if extended or int(name) < 2000:
            acl, _ = _access_list(name, extended, tuple(lines), numbers.get(name))
            lists[name] = acl._replace(old_style=True)
    return Config(tuple(kept), lists, bound, numbered)


def bound_to(text: str, interface: str) -> list[str]:
    """The lists that an interface names in a running configuration, which is not read whole for it."""
    block = re.search(rf"^interface {re.escape(interface)}[ \r]*\n((?: .*\n)*)", text, re.MULTILINE)
    return re.findall(r"^ ip access-group (\S+) (?:in|out)\s*$", block[1], re.MULTILINE) if block else []


def effective(config: Config, place: Place) -> Effective:
    name = config.bound.get(place)
    acl = config.lists.get(name) if name else None
    if acl is None or not acl.entries:
        return Effective(name, name, {}, _TAIL, acl.trailing if acl else (), False, (), True)
    own = config.parts(acl)
    here = Effective(name, name, own.sections, own.rest, own.trailing, False, own.rest, not misplaced(own.rest))
    if not ours(name):
        return here
    origin = origin_of(acl.name)
    full, trailing = _in_full(config, config.lists.get(origin)) if origin else (_TAIL, ())
    left, over = without(full, (rule for section in own.sections.values() for rule in section))
    if said(left, over, trailing) != said(own.rest, own.trailing):
        return here._replace(origin=origin)
    return here._replace(origin=origin, rest=full, trailing=trailing, restorable=True)


def _in_full(config: Config, acl: AccessList | None) -> tuple[tuple[Entry, ...], tuple[str, ...]]:
    """What a list does without our sections; one that is missing or empty permits everything."""
    if acl is None or not acl.entries:
        return _TAIL, acl.trailing if acl else ()
    own = config.parts(acl)
    return own.rest, own.trailing


def said(entries: Iterable[Entry], *trailing: tuple[str, ...]) -> list[str]:
    lines: list[str] = []
    for entry in entries:
        lines += [*(f"remark {remark}" for remark in entry.remarks), entry.text]
    return [*lines, *(f"remark {remark}" for group in trailing for remark in group)]


def same(one: str, other: str) -> bool:
    """Whether two texts are the same below their first, volatile lines. Others may still say the same."""
    return _body(one) == _body(other)


def _body(text: str) -> str:
    at = 0
    while (end := text.find("\n", at)) >= 0:
        line = text[at:end].strip()
        if line and not _VOLATILE.match(line):
            break
        at = end + 1
    return text[at:]


def redacted(text: str) -> str:
    """Without the secrets that a running configuration shows; lists that are named behind one stay."""
    lines = text.splitlines()
    for at in _suspects(text) if text.isascii() else range(len(lines)):
        lines[at] = _redacted(lines[at])
    return "\n".join(lines) + "\n"


_TO_THE_END = re.compile(
    r"(\b(?:password|secret|key-string|pre-shared-key|passphrase|psk|ascii|authentication-key|message-digest-key"
    r"|authentication)\b(?! (?:pre-share|login|rsa-sig))).*",
    re.IGNORECASE,
)
_ONE_WORD = re.compile(r"(\b(?:community|key|md5)\b(?: [0-8](?= \S))?) (?!chain\b|generate\b)\S+", re.IGNORECASE)
_TRAP_HOST = re.compile(r"(snmp-server host \S+).*")
#: One of them is in every line that the patterns above change. Most lines have none, and patterns are slow.
_SUSPECT = ("password", "secret", "key", "passphrase", "psk", "ascii", "authentication", "community", "md5", "snmp-")


def _suspects(text: str) -> set[int]:
    """The numbers of the lines with one of these words, in a text of ASCII only."""
    low, found = text.lower(), set()
    ends = list(accumulate(map(len, text.splitlines(keepends=True))))
    for word in _SUSPECT:
        at = low.find(word)
        while at >= 0:
            found.add(bisect(ends, at))
            at = low.find(word, at + 1)
    return found


def _redacted(line: str) -> str:
    if re.match(r"\s*(ip access-list|access-list|permit|deny|remark|\d+ |description|!)", line):
        return line
    for pattern in (_TRAP_HOST, _TO_THE_END, _ONE_WORD):
        line = pattern.sub(r"\1 <removed>", line)
    return line


# -- how -----------------------------------------------------------------------------------------------


@lru_cache(65536)  # the same few words begin most lines, and most lines come again
def _volatile(line: str) -> bool:
    return bool(_VOLATILE.match(line.lstrip()))


def _numbers_remarks(text: str) -> bool:
    found = re.search(r"^version (\d+)\.", text, re.MULTILINE)
    return bool(found and int(found[1]) >= 17)


def _blocks(text: str) -> tuple[list[Block], dict[str, tuple[int, ...]]]:
    blocks: list[tuple[str, list[str]]] = []
    numbers: dict[str, tuple[int, ...]] = {}
    banner = ""
    for raw in text.splitlines():
        line = raw.rstrip()
        if banner:
            blocks[-1][1].append(line)
            banner = "" if banner in line else banner
        elif line.startswith(NUMBERS):
            name, *found = line.removeprefix(NUMBERS).split()
            numbers[name] = tuple(map(int, found))
        elif not line or line == "end" or _volatile(line):
            continue
        elif line.startswith(" ") and blocks:
            blocks[-1][1].append(line)
        else:
            blocks.append((line, []))
            if found_banner := re.match(r"banner \S+ (\^C|\S)", line):
                mark = found_banner[1]
                banner = "" if mark in line[found_banner.end() :] else mark
    return [Block(head, tuple(children)) for head, children in blocks], numbers


@lru_cache(1024)
def _access_list(
    name: str, extended: bool, lines: tuple[str, ...], numbers: tuple[int, ...] | None
) -> tuple[AccessList, bool]:
    """``numbers``: as the device told them. Without any IOS counts 10, 20 … at the next reload."""
    entries: list[Entry] = []
    remarks: list[str] = []
    has_numbers = False
    for line in lines:
        text = " ".join(line.split())
        number, _, after = text.partition(" ")
        number = number if after and number.isdecimal() else ""
        text = after if number else text
        if text.startswith("remark "):
            remarks.append(text.removeprefix("remark "))
            continue
        has_numbers = has_numbers or bool(number)
        last = entries[-1].number if entries else 0
        entries.append(Entry(text, int(number) if number else last + 10, tuple(remarks)))
        remarks = []
    sure = has_numbers or numbers is not None
    if numbers is not None and not has_numbers:
        sure = len(numbers) == len(entries)
        if sure:
            entries = [entry._replace(number=n) for entry, n in zip(entries, numbers, strict=True)]
    return AccessList(name, extended, False, tuple(entries), tuple(remarks), sure), has_numbers
