"""A line of ``ss -Htn state established`` → a connection to the archive. Pure."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address

from remediate.model.peers import Connection
from remediate.model.site import IPAddress


def read(line: str) -> Connection | None:
    """None for what the host has with itself. Raises ValueError for what is no such line."""
    words = line.split()
    if len(words) < 4:
        raise ValueError("not a line of ss")
    here, port = _end(words[2])
    source, _ = _end(words[3])
    return None if source == here or source.is_loopback else Connection(source=source, port=port)


def _end(text: str) -> tuple[IPAddress, int]:
    """``10.10.0.5:104``, ``[::ffff:10.10.0.5]:104``, ``[fe80::1]%eth0:104``"""
    address, colon, port = text.rpartition(":")
    if not colon or not port.isascii() or not port.isdecimal() or len(port) > 5 or not 0 < int(port) <= 65535:
        raise ValueError("no port")
    found = ip_address(address.replace("[", "").replace("]", "").partition("%")[0])
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return mapped or found, int(port)
