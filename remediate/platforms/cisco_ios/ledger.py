"""What a router's configuration itself says of the guard: which entries of which list are whose section's.

An access list's entries bear no owner, and what a remark stands before changes: trains differ in where a remark goes,
and whoever renumbers a list or removes an entry may move it or lose it. So no remark of ours stands among somebody's
entries. For each section there is a list that is bound to nothing and holds no entry, as for a line that is switched
off (see notes). Its remarks spell each of the section's entries out, under the names of the lists that they stand in;
peers that differ in their address alone share a remark. It is in running and startup configuration like any other list,
so that whoever reads the configuration, with whichever record or none, knows what is ours by what it is.

Its first remark names the section, counts the others and holds a digest of them. One that was cut short, in the middle
of a push or by hand, says what is left of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from ipaddress import IPv4Network
from typing import NamedTuple

from remediate.model.base import canonical, sha256
from remediate.model.rule import Action, PortRange, Rule
from remediate.model.site import IPNetwork
from remediate.platforms.cisco_ios.acl import AccessList

_PREFIX = "RMD-"
#: IOS takes a list's name of that many characters, and a remark of that many.
LONGEST_NAME = 63
LONGEST_REMARK = 100
_HEADER = re.compile(r"remediate guard (\S+) (\d+) ([0-9a-f]{8})")
_IN = "in list "
_SIDES = ("sources", "destinations")
_PARTS = ("action", *_SIDES, "source_ports", "destination_ports")
_ENTRY = re.compile(r"(permit|deny) tcp (\S+)((?: eq \d+| range \d+ \d+)?) (\S+)((?: eq \d+| range \d+ \d+)?)")

#: List → the entries of one section in it, in order.
Lists = Mapping[str, tuple[Rule, ...]]


class Kept(NamedTuple):
    """``whole``: nobody has cut it short since it was typed."""

    section: str
    lists: Lists
    whole: bool


def list_name(section: str) -> str:
    """Cut, with a digest, where IOS would not take it."""
    name = _PREFIX + section
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 9]}.{sha256(section)[:8]}"


def remarks(section: str, lists: Lists) -> tuple[str, ...]:
    """() where there is nothing to keep."""
    body: list[str] = []
    by_rules: dict[tuple[Rule, ...], list[str]] = {}
    for name in sorted(lists):
        by_rules.setdefault(lists[name], []).append(name)
    for rules, names in by_rules.items():
        if rules:
            body += [*(f"{_IN}{name}" for name in names), *_folded(rules)]
    return (f"remediate guard {section} {len(body)} {_digest(body)}", *body) if body else ()


@lru_cache(1024)
def read(acl: AccessList) -> Kept | None:
    """None: it is no such list. Entries that somebody has typed there are theirs."""
    if not acl.extended or not acl.name.startswith(_PREFIX):
        return None
    lines = [remark for entry in acl.entries for remark in entry.remarks] + list(acl.trailing)
    header = next((m for m in map(_HEADER.fullmatch, lines) if m), None)
    if header is None or list_name(header[1]) != acl.name:
        return None
    body = [line for line in lines if line != header[0]]
    whole = (str(len(body)), _digest(body)) == (header[2], header[3])
    return Kept(header[1], _lists(body), whole)


def owners(lists: Iterable[AccessList]) -> dict[str, dict[str, tuple[Rule, ...]]]:
    """List → section → its entries there."""
    found: dict[str, dict[str, tuple[Rule, ...]]] = {}
    for kept in filter(None, map(read, lists)):
        for name, rules in kept.lists.items():
            found.setdefault(name, {})[kept.section] = rules
    return found


def _lists(body: Sequence[str]) -> dict[str, tuple[Rule, ...]]:
    found: dict[str, list[Rule]] = {}
    names: list[str] = []
    naming = False
    for line in body:
        if line.startswith(_IN):
            names = [*(names if naming else []), line.removeprefix(_IN)]
            naming = True
            continue
        naming = False
        for name in names:
            found.setdefault(name, []).extend(_unfolded(line))
    return {name: tuple(rules) for name, rules in found.items()}


def _folded(rules: Sequence[Rule]) -> Iterator[str]:
    """Neighbours that differ in their sources alone, or in their destinations alone, share a remark."""
    together: list[Rule] = []
    differ: tuple[str, ...] = _SIDES
    for rule in rules:
        fits = [side for side in differ if together and _alike(together[0], rule, side)]
        if fits and len(text([*together, rule])) <= LONGEST_REMARK:
            together, differ = [*together, rule], (fits[0],)
            continue
        if together:
            yield text(together)
        together, differ = [rule], _SIDES
    if together:
        yield text(together)


def _alike(one: Rule, other: Rule, but: str) -> bool:
    return all(getattr(one, part) == getattr(other, part) for part in _PARTS if part != but)


def text(rules: Sequence[Rule]) -> str:
    """Of rules that differ in their sources alone, or in their destinations alone."""
    sources, destinations = (
        ",".join(dict.fromkeys(_address(getattr(rule, side)) for rule in rules)) for side in _SIDES
    )
    first = rules[0]
    return (
        f"{first.action.value} tcp {sources}{_ports(first.source_ports)} "
        f"{destinations}{_ports(first.destination_ports)}"
    )


def _address(networks: Sequence[IPNetwork]) -> str:
    if not networks:
        return "any"
    return str(networks[0].network_address) if networks[0].prefixlen == networks[0].max_prefixlen else str(networks[0])


def _ports(ranges: Sequence[PortRange]) -> str:
    if not ranges:
        return ""
    first, last = ranges[0].first, ranges[0].last
    return f" eq {first}" if first == last else f" range {first} {last}"


def _unfolded(line: str) -> Iterator[Rule]:
    found = _ENTRY.fullmatch(line)
    if found is None:
        return
    try:
        for source in _networks(found[2]):
            for destination in _networks(found[4]):
                yield Rule(
                    action=Action(found[1]),
                    sources=source,
                    source_ports=_ranges(found[3]),
                    destinations=destination,
                    destination_ports=_ranges(found[5]),
                )
    except ValueError:  # no address or port of IPv4: not what we have typed
        return


def _networks(text: str) -> list[tuple[IPNetwork, ...]]:
    return [() if one == "any" else (IPv4Network(one),) for one in text.split(",")]


def _ranges(text: str) -> tuple[PortRange, ...]:
    numbers = [int(word) for word in text.split()[1:]]
    return (PortRange(first=numbers[0], last=numbers[-1]),) if numbers else ()


def _digest(body: Sequence[str]) -> str:
    return sha256(canonical(list(body)))[:8]
