"""What the router does with the packets of one relay: in by one interface, out by another, both ways.

The packets of a connection pass up to four access lists: inbound where they come in, outbound where they leave, and
the same for the answers. The lists are asked here twice, in two ways that the tests hold against each other: packet
by packet, and as a program for the kernel that answers for a SYN of any source.

A packet that comes in by an ``ip nat outside`` interface and goes out by an ``ip nat inside`` one is translated between
the two (Cisco, NAT Order of Operation, document 6209): the inbound list sees the global address, the routing table and
the outbound list the local one; of the answers, the inbound list sees the local address and the outbound list the
global one. What the inside opens is not translated here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address

from remediate.lab.devices.cisco_ios.acl import ALL, TCP, AccessList, Addresses, Line, Packet, Ports
from remediate.lab.devices.cisco_ios.nat import Static, translate
from remediate.lab.devices.cisco_ios.router import Router
from remediate.lab.devices.cisco_ios.translations import Translation
from remediate.lab.devices.icmp import Refusal
from remediate.lab.devices.relay import (
    AND,
    JUMP,
    JUMP_EQUAL,
    JUMP_GREATER,
    JUMP_GREATER_EQUAL,
    LOAD_HALF,
    LOAD_WORD,
    RETURN,
    SOURCE_ADDRESS,
    SOURCE_PORT,
    Flow,
    Instruction,
)


@dataclass(frozen=True)
class _Stage:
    acl: AccessList
    reverse: bool  # the answers: the client is their destination
    server: tuple[int, int]  # as it is named where this list looks: address and port


@dataclass(frozen=True)
class _Course:
    """Where a connection leads: the lists on its way, and the entry that translates it."""

    stages: tuple[_Stage, ...]
    static: Static | None
    local: tuple[int, int]


class Path:
    """``egress`` None: where the routing table leads. ``fails``: says that this path is dead for another reason.
    ``host``: whom the target of the relay stands for, address and port; a packet that does not lead there is lost.
    None: for whatever the relay is asked for.
    """

    def __init__(
        self,
        router: Router,
        ingress: str,
        egress: str | None = None,
        fails: Callable[[], bool] = lambda: False,
        host: tuple[str, int] | None = None,
    ) -> None:
        self.router = router
        self.ingress = ingress
        self.egress = egress
        self.fails = fails
        self.host = (int(IPv4Address(host[0])), host[1]) if host else None
        self._open: dict[Flow, tuple[int, int]] = {}  # translated connections, and the local address of each

    def _translated(self, destination: tuple[int, int]) -> tuple[Static | None, tuple[int, int]]:
        config = self.router.running
        found = translate(self.router.translating, config.address_of, *destination)
        return found or (None, destination)

    def _course(self, destination: str, port: int) -> _Course | None:
        """None where there is no way."""
        config = self.router.running
        if self.fails() or self.ingress not in config.interfaces:
            return None
        asked = (int(IPv4Address(destination)), port)
        outside = config.interfaces[self.ingress].nat == "outside"
        static, local = self._translated(asked) if outside else (None, asked)
        egress = self.egress or config.egress(local[0])
        if egress not in config.interfaces or self.host not in (None, local):
            return None
        if config.interfaces[self.ingress].shutdown or config.interfaces[egress].shutdown:
            return None
        if static and config.interfaces[egress].nat != "inside":
            return None  # the answers would come from an address that the client did not ask
        places = (
            (self.ingress, "in", False, asked),
            (egress, "out", False, local),
            (egress, "in", True, local),
            (self.ingress, "out", True, asked),
        )
        bound = ((config.bound(interface, way), reverse, server) for interface, way, reverse, server in places)
        stages = tuple(_Stage(acl, reverse, server) for acl, reverse, server in bound if acl is not None)
        return _Course(stages, static, local)

    def _judge(self, flow: Flow, *, new: bool) -> tuple[_Course | None, list[tuple[AccessList, Line]]]:
        """The way that the packets pass, None where they do not; and the entries that they met."""
        course = self._course(flow.destination, flow.destination_port)
        met: list[tuple[AccessList, Line]] = []
        if course is None:
            return None, met
        for stage in course.stages:
            permitted, line = stage.acl.judge(_packet(stage, flow, new=new))
            if line is not None:
                met.append((stage.acl, line))
            if not permitted:
                return None, met
        return course, met

    def opens(self, flow: Flow) -> bool:
        course, met = self._judge(flow, new=True)
        for acl, line in met:
            line.hits += 1
            if line.ace.log:
                ends = f"{flow.client}({flow.client_port}) -> {flow.destination}({flow.destination_port})"
                done = "permitted" if line.ace.action == "permit" else "denied"
                self.router.log(f"%SEC-6-IPACCESSLOGP: list {acl.name} {done} tcp {ends}, 1 packet")
        if course is not None and course.static is not None:
            self._open[flow] = course.local
            self.router.translations.packet(course.static, _translation(flow, course.local))
        return course is not None

    def carries(self, flow: Flow) -> bool:
        return self._judge(flow, new=False)[0] is not None

    def refuses(self, flow: Flow) -> Refusal | None:
        """To the sender of the packet that a list denies, unless the interface where it came in has
        ``no ip unreachables``; no more often than ``ip icmp rate-limit unreachable`` allows. Where the answers are what
        is denied, their sender is told, who is nobody's vantage.
        """
        course, config = self._course(flow.destination, flow.destination_port), self.router.running
        for stage in course.stages if course else ():
            if stage.acl.judge(_packet(stage, flow, new=True))[0]:
                continue
            said = not stage.reverse and config.interfaces[self.ingress].unreachables
            if not said or not self.router.sends_unreachable(time.monotonic()):
                return None
            return Refusal(str(IPv4Address(config.address_of(self.ingress) or 0)))
        return None

    def knows(self, flow: Flow) -> bool:
        local = self._open.get(flow)
        asked = (int(IPv4Address(flow.destination)), flow.destination_port)
        return local is None or self._translated(asked)[1] == local

    def carried(self, flow: Flow) -> None:
        if flow in self._open:
            static, local = self._translated((int(IPv4Address(flow.destination)), flow.destination_port))
            if static is not None:
                self.router.translations.packet(static, _translation(flow, local))

    def closed(self, flow: Flow) -> None:
        local = self._open.pop(flow, None)
        if local is not None:
            self.router.translations.closed(_translation(flow, local))

    def program(self, destination: str, port: int) -> tuple[list[Instruction], list[Callable[[int], None]]]:
        course = self._course(destination, port)
        counters: list[Callable[[int], None]] = [lambda _: None]  # the first is the implicit deny's, which nobody reads
        if course is None:
            return [(RETURN, 0, 0, 1)], counters
        code: list[Instruction] = []
        for stage in course.stages:
            code += _compile(stage, counters)
        return [*code, (RETURN, 0, 0, 0)], counters


def _packet(stage: _Stage, flow: Flow, *, new: bool) -> Packet:
    client, (server, port) = int(IPv4Address(flow.client)), stage.server
    if stage.reverse:
        return Packet(TCP, server, client, port, flow.client_port, ack=True)
    return Packet(TCP, client, server, flow.client_port, port, ack=not new)


def _translation(flow: Flow, local: tuple[int, int]) -> Translation:
    client, asked = int(IPv4Address(flow.client)), int(IPv4Address(flow.destination))
    return Translation((client, flow.client_port), (asked, flow.destination_port), local)


def _counter(line: Line) -> Callable[[int], None]:
    def count(packets: int) -> None:
        line.hits += packets

    return count


def _compile(stage: _Stage, counters: list[Callable[[int], None]]) -> list[Instruction]:
    """Falls through where the list permits; returns a counter's number where it denies."""
    if not stage.acl.lines:
        return []
    blocks: list[tuple[list[Instruction], int | None]] = []  # code that falls through on a match; None permits
    for line in stage.acl.lines:
        tests = _tests(stage, line)
        if tests is None:
            continue
        verdict = None
        if line.ace.action == "deny":
            counters.append(_counter(line))
            verdict = len(counters)
        blocks.append((tests, verdict))
    code: list[Instruction] = [(RETURN, 0, 0, 1)]  # the implicit deny; built from the end, so that jumps are known
    for tests, verdict in reversed(blocks):
        body = (RETURN, 0, 0, verdict) if verdict is not None else (JUMP, 0, 0, len(code))
        code = [*_resolve([*tests, body]), *code]
    return code


