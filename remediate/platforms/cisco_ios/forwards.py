"""Which lines of a configuration translate a published address to somebody. Pure.

Nothing is guessed: a line that may do so, and that is not read whole, leads nobody knows where.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv4Network
from typing import NamedTuple

from remediate.model.site import IPAddress
from remediate.platforms.cisco_ios.acl import rule_of
from remediate.platforms.cisco_ios.config import Config

STATIC = "ip nat inside source static "

_ADDRESS = r"\d+\.\d+\.\d+\.\d+"
_GLOBAL = rf"(?:(?P<address>{_ADDRESS})|interface (?P<interface>\S+))"
_ONE_PORT = re.compile(rf"{STATIC}tcp (?P<local>{_ADDRESS}) \d+ {_GLOBAL} (?P<port>\d+)(?P<options>( \S+)*)")
_HOST = re.compile(rf"{STATIC}(?P<local>{_ADDRESS}) {_GLOBAL}(?P<options>( \S+)*)")
_NETWORK = re.compile(rf"{STATIC}network {_ADDRESS} (?P<address>{_ADDRESS}) (?P<mask>\S+).*")
_NOT_TCP = re.compile(rf"{STATIC}(udp|esp|icmp) .*")
_BALANCED = re.compile(r"ip nat inside destination list (?P<list>\S+) .*")
#: What no line says that leads to an address of another routing table, to a standby unit's, or there only sometimes.
_PLAIN = frozenset({"extendable", "no-alias", "no-payload"})


class Flow(NamedTuple):
    """New TCP connections from outside: they come in by one of ``interfaces``."""

    interfaces: tuple[str, ...]
    address: IPAddress
    port: int


class Forward(NamedTuple):
    """A line that may translate such a connection. ``to``: None where that cannot be read. ``alone``: the line does
    that for this port and for nothing else.
    """

    line: str
    to: IPAddress | None
    alone: bool = False


def forwards(config: Config, flow: Flow, lines: Iterable[str] | None = None) -> Iterator[Forward]:
    """``lines``: other ones in the place of those of the configuration."""
    outside = bool({*flow.interfaces} & {*outsides(config)})
    for line in nat_lines(config) if lines is None else lines:
        if line.startswith(STATIC):
            found = _static(config, flow, line) if outside else None
        elif balanced := _BALANCED.fullmatch(line):
            found = Forward(line, None) if outside and _may_permit(config, balanced["list"], flow) else None
        else:
            named = str(flow.address) in line.split()
            found = Forward(line, None) if named and not line.startswith(("ip nat pool ", "ip nat outside ")) else None
        if found:
            yield found


def nat_lines(config: Config) -> list[str]:
    return [line for line in (" ".join(block.head.split()) for block in config.blocks) if line.startswith("ip nat ")]


def outsides(config: Config) -> list[str]:
    """The interfaces at which static translation takes place."""
    return [
        block.head.removeprefix("interface ")
        for block in config.blocks
        if block.head.startswith("interface ")
        and any(child.split() == ["ip", "nat", "outside"] for child in block.children)
    ]


def taken(config: Config, line: str) -> tuple[str, int] | None:
    """The address and port that a line publishes, of which no two lines may publish the same; None for other lines.

    An interface whose address is not in the configuration stands for itself.
    """
    found = _ONE_PORT.fullmatch(line)
    if found is None:
        return None
    return found["address"] or str(_address_of(config, found["interface"]) or found["interface"]), int(found["port"])


def _static(config: Config, flow: Flow, line: str) -> Forward | None:
    if _NOT_TCP.fullmatch(line):
        return None
    try:
        if found := _ONE_PORT.fullmatch(line):
            if int(found["port"]) != flow.port or not _seen(config, found, flow):
                return None
            plain = _PLAIN.issuperset(found["options"].split())
            return Forward(line, IPv4Address(found["local"]) if plain else None, plain)
        if found := _NETWORK.fullmatch(line):
            network = IPv4Network((found["address"], found["mask"].removeprefix("/")), strict=False)
            return Forward(line, None) if flow.address in network else None
        if found := _HOST.fullmatch(line):
            plain = _PLAIN.issuperset(found["options"].split())
            to = IPv4Address(found["local"]) if plain else None
            return Forward(line, to) if _seen(config, found, flow) else None
    except ValueError:  # no address, or no mask, of IPv4
        return Forward(line, None)
    words = line.split()
    return Forward(line, None) if str(flow.address) in words or "interface" in words else None


def _seen(config: Config, found: re.Match[str], flow: Flow) -> bool:
    """An interface whose address is learnt publishes what is known to come in by it, whatever that address is."""
    if found["address"]:
        return IPv4Address(found["address"]) == flow.address
    address = _address_of(config, found["interface"])
    return found["interface"] in flow.interfaces if address is None else address == flow.address


def _address_of(config: Config, interface: str) -> IPv4Address | None:
    """None where it is learnt (DHCP, PPP), or another interface's."""
    for block in config.blocks:
        if block.head == f"interface {interface}":
            for child in block.children:
                if found := re.fullmatch(rf" *ip address ({_ADDRESS}) {_ADDRESS}", child):
                    return IPv4Address(found[1])
    return None


def _may_permit(config: Config, name: str, flow: Flow) -> bool:
    """Whether a list that names the addresses that are spread over several hosts may name this one."""
    acl = config.lists.get(name)
    if acl is None:
        return True
    for action, *words in (entry.text.split() for entry in acl.entries):
        if action == "deny":
            continue
        if acl.extended:
            rule = rule_of(" ".join((action, *words)))
            if rule is None or not rule.destinations or any(flow.address in one for one in rule.destinations):
                return True
        elif _may_name(words, flow.address):
            return True
    return False


def _may_name(words: list[str], address: IPAddress) -> bool:
    """Of a standard list's entry, whether it may name the address."""
    words = [word for word in words if word not in ("host", "log")]
    rule = rule_of(
        f"permit tcp {words[0] if words == ['any'] else ' '.join(words if words[1:] else ['host', *words])} any"
    )
    return rule is None or not rule.sources or any(address in one for one in rule.sources)
