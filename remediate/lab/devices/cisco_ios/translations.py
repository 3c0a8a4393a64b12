"""The table of translations: the static entries, and a child for every connection that came by one of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address

from remediate.lab.devices.cisco_ios.nat import Static

#: Seconds. Command reference, ip nat translation (timeout): tcp-timeout and finrst-timeout by default.
TCP_TIMEOUT, FINRST_TIMEOUT = 86400, 60

Endpoint = tuple[int, int]  # address and port
_TITLE = "Pro Inside global      Inside local       Outside local      Outside global"


@dataclass(frozen=True)
class Translation:
    """A connection as the table has it: the host outside, and the two names of the one inside."""

    outside: Endpoint
    inside_global: Endpoint
    inside_local: Endpoint


@dataclass
class _Entry:
    number: int
    created: float
    used: float
    ended: float | None = None  # a FIN or RST was seen


class Translations:
    """``second``: how long a second of the router's lasts; its clock is seen by whoever asks."""

    def __init__(self, second: float = 1.0) -> None:
        self._second = second
        self._statics: dict[Static, _Entry] = {}
        self._children: dict[Translation, tuple[Static, _Entry]] = {}
        self._numbers = 0
        self._peak = (0, 0.0)
        self.hits = self.expired = 0

    def _now(self) -> float:
        return time.monotonic() / self._second

    def _entry(self) -> _Entry:
        self._numbers += 1
        now = self._now()
        return _Entry(self._numbers, now, now)

    def sync(self, statics: Iterable[Static]) -> None:
        """After every change of the configuration: an entry that went takes its children with it."""
        present = list(statics)
        self._statics = {one: self._statics.get(one) or self._entry() for one in present}
        self._children = {one: child for one, child in self._children.items() if child[0] in self._statics}
        self._count_peak()

    # -- packets --------------------------------------------------------------------------------------

    def packet(self, static: Static, one: Translation) -> None:
        """Makes the child where there is none."""
        self._expire()
        entry = self._statics.get(static)
        if entry is None:
            return  # the packets of an entry that has gone are nobody's
        if one not in self._children:
            self._children[one] = (static, self._entry())
        child = self._children[one][1]
        child.ended = None  # a new connection between the same two ports
        self.hits += 1
        entry.used = child.used = self._now()
        self._count_peak()

    def closed(self, one: Translation) -> None:
        if one in self._children:
            self._children[one][1].ended = self._now()

    def _expire(self) -> None:
        limit = self._now()
        gone = [one for one, (_, child) in self._children.items() if self._left(child, limit) <= 0]
        for one in gone:
            del self._children[one]
        self.expired += len(gone)

    @staticmethod
    def _left(child: _Entry, now: float) -> float:
        return child.used + TCP_TIMEOUT - now if child.ended is None else child.ended + FINRST_TIMEOUT - now

    def _count_peak(self) -> None:
        if self._total > self._peak[0]:
            self._peak = (self._total, self._now())

    @property
    def _total(self) -> int:
        return len(self._statics) + len(self._children)

    # -- asking and clearing --------------------------------------------------------------------------

    def used(self, static: Static) -> bool:
        """Whether it has children, also those of connections that have ended lately."""
        self._expire()
        return any(parent == static for parent, _ in self._children.values())

    def clear(self, fits: Callable[[Translation], bool] = lambda _: True) -> bool:
        """Takes children away; whether there was any."""
        self._expire()
        chosen = [one for one in self._children if fits(one)]
        for one in chosen:
            del self._children[one]
        return bool(chosen)

    def clear_statistics(self) -> None:
        self.hits = self.expired = 0
        self._peak = (self._total, self._now())

    # -- show -----------------------------------------------------------------------------------------

    def shown(self, address_of: Callable[[str], int | None], *, verbose: bool = False) -> str:
        """``show ip nat translations``: the children of an entry, then the entry itself."""
        self._expire()
        lines: list[str] = []
        now = self._now()
        for static, entry in self._statics.items():
            children = [(one, child) for one, (parent, child) in self._children.items() if parent == static]
            for one, child in children:
                peer = _endpoint(one.outside)
                lines.append(_row("tcp", _endpoint(one.inside_global), _endpoint(one.inside_local), peer, peer))
                if verbose:
                    left = _clock(self._left(child, now))
                    flags = ["extended", *(["timing-out"] if child.ended is not None else [])]
                    timeout = f"timeout:{TCP_TIMEOUT * 1000}, left {left}, "
                    lines += self._details(child, now, timeout, flags, 0, static.vrf)
            lines.append(_static_row(static, address_of))
            if verbose:
                flags = ["static"]
                flags += ["extended"] if static.protocol else []
                flags += ["extendable"] if "extendable" in static.flags else []
                lines += self._details(entry, now, "timeout:0, ", flags, len(children), static.vrf)
        return "\n".join([_TITLE, *lines]) if lines else ""

    @staticmethod
    def _details(entry: _Entry, now: float, timeout: str, flags: list[str], uses: int, vrf: str) -> Iterator[str]:
        yield f"    create {_clock(now - entry.created)}, use {_clock(now - entry.used)} {timeout}"
        yield "    flags: "
        words = [*flags, f"use_count: {uses}", *([f"VRF : {vrf}"] if vrf else [])]
        yield ", ".join([*words, f"entry-id: {entry.number}", "lc_entries: 0"])

    def statistics(self, outside: list[str], inside: list[str]) -> str:
        """``show ip nat statistics``; the interfaces by their names."""
        self._expire()
        extended = len(self._children) + sum(bool(one.protocol) for one in self._statics)
        counts = f"{len(self._statics)} static, {len(self._children)} dynamic; {extended} extended"
        lines = [f"Total active translations: {self._total} ({counts})"]
        if self._peak[0]:
            lines.append(f"Peak translations: {self._peak[0]}, occurred {_clock(self._now() - self._peak[1])} ago")
        lines += ["Outside interfaces:", *([f"  {', '.join(outside)}"] if outside else [])]
        lines += ["Inside interfaces: ", *([f"  {', '.join(inside)}"] if inside else [])]
        lines += [
            f"Hits: {self.hits}  Misses: 0",
            f"CEF Translated packets: {self.hits}, CEF Punted packets: 0",
            f"Expired translations: {self.expired}",
            "Dynamic mappings:",
            "",
            "Total doors: 0",
            "Appl doors: 0",
            "Normal doors: 0",
            "Queued Packets: 0",
        ]
        return "\n".join(lines)


def _row(protocol: str, *columns: str) -> str:
    return " ".join([f"{protocol:<3}", *(f"{column:<18}" for column in columns)]).rstrip()


def _endpoint(endpoint: Endpoint) -> str:
    return f"{IPv4Address(endpoint[0])}:{endpoint[1]}"


def _static_row(static: Static, address_of: Callable[[str], int | None]) -> str:
    outside = (address_of(static.interface) or 0) if static.interface else static.outside
    if not static.protocol:
        return _row("---", str(IPv4Address(outside)), str(IPv4Address(static.local)), "---", "---")
    ends = _endpoint((outside, static.port)), _endpoint((static.local, static.local_port))
    return _row(static.protocol, *ends, "---", "---")


def _clock(seconds: float) -> str:
    whole = max(0, int(seconds))
    return f"{whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02}"
