"""IP access lists: what may be typed, how IOS prints it, and what it does with a packet."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from ipaddress import IPv4Address

from remediate.lab.devices.cisco_ios.grammar import Ambiguous, Cursor, Invalid, Rejected, choose

MAX_SEQUENCE = 2147483647
ALL = 0xFFFFFFFF
TCP, UDP, ICMP = 6, 17, 1
MAX_PORTS = 10  # of one eq or neq

# fmt: off
PROTOCOLS = {
    "ahp": 51, "eigrp": 88, "esp": 50, "gre": 47, "icmp": ICMP, "igmp": 2, "ip": None, "ipinip": 4, "nos": 94,
    "ospf": 89, "pcp": 108, "pim": 103, "tcp": TCP, "udp": UDP,
}
#: Command reference, access-list (IP extended): the names that IOS prints instead of the numbers.
TCP_PORTS = {
    "bgp": 179, "chargen": 19, "cmd": 514, "daytime": 13, "discard": 9, "domain": 53, "echo": 7, "exec": 512,
    "finger": 79, "ftp": 21, "ftp-data": 20, "gopher": 70, "hostname": 101, "ident": 113, "irc": 194, "klogin": 543,
    "kshell": 544, "login": 513, "lpd": 515, "nntp": 119, "pim-auto-rp": 496, "pop2": 109, "pop3": 110, "smtp": 25,
    "sunrpc": 111, "tacacs": 49, "talk": 517, "telnet": 23, "time": 37, "uucp": 540, "whois": 43, "www": 80,
}
UDP_PORTS = {
    "biff": 512, "bootpc": 68, "bootps": 67, "discard": 9, "dnsix": 195, "domain": 53, "echo": 7, "isakmp": 500,
    "mobile-ip": 434, "nameserver": 42, "netbios-dgm": 138, "netbios-ns": 137, "netbios-ss": 139,
    "non500-isakmp": 4500, "ntp": 123, "pim-auto-rp": 496, "rip": 520, "snmp": 161, "snmptrap": 162, "sunrpc": 111,
    "syslog": 514, "tacacs": 49, "talk": 517, "tftp": 69, "time": 37, "who": 513, "xdmcp": 177,
}
ICMP_MESSAGES = {
    "administratively-prohibited": (3, 13), "echo": (8, None), "echo-reply": (0, None), "host-unreachable": (3, 1),
    "mask-reply": (18, None), "mask-request": (17, None), "net-unreachable": (3, 0), "packet-too-big": (3, 4),
    "parameter-problem": (12, None), "port-unreachable": (3, 3), "redirect": (5, None), "source-quench": (4, None),
    "time-exceeded": (11, None), "timestamp-reply": (14, None), "timestamp-request": (13, None),
    "ttl-exceeded": (11, 0), "unreachable": (3, None),
}
# fmt: on


@dataclass(frozen=True)
class Packet:
    """What an access list looks at. ``ack``: the ACK or RST bit is set (``established``)."""

    protocol: int
    source: int
    destination: int
    source_port: int = 0
    destination_port: int = 0
    ack: bool = False


@dataclass(frozen=True)
class Addresses:
    """Bits set in ``wildcard`` do not matter; they are dropped from ``address`` as IOS drops them."""

    address: int = 0
    wildcard: int = ALL

    def __contains__(self, address: int) -> bool:
        return address & ~self.wildcard == self.address

    @property
    def any(self) -> bool:
        return self.wildcard == ALL

    def __str__(self) -> str:
        if self.any:
            return "any"
        if self.wildcard == 0:
            return f"host {IPv4Address(self.address)}"
        return f"{IPv4Address(self.address)} {IPv4Address(self.wildcard)}"


@dataclass(frozen=True)
class Ports:
    operator: str = ""
    values: tuple[int, ...] = ()

    def __contains__(self, port: int) -> bool:
        match self.operator:
            case "eq":
                return port in self.values
            case "neq":
                return port not in self.values
            case "gt":
                return port > self.values[0]
            case "lt":
                return port < self.values[0]
            case "range":
                return self.values[0] <= port <= self.values[1]
        return True

    def text(self, names: dict[str, int]) -> str:
        by_number = {number: name for name, number in names.items()}
        return " ".join([self.operator, *(by_number.get(value, str(value)) for value in self.values)])


@dataclass(frozen=True)
class Ace:
    """One permit or deny. ``protocol`` None is ``ip``; ``standard`` entries look at the source only."""

    action: str
    standard: bool
    source: Addresses
    destination: Addresses = Addresses()
    protocol: int | None = None
    source_ports: Ports = Ports()
    destination_ports: Ports = Ports()
    icmp: tuple[int, int | None] | None = None
    established: bool = False
    log: str = ""

    def matches(self, packet: Packet) -> bool:
        if packet.source not in self.source:
            return False
        if self.standard:
            return True
        if self.protocol is not None and packet.protocol != self.protocol:
            return False
        if packet.destination not in self.destination or (self.established and not packet.ack):
            return False
        if self.icmp is not None:
            return False  # an ICMP message of one kind: the packets that are judged here carry ports
        return packet.source_port in self.source_ports and packet.destination_port in self.destination_ports

    @cached_property
    def _tail(self) -> str:
        if self.standard:
            return ""
        names = TCP_PORTS if self.protocol == TCP else UDP_PORTS
        by_number = {number: name for name, number in PROTOCOLS.items()}
        words = [by_number.get(self.protocol, str(self.protocol)), str(self.source)]
        if self.source_ports.operator:
            words.append(self.source_ports.text(names))
        words.append(str(self.destination))
        if self.destination_ports.operator:
            words.append(self.destination_ports.text(names))
        if self.icmp is not None:
            named = {message: name for name, message in ICMP_MESSAGES.items()}
            words.append(named.get(self.icmp) or " ".join(str(n) for n in self.icmp if n is not None))
        if self.established:
            words.append("established")
        return " ".join(words)

    def _log(self) -> str:
        return f" {self.log}" if self.log else ""

    def running(self) -> str:
        """As in the running configuration: ``deny`` padded to the width of ``permit``."""
        body = self._tail
        if self.standard:
            host = not self.source.any and self.source.wildcard == 0
            body = str(IPv4Address(self.source.address)) if host else str(self.source)
            return f"{self.action:<6} {body}{self._log()}"
        return f"{self.action:<6} {body}{self._log()}"

    def shown(self) -> str:
        """As ``show access-lists`` prints it: only standard lists pad ``deny`` there."""
        if not self.standard:
            return f"{self.action} {self._tail}{self._log()}"
        if self.source.any or self.source.wildcard == 0:
            return self.running()
        wild = f"{IPv4Address(self.source.address)}, wildcard bits {IPv4Address(self.source.wildcard)}"
        return f"{self.action:<6} {wild}{self._log()}"


@dataclass
class Line:
    sequence: int
    ace: Ace
    hits: int = 0
    remarks: list[str] = field(default_factory=list)


@dataclass
class AccessList:
    """An ordered list. A list without entries permits everything; with one entry it ends in an implicit deny.

    This train gives remarks no number, and Cisco's documents do not say where one goes. There are two readings. It
    waits for the next entry that is typed, goes where that goes, and is part of it from then on. Or (``to_the_end``) it
    stands behind everything that is there, an entry that is given a number goes to its place among the entries alone,
    and no remark goes with an entry.
    """

    name: str
    standard: bool
    lines: list[Line] = field(default_factory=list)
    #: The remarks behind the last entry.
    waiting: list[str] = field(default_factory=list)
    to_the_end: bool = False

    @property
    def numbered(self) -> bool:
        return self.name.isdigit()

    def add(self, ace: Ace, sequence: int | None = None) -> None:
        """An entry that is already there, under whatever number, changes nothing."""
        if any(line.ace == ace for line in self.lines):
            return
        given = sequence is not None
        if sequence is None:
            sequence = self.lines[-1].sequence + 10 if self.lines else 10
            if sequence > MAX_SEQUENCE:
                raise Rejected("% Exceeded maximum sequence number.")
        elif any(line.sequence == sequence for line in self.lines):
            raise Rejected("% Duplicate sequence number.")
        if self.to_the_end and given:
            self.lines.append(Line(sequence, ace))
        else:
            self.lines.append(Line(sequence, ace, remarks=self.waiting))
            self.waiting = []
        self.lines.sort(key=lambda line: line.sequence)

    def remark(self, text: str, sequence: int | None = None) -> None:
        for line in self.lines:
            if line.sequence == sequence:
                line.remarks.append(text)
                return
        self.waiting.append(text)

    def remove_remark(self, text: str) -> None:
        for remarks in (*(line.remarks for line in self.lines), self.waiting):
            if text in remarks:
                remarks.remove(text)
                return

    def remove(self, ace: Ace, sequence: int | None = None) -> None:
        """With a number, only where both fit."""
        self._keep([line for line in self.lines if line.ace != ace or sequence not in (None, line.sequence)])

    def remove_sequence(self, sequence: int) -> None:
        self._keep([line for line in self.lines if line.sequence != sequence])

    def _keep(self, lines: list[Line]) -> None:
        stay = {id(line) for line in lines}
        left: list[str] = []  # remarks that have lost the entry that they stood before
        for line in self.lines if self.to_the_end else ():
            if id(line) in stay:
                line.remarks, left = left + line.remarks, []
            else:
                left += line.remarks
        self.waiting = left + self.waiting
        self.lines = lines

    def resequence(self, start: int, step: int) -> None:
        if start + step * (len(self.lines) - 1) > MAX_SEQUENCE:
            raise Rejected("% Exceeded maximum sequence number.")
        for index, line in enumerate(self.lines):
            line.sequence = start + index * step

    def judge(self, packet: Packet) -> tuple[bool, Line | None]:
        """Whether it may pass, and the entry that says so; None is the implicit deny, or an empty list's permit."""
        for line in self.lines:
            if line.ace.matches(packet):
                return line.ace.action == "permit", line
        return not self.lines, None

    def body(self) -> list[str]:
        """The entries as the running configuration has them: without sequence numbers on this train."""
        texts = []
        for line in self.lines:
            texts += [*(f"remark {remark}" for remark in line.remarks), line.ace.running()]
        return texts + [f"remark {remark}" for remark in self.waiting]

    def shown(self) -> Iterator[str]:
        yield f"{'Standard' if self.standard else 'Extended'} IP access list {self.name}"
        for line in self.lines:
            hits = f" ({line.hits} match{'' if line.hits == 1 else 'es'})" if line.hits else ""
            yield f"    {line.sequence} {line.ace.shown()}{hits}"


