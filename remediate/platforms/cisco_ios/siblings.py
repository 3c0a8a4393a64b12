"""Interfaces on which a list sees nothing of what comes from outside, and the sibling that does see it. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from remediate.platforms.cisco_ios.config import Config

_ADDRESS = re.compile(r"ip (address (?!.*secondary)\S|unnumbered \S)")


def wrong(config: Config, name: str, key: str) -> str:
    """Why the interface cannot carry the guard, and which one can; "" where it can. ``key``: the inventory's."""
    lines = _lines(config, name)
    if lines is None:
        return f"no interface {name} here ({key}): it has {', '.join(config.interfaces)}"
    for pattern, what, sibling in _SIBLINGS:
        if match := _first(lines, pattern):
            right = sibling(config, match)
            said = f"{key}: name {right} in its place" if right else f"{key}: name the interface that has the address"
            return f"interface {name} {what.format(*match.groups())}, and packets pass a list there by: {said}"
    if _first(lines, r"shutdown"):
        return f"interface {name} is shut down, so what comes from outside comes by another one: correct {key}"
    if _first(lines, _ADDRESS.pattern):
        return ""
    below = [other for other in config.interfaces if other.startswith(f"{name}.")]
    routed = [other for other in below if _first(_lines(config, other) or (), _ADDRESS.pattern)]
    if routed:
        return (
            f"interface {name} has no address, and its subinterfaces have: packets of a VLAN pass a list on their own "
            f"subinterface only; {key}: name the outer one of {', '.join(routed)} in its place"
        )
    return f"interface {name} has no IPv4 address, so no packet that is routed passes a list there: correct {key}"


def _dialer(config: Config, match: re.Match[str]) -> str:
    pool = match[1]
    return _with(config, ("Dialer",), rf"dialer pool {pool}")


def _with(config: Config, kinds: Sequence[str], pattern: str) -> str:
    """The interfaces of those kinds that have such a line."""
    fitting = [n for n in config.interfaces if n.startswith(tuple(kinds)) and _first(_lines(config, n) or (), pattern)]
    return " or ".join(fitting)


def _named(form: str, config: Config, match: re.Match[str]) -> str:
    """The interface of that name, if there is one; its subinterfaces where only these have an address."""
    name = form.format(match[1])
    if name not in config.interfaces:
        return ""
    below = [other for other in config.interfaces if other.startswith(f"{name}.")]
    routed = [other for other in below if _first(_lines(config, other) or (), _ADDRESS.pattern)]
    return name if _first(_lines(config, name) or (), _ADDRESS.pattern) or not routed else " or ".join(routed)


#: Line of a member → what it makes of it → the sibling by which its packets are routed.
_SIBLINGS = (
    (r"channel-group (\d+)\b.*", "is a member of channel {0}", lambda c, m: _named("Port-channel{}", c, m)),
    (r"pppoe-client dial-pool-number (\d+)\b.*", "carries PPPoE of dialer pool {0}", _dialer),
    (r"dialer pool-member (\d+)\b.*", "is a member of dialer pool {0}", _dialer),
    (r"bridge-group (\d+)\b.*", "is bridged (group {0})", lambda c, m: _named("BVI{}", c, m)),
    (r"switchport access vlan (\d+)", "is a switch port of VLAN {0}", lambda c, m: _named("Vlan{}", c, m)),
)


def _lines(config: Config, name: str) -> tuple[str, ...] | None:
    return next((block.children for block in config.blocks if block.head == f"interface {name}"), None)


def _first(lines: Iterable[str], pattern: str) -> re.Match[str] | None:
    return next((m for m in (re.match(rf"{pattern}\s*", line.strip()) for line in lines) if m), None)
