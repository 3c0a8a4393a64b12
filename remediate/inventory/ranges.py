"""Networks that may be swept: those of the inventory's scope, or some of them. Never listed in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_network

from remediate.errors import InventoryError, ScopeError, UsageError
from remediate.model.site import Authorisation, IPAddress, IPNetwork

#: Addresses of one network that somebody can be meant to sweep: an IPv6 /64 would take longer than anybody waits.
MOST = 1 << 20
#: Addresses in all that are swept without being asked for twice.
UNASKED = 1 << 16


class Ranges:
    """Networks that do not overlap. ``count``: of their addresses."""

    def __init__(self, networks: Sequence[IPNetwork]) -> None:
        self.networks = tuple(networks)
        self.count = sum(network.num_addresses for network in networks)

    def __iter__(self) -> Iterator[tuple[int, IPAddress]]:
        """Every address with its number, from 1, in order."""
        number = 0
        for network in self.networks:
            first = int(network.network_address)
            make = type(network.network_address)
            for offset in range(network.num_addresses):
                number += 1
                yield number, make(first + offset)


def authorised(given: Sequence[Authorisation], narrowed: Iterable[str], today: date, where: str) -> Ranges:
    """What of ``given`` is to be swept; ``narrowed``: only these networks, which must lie in it.

    ``where``: the inventory, for messages. Raises UsageError, ScopeError and InventoryError, before anything is sent.
    """
    if not given:
        raise UsageError(
            "nothing says which networks may be swept; nothing was sent",
            where=where,
            next="write it into data of its defaults.yaml:  "
            "scope: [{network: 192.0.2.0/24, reference: TICKET-1, expires: 2027-03-31}]",
        )
    wanted = [_network(text) for text in narrowed]
    for network in wanted:
        if not any(_inside(network, one.network) for one in given):
            raise ScopeError(
                "this network is not inside any network of data.scope; nothing was sent",
                where=str(network),
                next="name a part of one that is: " + ", ".join(dict.fromkeys(str(one.network) for one in given)),
            )
    wanted = wanted or [one.network for one in given]
    for network in wanted:
        if network.num_addresses > MOST:
            raise UsageError(
                f"{network} has more addresses than can be swept (2^{network.max_prefixlen - network.prefixlen}); "
                f"nothing was sent",
                next=f"name a part of it with --network, of /{network.max_prefixlen - 20} or longer; for IPv6 the "
                "prefixes that your own lists of hosts say are in use",
            )
    ended = [_ended(network, given, today) for network in wanted]
    if lines := tuple(dict.fromkeys(text for text in ended if text)):
        raise InventoryError(
            "what may be swept has ended",
            lines,
            where=where,
            next="have it renewed, then change `expires` in data.scope of defaults.yaml, or sweep the others alone "
            "with --network; nothing was sent",
        )
    return Ranges(
        [
            *collapse_addresses(one for one in wanted if isinstance(one, IPv4Network)),
            *collapse_addresses(one for one in wanted if isinstance(one, IPv6Network)),
        ]
    )


def agreed(ranges: Ranges, *, yes: bool) -> None:
    """Raises UsageError where there are more addresses than somebody may have meant."""
    if ranges.count > MOST:
        raise UsageError(
            f"{ranges.count} addresses in all; at most {MOST} are swept at once; nothing was sent",
            next="name some of the networks with --network, and the others the next time",
        )
    if ranges.count > UNASKED and not yes:
        raise UsageError(
            f"{ranges.count} addresses would be swept; nothing was sent",
            next="look at --list-probes, then give --yes, or name a part of them with --network",
        )


def _network(text: str) -> IPNetwork:
    try:
        found = ip_network(text)
    except ValueError as error:
        raise UsageError(
            f"--network {text} is no network", next="for example --network 192.0.2.0/24; bits beyond the prefix are 0"
        ) from error
    return found


def _inside(network: IPNetwork, other: IPNetwork) -> bool:
    if isinstance(network, IPv4Network):
        return isinstance(other, IPv4Network) and network.subnet_of(other)
    return isinstance(other, IPv6Network) and network.subnet_of(other)


def _ended(network: IPNetwork, given: Iterable[Authorisation], today: date) -> str:
    """In words that every authorisation for it has; "" while one counts."""
    words = [one.ended(today) for one in given if _inside(network, one.network)]
    return "" if "" in words else "; ".join(words)