def is_standard_number(number: int) -> bool:
    return 1 <= number <= 99 or 1300 <= number <= 1999


def is_extended_number(number: int) -> bool:
    return 100 <= number <= 199 or 2000 <= number <= 2699


def read_ace(action: str, standard: bool, cursor: Cursor, *, numbered: bool = False) -> Ace:
    """What stands after ``permit`` or ``deny``."""
    ace = _standard(action, cursor) if standard else _extended(action, cursor, numbered=numbered)
    cursor.end()
    return ace


def _standard(action: str, cursor: Cursor) -> Ace:
    source = _addresses(cursor, bare=True)
    return Ace(action, True, source, log=cursor.maybe(["log"]) or "")


def _extended(action: str, cursor: Cursor, *, numbered: bool) -> Ace:
    token = cursor.peek()
    protocol = cursor.number(0, 255) if token.text.isdigit() else PROTOCOLS[cursor.keyword(PROTOCOLS)]
    names = {TCP: TCP_PORTS, UDP: UDP_PORTS}.get(protocol or 0)
    source = _addresses(cursor)
    source_ports = _ports(cursor, names, numbered) if names else Ports()
    destination = _addresses(cursor)
    destination_ports = _ports(cursor, names, numbered) if names else Ports()
    icmp = _icmp(cursor) if protocol == ICMP else None
    established = False
    log = ""
    while cursor.more():
        options = ["log", "log-input"] if log == "" else []
        options += ["established"] if protocol == TCP and not established else []
        found = cursor.keyword(options)
        if found == "established":
            established = True
        else:
            log = found
    return Ace(action, False, source, destination, protocol, source_ports, destination_ports, icmp, established, log)


