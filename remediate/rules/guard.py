"""An intent → the ordered entries that carry it out."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, ip_network

from remediate.model.rule import Action, Intent, PortRange, Rule
from remediate.model.site import Door, IPAddress, IPNetwork


def entries(intent: Intent) -> tuple[Rule, ...]:
    """Permits first, then the denial; for each both ways, since a flow that is open at the push has two halves.

    The way out is matched by the PACS's source port. What the PACS opens itself leaves from a port on which it
    does not listen, so it is not touched. Who is only observed is noted on the way in.
    """
    permits: list[Rule] = []
    denials: list[Rule] = []
    alike: dict[tuple[int, tuple[tuple[int, int], ...], tuple[str, ...]], list[Door]] = {}
    for door in intent.doors:
        alike.setdefault((door.address.version, door.ports, intent.stands_on(door)), []).append(door)
    for (version, _, interfaces), doors in alike.items():
        addresses = tuple(network(door.address) for door in sorted(doors, key=lambda d: int(d.address)))
        for permit in intent.permits:
            ports = doors[0].of(permit.ports)
            by = tuple(i for i in intent.stands_on(permit) if i in interfaces)
            if permit.source.version == version and ports and by:
                note = f"{intent.section}: peer {permit.peer}"
                permits += _both_ways(Action.PERMIT, by, (permit.source,), addresses, ports, note)
        if interfaces:  # of a rule, none would mean all there are
            note = f"{intent.section}: everybody else"
            action = Action.OBSERVE if intent.observe else Action.DENY
            both = _both_ways(action, interfaces, (), addresses, doors[0].seen, note)
            denials += both[:1] if intent.observe else both
    return (*permits, *denials)


def network(address: IPAddress) -> IPNetwork:
    """The network of one address."""
    made = ip_network(address)
    assert isinstance(made, IPv4Network | IPv6Network)
    return made


def _both_ways(
    action: Action,
    interfaces: Iterable[str],
    sources: tuple[IPNetwork, ...],
    addresses: tuple[IPNetwork, ...],
    ports: Iterable[int],
    note: str,
) -> list[Rule]:
    ranges = tuple(PortRange.one(port) for port in sorted(set(ports)))
    interfaces = tuple(sorted(set(interfaces)))
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
