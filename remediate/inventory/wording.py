"""What a value must be, in words, wherever a user writes one: an inventory, a list of targets, an option."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

from remediate.model.site import IPAddress

NAME_RULE = "a name of letters, digits and . _ - (at most 63, a letter or digit first)"
AE_TITLE_RULE = "1 to 16 printable ASCII characters, no backslash, no blank at either end"
ADDRESS_RULE = "an IPv4 or IPv6 address"
PORT_RULE = "a port, 1 to 65535"
BROADCAST = IPv4Address("255.255.255.255")


def not_one_host(found: IPAddress) -> str:
    """What it would have to be, where it is not an address of one host; "" where it is."""
    if isinstance(found, IPv6Address) and (found.scope_id or found.ipv4_mapped):
        return f"{ADDRESS_RULE} without a scope, and IPv4 addresses written as such"
    if found.is_unspecified or found.is_multicast or found == BROADCAST:
        return f"{ADDRESS_RULE} that one host can have"
    return ""
