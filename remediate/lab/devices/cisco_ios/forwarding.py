"""What the router does with the packets of one relay: in by one interface, out by another, both ways.

The packets of a connection pass up to four access lists: inbound where they come in, outbound where they leave, and
the same for the answers. The lists are asked here twice, in two ways that the tests hold against each other: packet
by packet, and as a program for the kernel that answers for a SYN of any source.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address

from remediate.lab.devices.cisco_ios.acl import ALL, TCP, AccessList, Addresses, Line, Packet, Ports
from remediate.lab.devices.cisco_ios.router import Router
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


class Path:
    """``egress`` None: where the routing table leads. ``fails``: says that this path is dead for another reason."""

    def __init__(
        self, router: Router, ingress: str, egress: str | None = None, fails: Callable[[], bool] = lambda: False
    ) -> None:
        self.router = router
        self.ingress = ingress
        self.egress = egress
        self.fails = fails

    def _stages(self, destination: str) -> list[_Stage] | None:
        """The lists on the way; None where there is no way."""
        config = self.router.running
        egress = self.egress or config.egress(int(IPv4Address(destination)))
        if self.fails() or egress is None or self.ingress not in config.interfaces or egress not in config.interfaces:
            return None
        if config.interfaces[self.ingress].shutdown or config.interfaces[egress].shutdown:
            return None
        places = (
            (self.ingress, "in", False),
            (egress, "out", False),
            (egress, "in", True),
            (self.ingress, "out", True),
        )
        bound = ((config.bound(interface, way), reverse) for interface, way, reverse in places)
        return [_Stage(acl, reverse) for acl, reverse in bound if acl is not None]

    def _judge(self, flow: Flow, *, new: bool) -> tuple[bool, list[tuple[AccessList, Line]]]:
        """Whether the packets pass, and the entries that they met."""
        stages = self._stages(flow.destination)
        met: list[tuple[AccessList, Line]] = []
        if stages is None:
            return False, met
        client, server = int(IPv4Address(flow.client)), int(IPv4Address(flow.destination))
        there = Packet(TCP, client, server, flow.client_port, flow.destination_port, ack=not new)
        back = Packet(TCP, server, client, flow.destination_port, flow.client_port, ack=True)
        for stage in stages:
            permitted, line = stage.acl.judge(back if stage.reverse else there)
            if line is not None:
                met.append((stage.acl, line))
            if not permitted:
                return False, met
        return True, met

    def opens(self, flow: Flow) -> bool:
        permitted, met = self._judge(flow, new=True)
        for acl, line in met:
            line.hits += 1
            if line.ace.log:
                ends = f"{flow.client}({flow.client_port}) -> {flow.destination}({flow.destination_port})"
                done = "permitted" if line.ace.action == "permit" else "denied"
                self.router.log(f"%SEC-6-IPACCESSLOGP: list {acl.name} {done} tcp {ends}, 1 packet")
        return permitted

    def carries(self, flow: Flow) -> bool:
        return self._judge(flow, new=False)[0]

    def program(self, destination: str, port: int) -> tuple[list[Instruction], list[Callable[[int], None]]]:
        stages = self._stages(destination)
        counters: list[Callable[[int], None]] = [lambda _: None]  # the first is the implicit deny's, which nobody reads
        if stages is None:
            return [(RETURN, 0, 0, 1)], counters
        server = int(IPv4Address(destination))
        code: list[Instruction] = []
        for stage in stages:
            code += _compile(stage, server, port, counters)
        return [*code, (RETURN, 0, 0, 0)], counters


def _counter(line: Line) -> Callable[[int], None]:
    def count(packets: int) -> None:
        line.hits += packets

    return count


def _compile(stage: _Stage, server: int, port: int, counters: list[Callable[[int], None]]) -> list[Instruction]:
    """Falls through where the list permits; returns a counter's number where it denies."""
    if not stage.acl.lines:
        return []
    blocks: list[tuple[list[Instruction], int | None]] = []  # code that falls through on a match; None permits
    for line in stage.acl.lines:
        tests = _tests(stage, line, server, port)
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


def _tests(stage: _Stage, line: Line, server: int, port: int) -> list[Instruction] | None:
    """What must hold of the client for ``line`` to match; None where it cannot match on this path at all."""
    ace = line.ace
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
