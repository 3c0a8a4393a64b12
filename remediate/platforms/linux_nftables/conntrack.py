"""What conntrack(8) prints of TCP connections: ``-L``, ``-E``, and /proc/net/nf_conntrack. Pure."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import NamedTuple

from remediate.model.site import IPAddress

#: States in which both sides may still send.
_OPEN = frozenset({"ESTABLISHED", "SYN_RECV"})
_HEAD = re.compile(r"(?:ipv[46]\s+\d+\s+)?(?P<protocol>[a-z0-9-]+)\s+\d+\s")
_PAIR = re.compile(r"\b(src|dst|sport|dport)=(\S+)")
_STATE = re.compile(r"\s([A-Z][A-Z0-9_]+)\s")


class Tracked(NamedTuple):
    """One TCP connection. ``source``, ``destination``: as it came in; ``answers``: whoever sends the answers, which
    is another one where the destination is translated. ``state``: "" where the line has none.
    """

    source: IPAddress
    destination: IPAddress
    port: int
    answers: IPAddress
    answers_port: int
    state: str
    replied: bool

    @property
    def open(self) -> bool:
        return self.replied and self.state in _OPEN


def tracked(line: str) -> Tracked | None:
    """None for another protocol than TCP. Raises ValueError for what is no such line."""
    head = _HEAD.match(line.strip())
    if head is None:
        raise ValueError("not a line of conntrack")
    if head["protocol"] != "tcp":
        return None
    pairs = _PAIR.findall(line)
    if [name for name, _ in pairs] != ["src", "dst", "sport", "dport"] * 2:
        raise ValueError("the addresses and ports of both directions are not there")
    source, destination, _, port, answers, _, answers_port, _ = (value for _, value in pairs)
    state = _STATE.search(line[: line.index("src=")])
    return Tracked(
        source=ip_address(source),
        destination=ip_address(destination),
        port=_port(port),
        answers=ip_address(answers),
        answers_port=_port(answers_port),
        state=state[1] if state else "",
        replied="[UNREPLIED]" not in line,
    )


def _port(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or len(text) > 5 or not 0 < (port := int(text)) <= 65535:
        raise ValueError("not a port")
    return port