def _addresses(cursor: Cursor, *, bare: bool = False) -> Addresses:
    """``bare``: a standard list takes an address without a wildcard as a host."""
    found = cursor.maybe(["any", "host"])
    if found == "any":
        return Addresses()
    if found == "host":
        return Addresses(cursor.address(), 0)
    address = cursor.address()
    if bare and (not cursor.more() or choose(cursor.peek(), ["log"]) is not None):
        return Addresses(address, 0)
    wildcard = cursor.address()
    return Addresses(address & ~wildcard & ALL, wildcard)


def _ports(cursor: Cursor, names: dict[str, int], numbered: bool) -> Ports:
    operator = cursor.maybe(["eq", "gt", "lt", "neq", "range"])
    if operator is None:
        return Ports()
    values = [_port(cursor, names)]
    if operator == "range":
        values.append(_port(cursor, names))
        values.sort()
    while operator in ("eq", "neq") and len(values) < MAX_PORTS and _is_port(cursor, names):
        values.append(_port(cursor, names))
    if numbered and operator in ("eq", "neq") and len(values) > 1:
        raise Rejected("% Multiple ports are allowed on named ACLs only")
    return Ports(operator, tuple(values))


def _is_port(cursor: Cursor, names: dict[str, int]) -> bool:
    if not cursor.more():
        return False
    token = cursor.peek()
    if token.text.isdigit():
        return True
    if choose_quietly(cursor, ["any", "host", "log", "log-input", "established"]):
        return False
    return choose(token, names) is not None


def choose_quietly(cursor: Cursor, keywords: list[str]) -> bool:
    """Whether the next word could be one of ``keywords``; two of them are as good as one."""
    try:
        return choose(cursor.peek(), keywords) is not None
    except Ambiguous:
        return True


def _port(cursor: Cursor, names: dict[str, int]) -> int:
    if cursor.peek().text.isdigit():
        return cursor.number(0, 65535)
    return names[cursor.keyword(names)]


def _icmp(cursor: Cursor) -> tuple[int, int | None] | None:
    if not cursor.more():
        return None
    if cursor.peek().text.isdigit():
        kind = cursor.number(0, 255)
        code = cursor.number(0, 255) if cursor.more() and cursor.peek().text.isdigit() else None
        return kind, code
    if choose_quietly(cursor, ["log", "log-input"]):
        return None
    start = cursor.peek().start
    found = cursor.maybe(ICMP_MESSAGES)
    if found is None:
        raise Invalid(start)
    return ICMP_MESSAGES[found]
