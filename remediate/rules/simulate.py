"""First-match simulation of a rule list on one packet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from remediate.model.rule import PortRange, Rule
from remediate.model.site import IPAddress, IPNetwork


class Packet(NamedTuple):
    """A TCP packet that a device forwards, as its filter sees it (after destination NAT)."""

    ingress: str
    egress: str
    source: IPAddress
    destination: IPAddress
    source_port: int
    destination_port: int


def first_match(rules: Sequence[Rule], packet: Packet) -> Rule | None:
    """The entry that decides about the packet; None where the list says nothing about it."""
    return next((rule for rule in rules if matches(rule, packet)), None)


def matches(rule: Rule, packet: Packet) -> bool:
    return (
        (not rule.ingress or packet.ingress in rule.ingress)
        and (not rule.egress or packet.egress in rule.egress)
        and among(packet.source, rule.sources)
        and among(packet.destination, rule.destinations)
        and within(packet.source_port, rule.source_ports)
        and within(packet.destination_port, rule.destination_ports)
    )


def among(address: IPAddress, networks: Sequence[IPNetwork]) -> bool:
    return not networks or any(address.version == n.version and address in n for n in networks)


def within(port: int, ranges: Sequence[PortRange]) -> bool:
    return not ranges or any(r.first <= port <= r.last for r in ranges)
