"""Static NAT of inside sources: what may be typed, how IOS prints it, and where it leads a packet from outside.

Cisco IOS IP Addressing Services Command Reference, ``ip nat inside source``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Address

from remediate.lab.devices.cisco_ios.acl import ALL
from remediate.lab.devices.cisco_ios.grammar import Cursor, Incomplete, Invalid

FORCED = "forced"


@dataclass(frozen=True)
class Static:
    """``outside``: the global address; 0 where ``interface`` has it. ``mask`` is as it was typed; only of networks.

    ``selectors`` tell entries of one pair of addresses apart (``vrf RED``); ``flags`` do not (``no-alias``).
    """

    local: int
    outside: int = 0
    interface: str = ""
    protocol: str = ""  # tcp, udp, esp
    local_port: int = 0
    port: int = 0
    mask: str = ""
    selectors: tuple[str, ...] = ()
    flags: frozenset[str] = frozenset()

    @property
    def identity(self) -> Static:
        return replace(self, flags=frozenset())

    @property
    def vrf(self) -> str:
        return next((text.split()[1] for text in self.selectors if text.startswith("vrf ")), "")

    @property
    def conditional(self) -> bool:
        """For packets of one VRF, or of one route map: this router has neither, and translates nothing by it."""
        return any(text.startswith(("vrf ", "route-map ")) for text in self.selectors)

    def line(self) -> str:
        """As the running configuration has it."""
        at = [f"interface {self.interface}"] if self.interface else [str(IPv4Address(self.outside))]
        ports = self.protocol in ("tcp", "udp")
        return " ".join(
            [
                "ip nat inside source static",
                *(["network"] if self.mask else []),
                *([self.protocol] if self.protocol else []),
                str(IPv4Address(self.local)),
                *([str(self.local_port)] if ports else []),
                *at,
                *([str(self.port)] if ports else []),
                *([self.mask] if self.mask else []),
                *self.selectors,
                *(flag for flag in _FLAGS if flag in self.flags),
            ]
        )


#: Options in the order in which IOS prints them. With a word or a number, and what may follow that.
_SELECTORS = {"redundancy": "", "mapping-id": "", "route-map": "reversible", "vrf": "match-in-vrf"}
_FLAGS = ("extendable", "no-alias", "no-payload")


def in_order(statics: Iterable[Static]) -> list[Static]:
    """By global address and port, those of an interface last: so devices of this train print them, in whatever order
    they were typed."""
    return sorted(statics, key=lambda one: (bool(one.interface), one.outside, one.port, one.protocol))


def read(words: Cursor, interface: Callable[[Cursor], str], *, away: bool = False) -> tuple[Static, bool]:
    """What stands after ``static``, and whether it is ``forced``, which only the ``no`` form may be (``away``)."""
    kind = words.maybe(["tcp", "udp", "esp", "network"]) or ""
    local = words.address()
    if kind in ("tcp", "udp"):
        local_port = words.number(1, 65535)
        name, outside = _global(words, interface)
        entry = Static(local, outside, name, kind, local_port, words.number(1, 65535))
    elif kind == "esp":
        words.keyword(["interface"])
        entry = Static(local, interface=interface(words), protocol=kind)
    elif kind == "network":
        outside = words.address()
        entry = Static(local, outside, mask=_mask(words))
    else:
        name, outside = _global(words, interface)
        entry = Static(local, outside, name)
    selectors: dict[str, str] = {}
    flags: set[str] = set()
    forced = False
    while words.more():
        known = {*_SELECTORS, *_FLAGS, *([FORCED] if away else [])} - set(selectors) - flags
        option = words.keyword(sorted(known))
        if option == FORCED:
            forced = True
        elif option in _FLAGS:
            flags.add(option)
        else:
            value = str(words.number(1, 2147483647)) if option == "mapping-id" else words.take().text
            follows = _SELECTORS[option]
            more = f" {follows}" if follows and words.more() and words.maybe([follows]) else ""
            selectors[option] = f"{option} {value}{more}"
    if entry.protocol in ("tcp", "udp") and not entry.interface:
        flags.add("extendable")  # IOS puts it in by itself
    ordered = tuple(selectors[name] for name in _SELECTORS if name in selectors)
    return replace(entry, selectors=ordered, flags=frozenset(flags)), forced


def _global(words: Cursor, interface: Callable[[Cursor], str]) -> tuple[str, int]:
    if words.maybe(["interface"]):
        return interface(words), 0
    return "", words.address()


def _mask(words: Cursor) -> str:
    """``255.255.255.0`` or ``/24``."""
    token = words.peek()
    if token.text.startswith("/"):
        digits = token.text[1:]
        if not digits:
            raise Incomplete
        if not digits.isdigit() or not 1 <= int(digits) <= 32:
            raise Invalid(token.start + 1)
        return words.take().text
    value = words.address()
    inverse = value ^ ALL
    if inverse & (inverse + 1):
        raise Invalid(token.start)
    return str(IPv4Address(value))


def _bits(mask: str) -> int:
    return ALL << (32 - int(mask[1:])) & ALL if mask.startswith("/") else int(IPv4Address(mask))


def conflict(new: Static, statics: Iterable[Static]) -> str:
    """What IOS says to an entry that does not go with those that are there; nothing where it does.

    Cisco, Verify NAT Operation and Basic NAT Troubleshooting (document 8605): ``% Public ip-address already mapped
    (Internal ip-address -> Public ip-address)``. ``extendable`` on the later line lets one address stand in two plain
    entries; no keyword lets one port lead to two hosts.
    """
    for old in statics:
        if (old.protocol, bool(old.mask), old.selectors) != (new.protocol, bool(new.mask), new.selectors):
            continue
        target = old.interface or str(IPv4Address(old.outside))
        pair = f"({IPv4Address(old.local)} -> {target})"
        here = (old.local, old.local_port) == (new.local, new.local_port)
        there = (old.outside, old.interface, old.port) == (new.outside, new.interface, new.port)
        if here and there:
            return f"% similar static entry {pair} already exists"
        if "extendable" in new.flags and not (there and new.protocol):
            continue
        if there:
            return f"% {target} already mapped {pair}"
        if here:
            return f"% similar static entry {pair} already exists"
    return ""


def translate(
    statics: Sequence[Static], address_of: Callable[[str], int | None], destination: int, port: int
) -> tuple[Static, tuple[int, int]] | None:
    """The entry for a TCP packet from outside to a global address, and the local address and port that it leads to.

    An entry for the port is asked before one for the whole address, and that before one for a network.
    """
    for rank in ("tcp", "", "network"):
        for entry in statics:
            if entry.conditional or ("network" if entry.mask else entry.protocol) != rank:
                continue
            if entry.mask:
                bits = _bits(entry.mask)
                if destination & bits == entry.outside & bits:
                    return entry, (entry.local & bits | destination & ~bits & ALL, port)
                continue
            outside = address_of(entry.interface) if entry.interface else entry.outside
            if outside == destination and (not rank or entry.port == port):
                return entry, (entry.local, entry.local_port if rank else port)
    return None
