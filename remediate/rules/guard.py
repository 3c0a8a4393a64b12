"""An intent → the ordered entries that carry it out."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, ip_network

from remediate.model.rule import Action, Intent, PortRange, Rule
from remediate.model.site import IPAddress, IPNetwork


def entries(intent: Intent) -> tuple[Rule, ...]:
    """Permits first, then the denial; for each both ways, since a flow that is open at the push has two halves.

    The way out is matched by the PACS's source port. What the PACS opens itself leaves from a port on which it
    does not listen, so it is not touched.
    """
    rules: list[Rule] = []
    for version in (4, 6):
        addresses = tuple(network(a) for a in sorted(set(intent.addresses), key=int) if a.version == version)
        if not addresses:
            continue
        for permit in intent.permits:
            if permit.source.version == version:
                note = f"{intent.section}: peer {permit.peer}"
                rules += _both_ways(Action.PERMIT, intent, (permit.source,), addresses, permit.ports, note)
        rules += _both_ways(Action.DENY, intent, (), addresses, intent.ports, f"{intent.section}: everybody else")
    return tuple(rules)


def network(address: IPAddress) -> IPNetwork:
    """The network of one address."""
    made = ip_network(address)
    assert isinstance(made, IPv4Network | IPv6Network)
    return made


def _both_ways(
    action: Action,
    intent: Intent,
    sources: tuple[IPNetwork, ...],
    addresses: tuple[IPNetwork, ...],
    ports: Iterable[int],
    note: str,
) -> list[Rule]:
    ranges = tuple(PortRange.one(port) for port in sorted(set(ports)))
    interfaces = tuple(sorted(set(intent.interfaces)))
    inward = Rule(
        action=action,
        ingress=interfaces,
        sources=sources,
        destinations=addresses,
        destination_ports=ranges,
        note=note,
    )
    outward = Rule(
        action=action,
        egress=interfaces,
        sources=addresses,
        destinations=sources,
        source_ports=ranges,
        note=note,
    )
    return [inward, outward]
