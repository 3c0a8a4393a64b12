"""Which addresses no packet from the internet comes from, nor goes to."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network

#: RFC 1918, 1122, 3927 and 6598; RFC 4193 and 4291.
_INSIDE = tuple(
    ip_network(text)
    for text in (
        *("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "127.0.0.0/8", "169.254.0.0/16", "100.64.0.0/10"),
        *("fc00::/7", "fe80::/10", "::1/128"),
    )
)


def is_inside(where: IPv4Address | IPv6Address | IPv4Network | IPv6Network) -> bool:
    """Whether all of it is private, so that the internet has no route to it."""
    network = ip_network(where)
    return any(
        network.version == inside.version and network.subnet_of(inside)  # type: ignore[arg-type]  # of one version
        for inside in _INSIDE
    )