_NO = -1  # "this entry does not match": to the first instruction after it


def _resolve(block: list[Instruction]) -> list[Instruction]:
    """Replaces _NO by the distance to the end of the block."""
    size = len(block)
    return [
        (op, size - at - 1 if yes == _NO else yes, size - at - 1 if no == _NO else no, operand)
        for at, (op, yes, no, operand) in enumerate(block)
    ]


def _tests(stage: _Stage, line: Line) -> list[Instruction] | None:
    """What must hold of the client for ``line`` to match; None where it cannot match on this path at all."""
    ace = line.ace
    server, port = stage.server
    if ace.standard:
        if stage.reverse:
            return [] if server in ace.source else None
        return list(_address(ace.source))
    if ace.protocol not in (None, TCP) or ace.icmp is not None or (ace.established and not stage.reverse):
        return None
    here, there = (ace.source, ace.destination) if not stage.reverse else (ace.destination, ace.source)
    our_ports, their_ports = ace.source_ports, ace.destination_ports
    if stage.reverse:
        our_ports, their_ports = their_ports, our_ports
    if server not in there or port not in their_ports:
        return None
    return [*_address(here), *_ports(our_ports)]


def _address(addresses: Addresses) -> Iterator[Instruction]:
    if addresses.any:
        return
    yield LOAD_WORD, 0, 0, SOURCE_ADDRESS
    if addresses.wildcard:
        yield AND, 0, 0, ~addresses.wildcard & ALL
    yield JUMP_EQUAL, 0, _NO, addresses.address


def _ports(ports: Ports) -> Iterator[Instruction]:
    if not ports.operator:
        return
    yield LOAD_HALF, 0, 0, SOURCE_PORT
    match ports.operator:
        case "eq":
            for left, value in zip(reversed(range(len(ports.values))), ports.values, strict=True):
                yield JUMP_EQUAL, left, 0 if left else _NO, value
        case "neq":
            for value in ports.values:
                yield JUMP_EQUAL, _NO, 0, value
        case "gt":
            yield JUMP_GREATER, 0, _NO, ports.values[0]
        case "lt":
            yield JUMP_GREATER_EQUAL, _NO, 0, ports.values[0]
        case "range":
            yield JUMP_GREATER_EQUAL, 0, _NO, ports.values[0]
            yield JUMP_GREATER, _NO, 0, ports.values[1]
