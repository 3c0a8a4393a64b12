"""Does a rule list do exactly what an intent says, for every packet there can be?

Every condition in play, of the rules and of the intent, cuts an axis (interface, address, port) at a few points.
All packets between two cuts are alike, so one representative of each class, on every axis, decides for all.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from ipaddress import IPv4Address, IPv6Address
from itertools import product
from typing import TypeVar

from remediate.model.rule import Action, Intent, Rule
from remediate.model.site import IPAddress, IPNetwork
from remediate.rules.guard import network
from remediate.rules.simulate import Packet, among, first_match, within

T = TypeVar("T", bound=Hashable)

_OTHER_INTERFACE = "any other interface"


def prove(intent: Intent, rules: Sequence[Rule]) -> tuple[str, ...]:
    """The packets, one for each class, with which the rules do something else than the intent; () is a proof."""
    wrong = []
    for packet in representatives(intent, rules):
        meant = wanted(intent, packet)
        rule = first_match(rules, packet)
        done = rule.action if rule else None
        if done is not meant:
            wrong.append(f"{_text(packet)}: meant {meant or 'untouched'}, would be {done or 'untouched'}")
    return tuple(wrong)


def wanted(intent: Intent, packet: Packet) -> Action | None:
    """What the intent says about a packet, without any list of rules; None: it is not the guard's business.

    A packet may belong to both directions, where a permitted network holds the PACS itself: one permit is enough.
    """
    said: Action | None = None
    ways = (
        (packet.ingress, packet.source, packet.destination, packet.destination_port),
        (packet.egress, packet.destination, packet.source, packet.source_port),
    )
    for number, (interface, client, pacs, port) in enumerate(ways):
        for door in intent.doors:
            if not intent.counts_on(interface, door) or pacs != door.address or port not in door.seen:
                continue
            served = any(
                intent.counts_on(interface, permit)
                and client.version == permit.source.version
                and client in permit.source
                and port in door.of(permit.ports)
                for permit in intent.permits
            )
            if served:
                return Action.PERMIT
            if not intent.observe:
                said = Action.DENY
            elif number == 0:
                said = Action.OBSERVE
    return said


def representatives(intent: Intent, rules: Sequence[Rule]) -> Iterable[Packet]:
    interfaces = _interfaces(intent, rules)
    ports = _ports(intent, rules)
    for version in (4, 6):
        addresses = _addresses(intent, rules, version)
        if not any(door.address.version == version for door in intent.doors) and not _named(rules, version):
            continue
        for ingress, egress in product(interfaces, repeat=2):
            for source, destination in product(addresses, repeat=2):
                for source_port, destination_port in product(ports, repeat=2):
                    yield Packet(ingress, egress, source, destination, source_port, destination_port)


def _named(rules: Sequence[Rule], version: int) -> bool:
    return any(n.version == version for rule in rules for n in (*rule.sources, *rule.destinations))


def _interfaces(intent: Intent, rules: Sequence[Rule]) -> list[str]:
    named = {*intent.interfaces, *(i for rule in rules for i in (*rule.ingress, *rule.egress))}
    groups = {intent.interfaces, *map(intent.stands_on, intent.doors), *map(intent.stands_on, intent.permits)}
    conditions: list[Callable[[str], bool]] = []
    conditions += [lambda i, group=group: i in group for group in groups]  # type: ignore[misc]  # bound
    for rule in rules:
        conditions += [lambda i, r=rule: i in r.ingress, lambda i, r=rule: i in r.egress]  # type: ignore[misc]  # bound
    return _classes([_OTHER_INTERFACE, *sorted(named)], conditions)


def _ports(intent: Intent, rules: Sequence[Rule]) -> list[int]:
    cuts = {1, 65535}
    groups = {door.seen for door in intent.doors}
    groups |= {door.of(permit.ports) for door in intent.doors for permit in intent.permits}
    for port in (port for group in groups for port in group):
        cuts |= {port - 1, port, port + 1}
    ranges = {rule_range for rule in rules for rule_range in (rule.source_ports, rule.destination_ports)}
    for one in (r for group in ranges for r in group):
        cuts |= {one.first - 1, one.first, one.last, one.last + 1}
    conditions: list[Callable[[int], bool]] = []
    conditions += [lambda p, group=group: p in group for group in groups]  # type: ignore[misc]  # bound
    conditions += [lambda p, group=group: within(p, group) for group in ranges]  # type: ignore[misc]  # bound
    return _classes(sorted(c for c in cuts if 1 <= c <= 65535), conditions)


def _addresses(intent: Intent, rules: Sequence[Rule], version: int) -> list[IPAddress]:
    make, top = (IPv4Address, 2**32 - 1) if version == 4 else (IPv6Address, 2**128 - 1)
    groups: set[tuple[IPNetwork, ...]] = {(network(door.address),) for door in intent.doors}
    groups |= {(permit.source,) for permit in intent.permits}
    groups |= {group for rule in rules for group in (rule.sources, rule.destinations) if group}
    cuts = {0, top}
    for one in (n for group in groups for n in group if n.version == version):
        first, last = int(one.network_address), int(one.broadcast_address)
        cuts |= {first - 1, first, last, last + 1}
    conditions: list[Callable[[IPAddress], bool]]
    conditions = [lambda a, group=group: among(a, group) for group in groups]  # type: ignore[misc]  # bound
    return _classes([make(c) for c in sorted(cuts) if 0 <= c <= top], conditions)


def _classes(candidates: Iterable[T], conditions: Sequence[Callable[[T], bool]]) -> list[T]:
    """One candidate for each way in which the conditions can be met."""
    kept: dict[tuple[bool, ...], T] = {}
    for candidate in candidates:
        kept.setdefault(tuple(condition(candidate) for condition in conditions), candidate)
    return list(kept.values())


def _text(packet: Packet) -> str:
    return (
        f"{packet.source}:{packet.source_port} -> {packet.destination}:{packet.destination_port} "
        f"in {packet.ingress}, out {packet.egress}"
    )
