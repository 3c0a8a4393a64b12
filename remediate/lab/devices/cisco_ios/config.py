"""A configuration: what is in it, and its text as ``show running-config`` prints it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import IPv4Address
from itertools import groupby

from remediate.lab.devices.cisco_ios.acl import AccessList
from remediate.lab.devices.cisco_ios.nat import Static

#: The order in which IOS writes a configuration, by how a line begins. What fits nothing follows its predecessor.
_ORDER = (
    ("version", "service", "no service", "platform"),
    ("hostname",),
    ("boot",),
    ("logging buffered", "enable"),
    ("aaa", "no aaa"),
    ("clock", "ip domain", "no ip domain", "ip name-server", "ip cef", "no ip cef", "ip ssh", "ip icmp", "no ip icmp"),
    ("archive",),
    ("username",),
    ("interface",),
    ("router", "ip forward-protocol"),
    ("ip http", "no ip http"),
    ("ip nat",),
    ("ip nat inside source static",),
    ("ip route",),
    ("ip access-list",),
    ("logging", "snmp-server", "route-map"),
    ("access-list",),
    ("control-plane", "banner"),
    ("line",),
    ("ntp", "scheduler"),
)


#: Milliseconds between two ICMP unreachables of a router that nobody told otherwise.
UNREACHABLE_INTERVAL = 500


@lru_cache(4096)
def place(line: str) -> int | None:
    fits = [
        (len(start), index)
        for index, starts in enumerate(_ORDER)
        for start in starts
        if line == start or line.startswith((f"{start} ", f"{start}-"))
    ]
    return max(fits)[1] if fits else None


@dataclass
class Interface:
    name: str
    description: str = ""
    address: tuple[int, int] | None = None  # address, mask
    access: dict[str, str] = field(default_factory=dict)  # direction → name of the list
    unreachables: bool = True
    nat: str = ""  # inside or outside
    reassembly: bool = False
    shutdown: bool = False
    extra: list[str] = field(default_factory=list)

    def body(self) -> list[str]:
        lines = [f"description {self.description}"] if self.description else []
        if self.address:
            lines.append("ip address " + " ".join(str(IPv4Address(part)) for part in self.address))
        else:
            lines.append("no ip address")
        lines += [f"ip access-group {self.access[way]} {way}" for way in ("in", "out") if way in self.access]
        if not self.unreachables:
            lines.append("no ip unreachables")
        if self.nat:
            lines.append(f"ip nat {self.nat}")
        if self.reassembly:
            lines.append("ip virtual-reassembly in")
        if self.shutdown:
            lines.append("shutdown")
        return lines + self.extra


@dataclass
class Archive:
    path: str = ""
    maximum: int = 10
    write_memory: bool = False
    time_period: int = 0
    extra: list[str] = field(default_factory=list)

    def body(self) -> list[str]:
        lines = [f"path {self.path}"] if self.path else []
        if self.maximum != 10:
            lines.append(f"maximum {self.maximum}")
        if self.write_memory:
            lines.append("write-memory")
        if self.time_period:
            lines.append(f"time-period {self.time_period}")
        return self.extra + lines


@dataclass
class Other:
    """Lines that are kept as they were in the start configuration; they do nothing here."""

    rank: int
    line: str
    body: list[str] = field(default_factory=list)


@dataclass
class User:
    privilege: int
    secret: str  # "secret 8 …" or "password 0 …"


@dataclass
class Config:
    version: str = "15.7"
    hostname: str = "Router"
    enable: str = ""  # "secret 8 …" or "password 0 …"
    domain_lookup: bool = True
    unreachable_interval: int | None = UNREACHABLE_INTERVAL  # None: as many as there are packets
    archive: Archive | None = None
    users: dict[str, User] = field(default_factory=dict)
    interfaces: dict[str, Interface] = field(default_factory=dict)
    nat: list[Static] = field(default_factory=list)
    routes: list[str] = field(default_factory=list)
    lists: dict[str, AccessList] = field(default_factory=dict)
    #: con, aux and vty lines, each with its settings by their first words
    lines: dict[tuple[str, int], dict[str, str]] = field(default_factory=dict)
    other: list[Other] = field(default_factory=list)
    #: Where a remark goes; see AccessList.
    remarks_to_the_end: bool = False

    def text(self) -> str:
        """From ``version`` to ``end``."""
        chunks = sorted(self._chunks(), key=lambda chunk: chunk[0])
        lines: list[str] = []
        before = ""
        for _, block in chunks:
            words = block[0].split()
            kind = " ".join(words[:2] if words[0] in ("ip", "no") else words[:1])
            if lines and (kind != before or kind == "interface"):
                lines.append("!")  # between kinds of lines, and after every interface
            before = kind
            lines += block
        lines.append("!")
        return "\n".join(["!", *lines, "end"]) + "\n"

    def _chunks(self) -> Iterator[tuple[int, list[str]]]:
        def rank(line: str) -> int:
            found = place(line)
            assert found is not None  # every line that this class writes itself is in the table
            return found

        yield rank("version"), [f"version {self.version}"]
        yield rank("hostname"), [f"hostname {self.hostname}"]
        if self.enable:
            yield rank("enable"), [f"enable {self.enable}"]
        if not self.domain_lookup:
            yield rank("no ip domain"), ["no ip domain lookup"]
        if self.unreachable_interval is None:
            yield rank("no ip icmp"), ["no ip icmp rate-limit unreachable"]
        elif self.unreachable_interval != UNREACHABLE_INTERVAL:
            yield rank("ip icmp"), [f"ip icmp rate-limit unreachable {self.unreachable_interval}"]
        if self.archive:
            yield rank("archive"), _block("archive", self.archive.body())
        for name, user in self.users.items():
            privilege = f" privilege {user.privilege}" if user.privilege != 1 else ""
            yield rank("username"), [f"username {name}{privilege} {user.secret}"]
        for interface in sorted(self.interfaces.values(), key=lambda one: _natural(one.name)):
            yield rank("interface"), _block(f"interface {interface.name}", interface.body())
        for entry in self.nat:
            yield rank("ip nat inside source static"), [entry.line()]
        for route in self.routes:
            yield rank("ip route"), [route]
        for acl in self.sorted_lists():
            kind = "standard" if acl.standard else "extended"
            if acl.numbered:
                yield rank("access-list"), [f"access-list {acl.name} {entry}" for entry in acl.body()]
            else:
                yield rank("ip access-list"), _block(f"ip access-list {kind} {acl.name}", acl.body())
        yield from ((rank("line"), block) for block in self._line_blocks())
        yield from ((one.rank, _block(one.line, one.body)) for one in self.other)

    def keeps(self, line: str) -> bool:
        """Whether a line that does nothing to packets stands there."""
        return any(one.line == line for one in self.other)

    def sorted_lists(self) -> list[AccessList]:
        """Standard lists first, then extended ones, each by name; a numbered one without entries does not exist."""
        present = [acl for acl in self.lists.values() if acl.body() or not acl.numbered]
        return sorted(present, key=lambda acl: (not acl.standard, not acl.numbered, _natural(acl.name)))

    def _line_blocks(self) -> Iterator[list[str]]:
        order = {"con": 0, "aux": 1, "vty": 2}
        keys = sorted(self.lines, key=lambda key: (order[key[0]], key[1]))
        for (kind, settings), group in groupby(keys, key=lambda key: (key[0], sorted(self.lines[key].values()))):
            numbers = [number for _, number in group]
            span = f"{numbers[0]}" if len(numbers) == 1 else f"{numbers[0]} {numbers[-1]}"
            yield _block(f"line {kind} {span}", settings)

    def interface_text(self, name: str) -> str:
        return "\n".join(["!", *_block(f"interface {name}", self.interfaces[name].body()), "end"]) + "\n"

    def bound(self, interface: str, way: str) -> AccessList | None:
        """The list that filters there. A list that is bound but was never made filters nothing."""
        name = self.interfaces[interface].access.get(way)
        return self.lists.get(name) if name else None

    def address_of(self, interface: str) -> int | None:
        one = self.interfaces.get(interface)
        return one.address[0] if one and one.address else None

    def sides(self, side: str) -> list[str]:
        """The interfaces with ``ip nat inside`` or ``ip nat outside``."""
        return [one.name for one in sorted(self.interfaces.values(), key=lambda i: _natural(i.name)) if one.nat == side]

    def egress(self, destination: int) -> str | None:
        """The interface that the longest matching connected network or static route leads to."""
        best: tuple[int, str] | None = None
        for interface in self.interfaces.values():
            if interface.address and not interface.shutdown and _within(destination, *interface.address):
                best = max(best or (-1, ""), (interface.address[1], interface.name))
        for route in self.routes:
            words = route.split()
            network, mask = (int(IPv4Address(word)) for word in words[2:4])
            if _within(destination, network, mask) and mask > (best or (-1, ""))[0]:
                by = words[4] if words[4] in self.interfaces else self._connected(int(IPv4Address(words[4])))
                best = (mask, by) if by else best
        return best[1] if best else None

    def _connected(self, gateway: int) -> str | None:
        fits = [i for i in self.interfaces.values() if i.address and not i.shutdown and _within(gateway, *i.address)]
        return max(fits, key=lambda i: i.address[1] if i.address else 0).name if fits else None


def _within(address: int, network: int, mask: int) -> bool:
    return address & mask == network & mask


def _block(head: str, body: list[str]) -> list[str]:
    return [head, *(f" {line}" for line in body)]


def _natural(name: str) -> list[tuple[bool, int, str]]:
    """GigabitEthernet0/2 before GigabitEthernet0/10."""
    words = "".join(c if c.isdigit() else f" {c} " for c in name).split()
    return [(word.isdigit(), int(word) if word.isdigit() else 0, word) for word in words]
