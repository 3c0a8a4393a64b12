"""Interfaces by whose name no forwarded packet is seen, and the sibling whose name they bear. Pure.

A packet that comes in by a member of a bond or a bridge bears the name of the bond or the bridge (``iifname``), a
tagged one that of the VLAN's own interface, one out of PPPoE that of the PPP interface.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

#: For the script that looks: what of ``ip -d -o link`` and ``ip -o address`` is read here. Nothing without iproute2.
FACTS = """\
ip -d -o link 2>/dev/null | sed -n 's/^[0-9]*: /link=/p'
ip -o address show scope global 2>/dev/null | sed -n 's/^[0-9]*: \\([^ ]*\\) .*/address=\\1/p'
"""

_LINK = re.compile(r"(?P<name>[^:@ ]+)(?:@(?P<under>[^: ]+))?: <(?P<flags>[^>]*)>(?P<rest>.*)", re.DOTALL)
_MASTERS = (("bond mode", "bond"), ("bridge forward_delay", "bridge"), ("team", "team"), ("openvswitch", "switch"))


class Link(NamedTuple):
    """``kind``: of what others may be members of; "" of others. ``vlan_of``: the interface that carries it tagged."""

    up: bool
    master: str
    kind: str
    vlan_of: str


def read(lines: Iterable[str]) -> tuple[dict[str, Link], set[str]]:
    """The links, by name, and those that have an address."""
    links: dict[str, Link] = {}
    addressed: set[str] = set()
    for line in lines:
        key, _, value = line.partition("=")
        if key == "address":
            addressed.add(value)
        elif key == "link" and (match := _LINK.match(value)):
            rest = match["rest"]
            master = re.search(r" master (\S+)", rest)
            kind = next((kind for words, kind in _MASTERS if re.search(rf"\s{words}\b", rest)), "")
            tagged = re.search(r"\svlan protocol \S+ id \d+", rest)
            links[match["name"]] = Link(
                "UP" in match["flags"].split(","),
                master[1] if master else "",
                kind,
                match["under"] or "" if tagged else "",
            )
    return links, addressed


def wrong(links: Mapping[str, Link], addressed: set[str], name: str, key: str) -> str:
    """Why the interface cannot carry the guard, and which one can; "" where it can, or where nothing is known."""
    link = links.get(name)
    if link is None:
        return ""
    kind = links[link.master].kind if link.master in links else ""
    if kind:
        return (
            f"interface {name} is a member of the {kind} {link.master}, and what comes in by it bears that name: "
            f"{key}: name {link.master} in its place"
        )
    tagged = [other for other, one in links.items() if one.vlan_of == name and other in addressed]
    if tagged and name not in addressed:
        return (
            f"interface {name} has no address and carries VLANs, whose packets bear the VLAN's own name: {key}: name "
            f"the outer one of {', '.join(tagged)} in its place"
        )
    dialled = [other for other in links if other.startswith("ppp") and other in addressed]
    if dialled and name not in addressed:
        return (
            f"interface {name} has no address, and what comes by PPP bears the name of its own interface: {key}: name "
            f"{' or '.join(dialled)} in its place"
        )
    if not link.up and key == "guard.interface":
        return f"interface {name} is down, so what comes from outside comes by another one: correct {key}"
    return ""
